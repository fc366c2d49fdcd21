"""Carry what is known about a face inside its mesh file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FaceFacts:
    """What is known about the face of a mesh.

    Attributes:
        mesh_to_photo: (4, 4) matrix from the mesh to photo pixels, 16 numbers, column-major.
        pose: yaw, pitch and roll of the head in the photo in degrees, or None.
        confidence: probability that the mesh fits, or None.
        concerns: names of the reasons to distrust it.
    """

    mesh_to_photo: Sequence[float]
    pose: Sequence[float] | None = None
    confidence: float | None = None
    concerns: Sequence[str] = ()

    def extras(self) -> dict[str, Any]:
        """Return the facts as glTF extras; the names are those of protome.v1.FaceSummary."""
        found: dict[str, Any] = {"mesh_to_photo": [round(n, 6) for n in self.mesh_to_photo]}
        if self.pose is not None:
            names = ("yaw_degrees", "pitch_degrees", "roll_degrees")
            values = (round(angle, 3) for angle in self.pose)
            found["pose"] = dict(zip(names, values, strict=True))
        if self.confidence is not None:
            found["confidence"] = round(self.confidence, 4)
        found["concerns"] = list(self.concerns)
        return found

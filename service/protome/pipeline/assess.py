"""Say of a face what its answer and its mesh files tell about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protome.confidence import ExpectedError
from protome.geometry import F32, F64, Frame, angles, turned
from protome.image.prepare import FoundFace
from protome.mesh.files.face_facts import FaceFacts
from protome.model.card import Model
from protome.model.engine import Prediction

from .concerns import Concern, concerns


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known about a face once the network has seen it.

    Attributes:
        mesh_to_photo: (4, 4) matrix from its meshes, as they are sent, to photo coordinates.
        pose: yaw, pitch and roll in the photo, degrees; None if the network does not predict them.
        confidence: probability that its meshes fit, 0 to 1, or None.
        concerns: reasons to distrust its meshes.
        expected: errors that the network expects, or None.
        turn: (3, 3) rotation that its meshes were turned by, or None.
    """

    mesh_to_photo: F64
    pose: tuple[float, float, float] | None
    confidence: float | None
    concerns: Sequence[Concern]
    expected: ExpectedError | None
    turn: F32 | None

    def facts(self) -> FaceFacts:
        """Return what a mesh file tells about the face."""
        return FaceFacts(
            tuple(self.mesh_to_photo.T.ravel().tolist()),
            self.pose,
            self.confidence,
            tuple(concern.name for concern in self.concerns),
        )


def assess(
    face: FoundFace,
    frame: Frame,
    prediction: Prediction,
    model: Model,
    *,
    front: bool,
) -> Assessment:
    """Assess a face.

    Args:
        face: where and how it was found; it has a placement.
        frame: the part of its crop that the photo covers.
        prediction: what the network says of it.
        model: the network.
        front: whether the meshes are turned so that the head looks straight into the camera.
    """
    placement = face.placement
    assert placement is not None
    expected = model.expected_error(prediction.landmarks, prediction.landmark_error)
    confidence = None if expected is None else expected.confidence
    found = concerns(
        pixel=placement.pixel,
        blur=face.blur,
        frame=frame,
        landmarks=prediction.landmarks,
        pose=prediction.pose,
        confidence=confidence,
        covered=model.is_covered(prediction.covered),
    )
    pose = None if prediction.pose is None else angles(prediction.pose, placement.roll)
    matrix = placement.mesh_to_photo()
    turn = None
    if front and prediction.pose is not None:
        rotation = head_rotation(prediction.pose, placement.roll)
        turn = rotation.T.astype(np.float32)
        matrix[:3, :3] = matrix[:3, :3] @ rotation
    return Assessment(matrix, pose, confidence, found, expected, turn)


def head_rotation(pose: F32, roll: float = 0.0) -> F64:
    """Return the (3, 3) rotation of the head about the mesh's axes; arguments as :func:`angles`."""
    x, y, z = pose[:, :3].astype(np.float64)
    if roll:
        x, y = turned(x, y, roll)
    axes = np.stack([x, -y, -z])
    axes /= np.linalg.norm(axes, axis=0)
    # The nearest rotation, since the axes are only nearly at right angles.
    left, _, right = np.linalg.svd(axes)
    rotation = left @ right
    if np.linalg.det(rotation) < 0:
        left[:, 2] *= -1
        rotation = left @ right
    return np.asarray(rotation, np.float64)

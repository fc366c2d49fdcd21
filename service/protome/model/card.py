"""Read and check a model: ``model.onnx``, ``head.npz`` and ``model.json``, which describes both."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protome.confidence import ErrorCalibration, ExpectedError
from protome.geometry import (
    CROP_DEPTH,
    CROP_SIDE,
    F32,
    HAIR_CELL,
    HAIR_SHAPE,
    PIXELS_PER_CM,
    CropRule,
)

SHIPPED: Final = Path(__file__).parent / "weights"

# The geometry that the rest of the package is written for; a model of another is refused.
GEOMETRY: Final = {
    "axes": "z y x",
    "crop_side_px": CROP_SIDE,
    "crop_depth_px": CROP_DEPTH,
    "px_per_cm": PIXELS_PER_CM,
    "hair_cell_px": HAIR_CELL,
    "surface": 127.5,
}


class ModelError(Exception):
    """The model cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Model:
    """A checked model.

    Attributes:
        onnx: the ONNX file's bytes.
        name, version, licence, training_data: of the model card.
        digest: SHA-256 of the ONNX file, hexadecimal.
        input: name of the crops, uint8 (n, 208, 208, 3) RGB.
        vertices: name of the head's vertices, float32 (n, vertex_count, 3) in crop coordinates.
        hair: name of the hair grid, uint8 (n, 42, 52, 52): the probability, times 255, that a cell
            (z, y, x) is hair, headgear or another part of the person's head outside the skin.
        vertex_count: vertices of a head.
        head: path of ``head.npz``, which has the triangles of these vertices; see
            :class:`protome.mesh.shape.head.Head`.
        rule: from detector box to crop.
        landmarks: name of the landmarks, float32 (n, 68, 3) in crop coordinates, or None.
        pose: name of the pose, float32 (n, 3, 4), from a head's own frame (x to its left, y up,
            z forward) to crop coordinates, or None.
        landmark_error: name of the landmarks' expected errors, float32 (n, 68), crop pixels, or
            None.
        calibration: from these errors to a face's confidence, or None where it was not measured.
        covered: name of the shares of eyes, nose, and mouth with chin that something hides, float32
            (n, 3), or None.
        covered_from: the mean of these shares from which a face counts as covered.
    """

    onnx: bytes
    name: str
    version: str
    licence: str
    training_data: str
    digest: str
    input: str
    vertices: str
    hair: str
    vertex_count: int
    head: Path
    rule: CropRule
    landmarks: str | None
    pose: str | None
    landmark_error: str | None
    calibration: ErrorCalibration | None
    covered: str | None = None
    covered_from: float = 1.0

    def is_covered(self, shares: F32 | None) -> bool:
        """Return whether something covers a face; False where the network does not tell.

        Args:
            shares: (3,) of the output ``covered``, or None.
        """
        return shares is not None and float(shares.mean()) >= self.covered_from

    def expected_error(self, landmarks: F32 | None, error: F32 | None) -> ExpectedError | None:
        """Calibrate the errors predicted for a face's landmarks; None if none are predicted."""
        if self.calibration is None or landmarks is None or error is None:
            return None
        return ExpectedError(landmarks, error, self.calibration)


def load_model(folder: Path = SHIPPED) -> Model:
    """Read and check a model.

    Raises:
        ModelError: a file is missing or unreadable, or the digest or a shape is not as stated.
    """
    try:
        onnx = (folder / "model.onnx").read_bytes()
        head = (folder / "head.npz").read_bytes()
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read the model in {folder}: {error}") from None
    try:
        digest = _digest(folder / "model.onnx", onnx, card["digest"])
        _digest(folder / "head.npz", head, card["head"]["sha256"])
        _check(card["input"], [CROP_SIDE, CROP_SIDE, 3], "uint8")
        if card["grid"] != GEOMETRY:
            raise ModelError(f"model.json: the grid must be {GEOMETRY}")
        count = int(card["vertices"]["shape"][1])
        _check(card["vertices"], [count, 3], "float32")
        _check(card["hair"], list(HAIR_SHAPE), "uint8")
        extras = {}
        for extra, shape in (
            ("landmarks", [68, 3]),
            ("pose", [3, 4]),
            ("landmark_error", [68]),
            ("covered", [3]),
        ):
            if extra in card:
                _check(card[extra], shape, "float32")
                extras[extra] = str(card[extra]["name"])
        rule = CropRule(*(float(card["crop_rule"][key]) for key in ("side", "drop", "anchor")))
        if not (rule.side > 0 and all(map(math.isfinite, (rule.side, rule.drop, rule.anchor)))):
            raise ModelError(f"model.json: {rule} is no rule")
        calibration = None
        if "confidence" in card:
            keys = ("offset", "slope", "within")
            numbers = [float(card["confidence"][key]) for key in keys]
            if not all(map(math.isfinite, numbers)):
                raise ModelError(f"model.json: {numbers} tell no confidence")
            calibration = ErrorCalibration(*numbers)
        covered_from = float(card["covered"]["from"]) if "covered" in card else 1.0
        if not 0 < covered_from <= 1:
            raise ModelError(f"model.json: a face cannot be covered from {covered_from} on")
        return Model(
            onnx,
            name=str(card["name"]),
            version=str(card["version"]),
            licence=str(card["licence"]),
            training_data=str(card["training_data"]),
            digest=digest,
            input=str(card["input"]["name"]),
            vertices=str(card["vertices"]["name"]),
            hair=str(card["hair"]["name"]),
            vertex_count=count,
            head=folder / "head.npz",
            rule=rule,
            landmarks=extras.get("landmarks"),
            pose=extras.get("pose"),
            landmark_error=extras.get("landmark_error"),
            calibration=calibration,
            covered=extras.get("covered"),
            covered_from=covered_from,
        )
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{folder / 'model.json'} is not a model card: {error!r}") from None


def _digest(file: Path, data: bytes, stated: object) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal; refuse one other than stated."""
    digest = hashlib.sha256(data).hexdigest()
    if digest != stated:
        raise ModelError(f"{file} has SHA-256 {digest}, model.json says {stated}")
    return digest


def _check(tensor: Mapping[str, Any], shape: list[int], dtype: str) -> None:
    if list(tensor["shape"])[1:] != shape or tensor["dtype"] != dtype:
        raise ModelError(f"model.json: {tensor['name']} must be {dtype}, {shape} for each face")

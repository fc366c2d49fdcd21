"""Run the service's own stages for evaluation: photo to crops, crop to surface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protome.config import Config
from protome.errors import NoFaceFound, NoSurface
from protome.geometry import U8, CropRule, Level, Placement
from protome.image.prepare import FoundFace
from protome.mesh.shape.head import Head
from protome.mesh.shape.surface import Surface, compose
from protome.model.card import load_model
from protome.model.engine import Prediction
from protome.pipeline.local import LocalPipeline, prepare_faces
from protome.pipeline.request import Request
from protome_export.heads.model import Floats

_CONFIG = Config()


@dataclass(frozen=True)
class Cropped:
    """A face as the network sees it: crop (208, 208, 3) uint8 RGB, and its placement."""

    crop: U8
    placement: Placement


@dataclass(frozen=True)
class Faces:
    """Size of a photo (width, height) and its faces, largest first; possibly none."""

    size: tuple[int, int]
    faces: list[tuple[FoundFace, Cropped]]

    @property
    def main(self) -> Cropped | None:
        """Return the face that a portrait shows (certain, large and central), or None."""
        middle, reach = np.array(self.size) / 2, max(self.size) / 2

        def weight(entry: tuple[FoundFace, Cropped]) -> float:
            face, box = entry[0].face, entry[0].face.box
            off = np.array([box.x + box.width / 2, box.y + box.height / 2]) - middle
            near = np.exp(-np.square(off / reach).sum())
            return float(face.score * near * np.sqrt(box.width))

        return max(self.faces, key=weight)[1] if self.faces else None


def faces_of(photo: bytes, rule: CropRule) -> Faces:
    """Decode a photo, detect its faces and cut them out by a model's crop rule."""
    request = Request(photo, max_faces=_CONFIG.max_faces)
    try:
        prepared, tasks = prepare_faces(request, _CONFIG, rule)
    except NoFaceFound:
        return Faces((0, 0), [])
    faces = []
    for task in tasks:
        found = prepared.faces[task.index]
        assert found.placement is not None
        faces.append((found, Cropped(task.crop, found.placement)))
    return Faces((prepared.width, prepared.height), faces)


class Served:
    """Run a model folder (``model.onnx``, ``model.json``) as the service does on the CPU."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self._pipeline = LocalPipeline(load_model(folder), config=_CONFIG, threads=threads)
        self.model = self._pipeline.model

    def faces(self, photo: bytes) -> Faces:
        """Return the photo's size and faces."""
        return faces_of(photo, self.model.rule)

    def predict(self, crop: U8) -> Prediction:
        """Run the network on a crop."""
        return self._pipeline.engine.run([crop])[0]

    def surface(self, out: Prediction, level: Level = Level.STANDARD) -> Surface | None:
        """Compose the surface of a prediction; None if there is none."""
        return surface_of(self.head, out.vertices, out.hair, level)

    @property
    def head(self) -> Head:
        """What is known of the network's head."""
        return self._pipeline.head


def surface_of(
    head: Head, vertices: Floats, hair: U8, level: Level = Level.STANDARD
) -> Surface | None:
    """Compose a surface, crop frame; None if there is none."""
    try:
        return compose(head, vertices, hair, level)
    except NoSurface:
        return None


def crops_of(rule: CropRule, folder: Path, per_photo: int = 2) -> Iterator[U8]:
    """Yield crops of the largest faces in a folder's pictures, ``per_photo`` of each."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            for _, cropped in faces_of(path.read_bytes(), rule).faces[:per_photo]:
                yield cropped.crop

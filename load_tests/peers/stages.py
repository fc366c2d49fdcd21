"""The line's own stages, one face a photo, for servers that are not ours.

A photo goes through :meth:`Stages.prepare`, :meth:`Stages.infer` and :meth:`Stages.build`: the same
functions, network and settings that Protome runs, on one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np

from protome import system
from protome.client.requests import make_request
from protome.config import Config
from protome.geometry import U8, Frame
from protome.image.decode import ImageLimits
from protome.image.prepare import PhotoJob, prepare, warm_up
from protome.mesh.build import MeshJob, build
from protome.model.card import load_model
from protome.model.engine import Engine
from protome.server.convert import Converter

# What is asked of every photo.
OPTIONS: Final[Mapping[str, Any]] = {
    "detail": "standard",
    "appearance": "texture",
    "compressions": ["meshopt"],
    "max_faces": 1,
}
# The most faces in a batch: Protome's own choice on the CPU.
MAX_BATCH: Final = 2
# Each process says so once it can take photos.
READY: Final = "the stages are ready"

# What travels from one stage to the next: the part of the crop that shows the photo, the crop for
# the network or what became of it, and the portrait that colours are taken from.
Face = tuple[Frame, U8, U8]


class Stages:
    """The stages of one process.

    Args:
        network: whether it runs the network.
    """

    def __init__(self, *, network: bool = True) -> None:
        system.keep_freed_memory()
        cv2.setNumThreads(1)
        self._config = Config()
        self._model = load_model()
        self._wire = Converter(self._config, self._model)
        request = self._wire.request(make_request(b"", **OPTIONS), float("inf"))
        self._encoding = request.encoding
        self._level = request.levels[0]
        self._source = self._model.source(self._level)
        self._job = PhotoJob(
            request.boxes,
            request.max_faces,
            self._config.min_face_pixels,
            self._config.min_score,
            ImageLimits(
                self._config.max_image_bytes,
                self._config.max_image_pixels,
                self._config.max_unscaled_pixels,
            ),
            self._model.rule,
            self._encoding.textured,
        )
        if network:
            self._engine = Engine(self._model, provider="cpu", threads=1, max_batch=MAX_BATCH)
            self._engine.warm_up()
        warm_up()
        # Servers answer as soon as one of their processes can; the runner waits for all.
        print(READY, flush=True)

    def prepare(self, photo: bytes) -> Face:
        """Bytes → image → faces → crop, of the largest face.

        Raises:
            ProtomeError: the picture cannot be used, or shows no face.
        """
        found, (crop, portrait) = prepare(self._job, [np.frombuffer(photo, np.uint8)])
        placement = found.faces[0].placement
        assert placement is not None
        return placement.frame(found.width, found.height), crop, portrait

    def infer(self, faces: Sequence[Face]) -> list[Face]:
        """Crops → volumes, as one batch."""
        predictions = self._engine.run(
            [crop for _, crop, _ in faces], [[self._source]] * len(faces)
        )
        return [
            (frame, prediction.volumes[self._source], portrait)
            for (frame, _, portrait), prediction in zip(faces, predictions, strict=True)
        ]

    def build(self, face: Face) -> bytes:
        """Volume → surface → encoded mesh."""
        frame, volume, portrait = face
        _, (mesh,) = build(MeshJob(self._level, self._encoding, frame), [volume, portrait])
        return mesh

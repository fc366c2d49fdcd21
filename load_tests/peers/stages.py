"""Run the stages of Protome, one face a photo, behind the servers of other projects.

A photo goes through :meth:`Stages.prepare`, :meth:`Stages.infer` and :meth:`Stages.build`: the same
functions, network and settings that Protome runs, on one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import cv2

from protome.client.requests import make_request
from protome.image.prepare import warm_up
from protome.model.engine import Prediction
from protome.pipeline.local import LocalPipeline
from protome.pipeline.photo_run import FaceTask
from protome.server.calls.parse_request import read_request

# Options of every request.
OPTIONS: Final[Mapping[str, Any]] = {
    "detail": "standard",
    "appearance": "texture",
    "compressions": ["meshopt"],
    "max_faces": 1,
}
# Most faces in a batch: Protome's default on the CPU.
MAX_BATCH: Final = 2
# Printed by each process once it can process photos.
READY: Final = "the stages are ready"

# Passed on from the network: the face and what is predicted of it.
Predicted = tuple[FaceTask, Prediction]


class Stages:
    """The stages of one process.

    Args:
        network: whether it runs the network.
    """

    def __init__(self, *, network: bool = True) -> None:
        cv2.setNumThreads(1)
        self._pipeline = LocalPipeline(max_batch=MAX_BATCH)
        message = make_request(b"", **OPTIONS)
        self._request = read_request(message, self._pipeline.config, float("inf"))
        self._level = self._request.levels[0]
        if network:
            self._pipeline.warm_up()
        else:
            warm_up()
        # Servers answer as soon as one of their processes is ready; the comparison waits for all.
        print(READY, flush=True)

    def prepare(self, photo: bytes) -> FaceTask:
        """Decode a photo and cut out its largest face.

        Raises:
            ProtomeError: the picture cannot be used, or shows no face.
        """
        _, (task,) = self._pipeline.prepare(replace(self._request, image=photo))
        return task

    def infer(self, faces: Sequence[FaceTask]) -> list[Predicted]:
        """Predict the heads of faces as one batch."""
        predictions = self._pipeline.infer([face.crop for face in faces])
        return list(zip(faces, predictions, strict=True))

    def build(self, face: Predicted) -> bytes:
        """Build the mesh of a head and encode it."""
        return self._pipeline.build(*face, self._level, self._request).data

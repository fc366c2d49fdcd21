"""Reconstruct photos in this process, one stage after the other.

The stages are those of the server, without its queues, worker processes and batches::

    pipeline = LocalPipeline()
    _, faces = pipeline.reconstruct(Request(Path("face.jpg").read_bytes()))
    Path("face.glb").write_bytes(faces[0].meshes[0].data)
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from protome.config import Config
from protome.errors import NoSurface
from protome.geometry import U8, CropRule, Level
from protome.image.prepare import PreparedPhoto, prepare, warm_up
from protome.mesh.build import BuiltMesh, build, pack
from protome.mesh.shape.head import Head, load_head
from protome.model.card import Model, load_model
from protome.model.engine import Engine, Prediction

from .assess import assess
from .photo_run import FaceTask, face_tasks
from .request import Request


@dataclass(frozen=True, slots=True)
class LocalFace:
    """A face and what was made of it.

    Attributes:
        task: number, crop and portrait of the face.
        prediction: output of the network.
        inference_seconds: time in the network.
        meshes: one for each level of the request, in that order; empty if the network found no
            head in the crop.
    """

    task: FaceTask
    prediction: Prediction
    inference_seconds: float
    meshes: Sequence[BuiltMesh] = field(repr=False)


class LocalPipeline:
    """Reconstructs photos in this process.

    Args:
        model: the network to run; None: the one that ships with the package.
        config: limits of photos and faces; None: the defaults of a server.
        threads: threads of the network, which runs on the CPU.
        max_batch: most crops in one :meth:`infer`; 0: 2.
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        config: Config | None = None,
        threads: int = 1,
        max_batch: int = 0,
    ) -> None:
        self.model = model or load_model()
        self.config = config or Config()
        self._threads = threads
        self._max_batch = max_batch

    @functools.cached_property
    def engine(self) -> Engine:
        """The network, loaded when it is first used.

        Raises:
            ModelError: the model cannot be loaded.
        """
        return Engine(self.model, provider="cpu", threads=self._threads, max_batch=self._max_batch)

    @functools.cached_property
    def head(self) -> Head:
        """The head whose vertices the network predicts, loaded when it is first used.

        Raises:
            ValueError: its file is invalid.
        """
        return load_head(self.model.head)

    def warm_up(self) -> None:
        """Load the network and initialise all stages, so that the first photo is as fast as any."""
        self.engine.warm_up()
        _ = self.head
        warm_up()

    def reconstruct(self, request: Request) -> tuple[PreparedPhoto, list[LocalFace]]:
        """Reconstruct the faces of a photo.

        Returns:
            The photo and those of its faces that were reconstructed, largest first.

        Raises:
            ProtomeError: the photo cannot be used or shows no face.
        """
        photo, tasks = self.prepare(request)
        return photo, [self._face(task, request) for task in tasks]

    def _face(self, task: FaceTask, request: Request) -> LocalFace:
        began = time.perf_counter()
        (prediction,) = self.infer([task.crop])
        seconds = time.perf_counter() - began
        try:
            meshes = [self.build(task, prediction, level, request) for level in request.levels]
        except NoSurface:
            meshes = []
        return LocalFace(task, prediction, seconds, meshes)

    def prepare(self, request: Request) -> tuple[PreparedPhoto, list[FaceTask]]:
        """Decode a photo and cut out its faces; errors as :meth:`reconstruct`."""
        return prepare_faces(request, self.config, self.model.rule)

    def infer(self, crops: Sequence[U8]) -> list[Prediction]:
        """Run the network on at most ``max_batch`` crops, (208, 208, 3) uint8 RGB, as one batch."""
        return self.engine.run(crops)

    def build(
        self, task: FaceTask, prediction: Prediction, level: Level, request: Request
    ) -> BuiltMesh:
        """Build and encode the mesh of a face.

        Raises:
            NoSurface: the network found no head in the crop.
        """
        about = assess(task.found, task.frame, prediction, self.model, front=request.front)
        job = request.mesh_job(level, task.frame, about)
        inputs = pack(prediction.vertices, prediction.hair, task.portrait)
        mesh, (data,) = build(self.head, job, inputs)
        return mesh.holding(data)


def prepare_faces(
    request: Request, config: Config, rule: CropRule
) -> tuple[PreparedPhoto, list[FaceTask]]:
    """Decode a photo and cut out its faces by a model's crop rule.

    Raises:
        ProtomeError: the photo cannot be used or shows no face.
    """
    inputs = [np.frombuffer(request.image, np.uint8)]
    photo, pictures = prepare(request.photo_job(config, rule), inputs)
    return photo, face_tasks(photo, pictures)

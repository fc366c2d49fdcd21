"""Serve the stages with BentoML as its documentation recommends for photos that come one by one:
:class:`Photo` receives them and passes them on to :class:`Batches`, whose API is batchable.

:class:`Whole` has no batches, which suits a CPU, where they gain nothing, and receives the photos
itself. Each has one worker process per core. Photos and meshes are HTTP bodies; between services
BentoML pickles. ``bentoml serve`` runs a service of this module, with :class:`Arguments` as
``--arg``.
"""

from __future__ import annotations

from typing import Annotated, Final

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel

from .stages import MAX_BATCH, Stages


class Arguments(BaseModel):  # type: ignore[misc]
    """Arguments of the command line.

    Attributes:
        cores: worker processes.
        ms: timeout of a call, milliseconds.
        queue: calls that may be in work or wait; others are refused.
    """

    cores: int = 1
    ms: int = 60_000
    queue: int = 1024


ARGUMENTS: Final = bentoml.use_arguments(Arguments)
TIMEOUT: Final = {"timeout": ARGUMENTS.ms / 1000}
TRAFFIC: Final = {**TIMEOUT, "max_concurrency": ARGUMENTS.queue}
QUIET: Final = {"access": {"enabled": False}}

Mesh = Annotated[bytes, ContentType("model/gltf-binary")]


@bentoml.service(workers=ARGUMENTS.cores, threads=1, traffic=TIMEOUT, logging=QUIET)
class Batches:
    """Turns photos into meshes."""

    def __init__(self) -> None:
        """Load the network in a worker process."""
        self._stages = Stages()

    # Photos that could not be answered within the maximal latency are refused.
    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=ARGUMENTS.ms)  # type: ignore[untyped-decorator]
    def reconstruct(self, photos: list[bytes]) -> list[bytes]:
        """Process one batch."""
        faces = [self._stages.prepare(photo) for photo in photos]
        return [self._stages.build(face) for face in self._stages.infer(faces)]


@bentoml.service(workers=ARGUMENTS.cores, traffic=TRAFFIC, logging=QUIET)
class Photo:
    """Receives photos for the batches."""

    batches = bentoml.depends(Batches)

    @bentoml.api  # type: ignore[untyped-decorator]
    async def reconstruct(self, photo: bytes, /) -> Mesh:
        """Pass on one photo."""
        meshes: list[bytes] = await self.batches.to_async.reconstruct([photo])
        return meshes[0]


@bentoml.service(workers=ARGUMENTS.cores, threads=1, traffic=TRAFFIC, logging=QUIET)
class Whole:
    """Turns a photo into a mesh."""

    def __init__(self) -> None:
        """Load the network in a worker process."""
        self._stages = Stages()

    @bentoml.api  # type: ignore[untyped-decorator]
    def reconstruct(self, photo: bytes, /) -> Mesh:
        """Process one photo."""
        return self._stages.build(self._stages.infer([self._stages.prepare(photo)])[0])

"""Serve the stages with BentoML as its documentation recommends.

A service has one worker process per core; its API is batchable.

:class:`Whole` has no batches, which suits a CPU, where they gain nothing. Photos and meshes are
HTTP bodies: a batchable API takes lists, which :class:`Photos` and :class:`Meshes` convert. A
second service in front, which would take single photos, is not used: its client (BentoML 1.4.40)
closes its connections after every 100 calls, and those that are in work fail.
``bentoml serve`` runs a service of this module, with :class:`Arguments` as ``--arg``.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import bentoml
from bentoml.validators import ContentType
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

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
TRAFFIC: Final = {"timeout": ARGUMENTS.ms / 1000, "max_concurrency": ARGUMENTS.queue}
QUIET: Final = {"access": {"enabled": False}}
MEDIA_TYPE: Final = "model/gltf-binary"


class Photos(bentoml.IODescriptor):  # type: ignore[misc]
    """A call's part of a batch."""

    photos: list[bytes]

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Photos:
        """Return the photo that is the body."""
        del serde
        return cls(photos=[await request.body()])


class Meshes(bentoml.IODescriptor):  # type: ignore[misc]
    """The answer to a call's part of a batch."""

    meshes: list[bytes]

    @classmethod
    async def to_http_response(cls, obj: list[bytes], serde: Any) -> Response:
        """Return a response whose body is the mesh."""
        del serde
        return Response(obj[0], media_type=MEDIA_TYPE)


@bentoml.service(workers=ARGUMENTS.cores, threads=1, traffic=TRAFFIC, logging=QUIET)
class Batches:
    """Turns photos into meshes."""

    def __init__(self) -> None:
        """Load the network in a worker process."""
        self._stages = Stages()

    @bentoml.api(  # type: ignore[untyped-decorator]
        batchable=True,
        max_batch_size=MAX_BATCH,
        # Photos that could not be answered by then are refused.
        max_latency_ms=ARGUMENTS.ms,
        input_spec=Photos,
        output_spec=Meshes,
    )
    def reconstruct(self, photos: list[bytes]) -> list[bytes]:
        """Process one batch."""
        faces = [self._stages.prepare(photo) for photo in photos]
        return [self._stages.build(face) for face in self._stages.infer(faces)]


@bentoml.service(workers=ARGUMENTS.cores, threads=1, traffic=TRAFFIC, logging=QUIET)
class Whole:
    """Turns a photo into a mesh."""

    def __init__(self) -> None:
        """Load the network in a worker process."""
        self._stages = Stages()

    @bentoml.api  # type: ignore[untyped-decorator]
    def reconstruct(self, photo: bytes, /) -> Annotated[bytes, ContentType(MEDIA_TYPE)]:
        """Process one photo."""
        return self._stages.build(self._stages.infer([self._stages.prepare(photo)])[0])

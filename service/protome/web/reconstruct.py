"""Answer ``POST /v1/reconstruct``: one photo, through the admission and pipeline of gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from protome.errors import ClientGone, InvalidRequest, ProtomeError, Unauthenticated
from protome.image.decode import ImageLimits
from protome.server.backend import Backend
from protome.server.calls import status
from protome.telemetry.context import Call, running
from protome.v1 import reconstruction_pb2 as pb

from .accept import EVENTS, JSON, MESH_TYPES, MULTIPART, choose_type
from .answers import Answer, MeshFile, answer_as
from .calls import PROTOCOL, begin_call
from .options import SHOWN, read_options
from .problems import PROBLEM, plain_problem
from .reply import Reply

# The name of the method that the contract gives it.
METHOD: Final = "Reconstruct"
PATH: Final = "/v1/reconstruct"
WHOLE: Final = (JSON, MULTIPART, EVENTS)


class ReconstructEndpoint:
    """The ASGI application of the path.

    Args:
        backend: the server behind it.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._limits = ImageLimits.of(backend.config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        backend, headers = self._backend, Headers(scope=scope)
        call = begin_call(backend, headers, f"POST {PATH}")
        reply = Reply(scope, receive, send, call.metadata)
        code = "OK"
        with running(call), backend.photos.working():
            try:
                await self._answer(scope, headers, call, reply)
            except ProtomeError as error:
                code = status.code(error).name
                if not isinstance(error, Unauthenticated):
                    backend.photos.refused(PROTOCOL, METHOD, error)
                await reply.fail(error)
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            finally:
                call.span.end(code)

    async def _answer(self, scope: Scope, headers: Headers, call: Call, reply: Reply) -> None:
        """Receive a photo and answer it.

        Raises:
            ProtomeError: the photo was refused before it was admitted.
        """
        backend = self._backend
        call = backend.authenticated(call, headers.getlist("authorization"))
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        request, seconds = read_options(query)
        kind = choose_type(headers.get("accept", ""), _offered(request))
        if kind is None:
            offered = ", ".join(_offered(request))
            wrong = InvalidRequest(
                f"offered are {offered}", field="accept", value=headers.get("accept", "")[:SHOWN]
            )
            backend.photos.refused(PROTOCOL, METHOD, wrong)
            body = plain_problem(406, wrong.message)
            await reply.refuse(406, [("content-type", PROBLEM)], body)
            return
        answer = answer_as(kind, reply)
        if isinstance(answer, MeshFile):
            _one_mesh(request, kind)
        deadline = time.monotonic() + seconds
        self._check_length(headers.get("content-length", ""))
        backend.photos.check(deadline, call.tenant)
        request.image = await backend.uploads.read(lambda: self._photo(reply))
        working = asyncio.ensure_future(
            backend.photos.reconstruct(METHOD, call, request, deadline, answer.event)
        )
        gone = asyncio.ensure_future(reply.wait_until_gone())
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The photo first: its client is waiting no more.
            working.cancel()
            gone.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)
        problem = None if working.cancelled() else working.exception()
        request.ClearField("image")
        if isinstance(problem, ProtomeError):
            # Its frames would keep the photo until the next garbage collection.
            problem.__traceback__ = problem.__context__ = None
            # It is counted already.
            await self._fail(answer, problem)
        elif problem is not None:
            raise problem

    async def _fail(self, answer: Answer, error: ProtomeError) -> None:
        """Answer with an error; cut the connection of a client that does not read it."""
        try:
            async with asyncio.timeout(self._backend.config.send_seconds):
                await answer.fail(error)
        except TimeoutError:
            answer.reply.abort()

    def _check_length(self, text: str) -> None:
        """Check the announced size of the photo.

        Raises:
            ImageTooLarge: it is over the limit.
        """
        if text.isdigit():
            self._limits.check_bytes(int(text))

    async def _photo(self, reply: Reply) -> bytes:
        """Receive the body.

        Raises:
            ClientGone: the client leaves.
            ImageTooLarge: it is over the limit.
            InvalidRequest: it is empty.
        """
        photo, more = bytearray(), True
        try:
            while more:
                part, more = await reply.read()
                photo += part
                self._limits.check_bytes(len(photo))
        except ConnectionResetError as error:
            raise ClientGone(str(error)) from None
        if not photo:
            raise InvalidRequest("the body is empty; it must be the photo", field="image")
        return bytes(photo)


def _offered(request: pb.ReconstructRequest) -> Sequence[str]:
    """Return the media types that a request can be answered with, best first."""
    formats = [MESH_TYPES[f] for f in MESH_TYPES if f in request.formats or not request.formats]
    return [*formats, *WHOLE]


def _one_mesh(request: pb.ReconstructRequest, kind: str) -> None:
    """Limit a request to what fits into a response that is a mesh.

    Raises:
        InvalidRequest: it asks for more than one mesh.
    """
    for name, several in (
        ("max_faces", request.max_faces > 1),
        ("boxes", len(request.boxes) > 1),
        ("preview_first", request.preview_first),
    ):
        if several:
            raise InvalidRequest(
                f"{kind} is one mesh; for {name} accept {', '.join(WHOLE)}", field=name
            )
    request.max_faces = 1
    del request.formats[:]
    request.formats.append(
        next(pb.MeshFormat.ValueType(f) for f, name in MESH_TYPES.items() if name == kind)
    )

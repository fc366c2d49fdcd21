"""A worker process as the server sees it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from protome.errors import BrokenImage, NoSurface, WorkerDied
from protome.geometry import Level
from protome.mesh.build import BuiltMesh
from protome.workers.handle import WorkerHandle
from protome.workers.mailbox import Mailbox, Parcel
from protome.workers.protocol import Reply, TaskError, decode_reply
from tests.unit.workers.rig import PATIENT


def reply(**fields: object) -> bytes:
    return msgspec.msgpack.encode(fields)


def error(**fields: object) -> bytes:
    """A reply with an error of these fields."""
    whole: dict[str, object] = {
        "kind": "NoSurface",
        "message": "",
        "retry_seconds": None,
        "facts": {},
    }
    return reply(error=whole | fields)


MESH = {
    **{"level": 1, "data": b"", "size": 0, "sha256": b"", "vertices": 0, "triangles": 0},
    **dict.fromkeys(("surface_seconds", "appearance_seconds", "encode_seconds"), 0.0),
}


def parcel(offset: object, *shape: object) -> bytes:
    """A reply with an output that lies there."""
    return reply(result=MESH, outputs=[{"offset": offset, "shape": shape}])


INVALID = {
    "no MessagePack": b"\xff" * 40,
    "empty": b"",
    "a pickle": pickle.dumps(pickle.Pickler),
    "a pickle that calls a function": b"cos\nsystem\n(S'true'\ntR.",
    "not a reply": msgspec.msgpack.encode([1, 2, 3]),
    "neither result nor error": reply(),
    "an error that is none": reply(error="no"),
    "an error of an unknown kind": error(kind="SystemExit"),
    "an error named by a path": error(kind="ProtomeError.__init__"),
    "an error whose facts are arguments": error(facts={"message": "again"}),
    "an error whose facts are no texts": error(facts={"limit": [1]}),
    "a result of another task": reply(result={"width": 1, "height": 1, "faces": []}),
    "a result without a field": reply(result={**MESH, "size": None}),
    "a level that is not there": reply(result={**MESH, "level": 77}),
    "outputs that are no parcels": reply(result=MESH, outputs=(1, 2)),
    "outputs from beyond": parcel(1 << 40, 1 << 40),
    "outputs before the start": parcel(-64, 8),
    "a shape of no numbers": parcel(0, "a"),
}


def test_a_valid_reply_is_taken() -> None:
    """Only then do the others show anything."""
    mesh = decode_reply("build", reply(result=MESH)).result
    assert isinstance(mesh, BuiltMesh)
    assert mesh.level is Level.PREVIEW
    failed = decode_reply("build", error()).error
    assert failed is not None
    assert isinstance(failed.error(), NoSurface)
    assert decode_reply("build", parcel(0, 3, 4)).outputs == (Parcel(0, (3, 4)),)


@pytest.mark.parametrize("text", ["a\udc80b", "\ud800"])
def test_texts_that_are_no_unicode_do_not_stop_a_reply(text: str) -> None:
    failed: Reply[BuiltMesh] = Reply(error=TaskError.of(BrokenImage(text, format=text)))
    told = decode_reply("prepare", failed.encode()).error
    assert told is not None
    assert (told.kind, told.message) == ("BrokenImage", text.encode(errors="replace").decode())
    assert decode_reply("prepare", Reply.of_fault(text).encode()).fault


class _Forger:
    """A process and its end of the socket, which replies with given bytes."""

    def __init__(self, reply: bytes) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.pid = self.process.pid
        self.returncode = None
        self.on_message: Callable[[bytes | Exception], None] = lambda _: None
        self._reply = reply

    def send(self, body: bytes) -> None:
        """Ignore the task and reply."""
        asyncio.get_running_loop().call_soon(lambda: self.on_message(self._reply))


@pytest.mark.parametrize("kind", INVALID)
def test_a_worker_that_sends_an_invalid_reply_is_ended(kind: str) -> None:
    """It may be controlled by the sender of a photo."""

    async def main() -> None:
        forger: Any = _Forger(INVALID[kind])
        mailbox = Mailbox.create(1 << 20)
        with contextlib.closing(mailbox):
            worker = WorkerHandle(forger, forger, mailbox)
            answer = worker.ask(
                *("build", None, [b"photo"]),
                take=np.ndarray.copy,
                seconds=PATIENT,
                on_end=lambda: None,
            )
            with pytest.raises(WorkerDied, match="invalid reply"):
                await answer
        assert forger.process.wait(10) == -signal.SIGKILL

    asyncio.run(main())

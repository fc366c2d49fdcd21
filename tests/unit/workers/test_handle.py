"""A worker process as the server sees it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from protome.errors import (
    WorkerDied,
)
from protome.workers.handle import Worker
from protome.workers.mailbox import Mailbox, Parcel
from protome.workers.protocol import Reply
from tests.unit.workers.rig import (
    PATIENT,
)


def _global(module: str, name: str) -> bytes:
    """Pickle's opcode for a global (protocol 4), which may have dots."""
    texts = (b"\x8c" + bytes((len(text),)) + text.encode() for text in (module, name))
    return b"".join(texts) + b"\x93"


def _called(callee: bytes, argument: str) -> bytes:
    return callee + b"\x8c" + bytes((len(argument),)) + argument.encode() + b"\x85R"


NONSENSE = {
    "no pickle": b"\xff" * 40,
    "empty": b"",
    "not a reply": pickle.dumps([1, 2, 3]),
    "an error that is none": pickle.dumps(Reply(error="no")),  # type: ignore[arg-type]
    "outputs that are no parcels": pickle.dumps(Reply(outputs=(1, 2))),  # type: ignore[arg-type]
    "outputs from beyond": pickle.dumps(Reply(outputs=(Parcel(1 << 40, (1 << 40,)),))),
    "outputs before the start": pickle.dumps(Reply(outputs=(Parcel(-64, (8,)),))),
    "a shape of no numbers": pickle.dumps(Reply(outputs=(Parcel(0, ("a",)),))),  # type: ignore[arg-type]
    "a class that is not there": b"\x80\x04" + _global("protome.image.prepare", "Nothing") + b".",
    "a function": b"\x80\x04" + _called(_global("os", "system"), "true") + b".",
    "a way to the built-ins": b"\x80\x04"
    + _called(
        _called(_global("protome.workers.mailbox", "Mailbox.__init__.__builtins__.get"), "eval"),
        "__import__('os').abort()",
    )
    + b".",
    "a class that acts": b"\x80\x04" + _global("protome.workers.mailbox", "Mailbox") + b".",
    "the module's own import": b"\x80\x04" + _global("protome.image.prepare", "Sequence") + b".",
}


class _Liar:
    """A process, and its end of the socket, that says what it is told to."""

    def __init__(self, reply: bytes) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.pid = self.process.pid
        self.returncode = None
        self.heard: Callable[[bytes | Exception], None] = lambda _: None
        self._reply = reply

    def say(self, body: bytes) -> None:
        """The task, which nobody does."""
        asyncio.get_running_loop().call_soon(lambda: self.heard(self._reply))


@pytest.mark.parametrize("kind", NONSENSE)
def test_a_worker_that_talks_nonsense_is_ended(kind: str) -> None:
    """It may be in the hands of whoever sent the photo."""

    async def main() -> None:
        liar: Any = _Liar(NONSENSE[kind])
        mailbox = Mailbox.create(1 << 20)
        with contextlib.closing(mailbox):
            worker = Worker(liar, liar, mailbox)
            answer = worker.ask(
                *("build", None, [b"photo"]),
                take=np.ndarray.copy,
                seconds=PATIENT,
                on_end=lambda: None,
            )
            with pytest.raises(WorkerDied, match="nonsense"):
                await answer
        assert liar.process.wait(10) == -signal.SIGKILL

    asyncio.run(main())

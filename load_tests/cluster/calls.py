"""Clients in closed loops that note what becomes of every call, after gRPC's own retries.

ghz counts attempts: a call that was refused by one server and answered by another is one failure
and one success to it.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc

from protome.client import SERVICE_CONFIG, ReconstructionError
from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

#: Long, as several servers share the machine: what is refused for want of time is another matter.
SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call; times are seconds of time.time().

    Attributes:
        code: the gRPC status it ended with.
        said: its message.
        answered: whether an answer had begun to come, if only its metadata.
    """

    began: float
    ended: float
    code: str
    said: str
    answered: bool


def events(
    channel: grpc.Channel, request: pb.ReconstructRequest
) -> Callable[[], Iterable[pb.ReconstructResponse]]:
    """How to ask for a photo and see each part of the answer as it comes."""
    stub = pb_grpc.ReconstructionServiceStub(channel)
    return lambda: stub.Reconstruct(request, timeout=SECONDS)


@contextlib.contextmanager
def callers(ask_once: Callable[[], Iterable[object]], parallel: int) -> Iterator[list[Call]]:
    """So many clients that ask again and again; the list grows until all have their last answer."""
    calls: list[Call] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            began, answered, code, said = time.time(), False, "OK", ""
            try:
                for _ in ask_once():
                    answered = True
            except ReconstructionError as error:
                code, said = error.code.name, str(error)
            except grpc.RpcError as error:
                call: Any = error
                code, said = call.code().name, call.details() or ""
                answered = answered or bool(call.initial_metadata())
            calls.append(Call(began, time.time(), code, said, answered))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(parallel)]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        over.set()
        for thread in threads:
            thread.join()


def failed(calls: Sequence[Call]) -> list[Call]:
    """Calls that did not end well."""
    return [call for call in calls if call.code != "OK"]


def without_health(target: str) -> grpc.Channel:
    """A channel with the service config that ships, for clients that cannot watch health."""
    config = json.loads(SERVICE_CONFIG.read_text(encoding="utf-8"))
    del config["healthCheckConfig"]
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.per_rpc_retry_buffer_size", 64 << 20),
    ]
    return grpc.insecure_channel(target, options=options)

"""Run clients in closed loops that record the result of every call, after gRPC's own retries.

ghz counts attempts: a call that one server refused and another answered counts as one failure and
one success there.
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

#: Timeout of calls; long, because servers that share a machine would refuse calls as too late.
SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call; times are seconds of ``time.time()``.

    Attributes:
        code: gRPC status it ended with.
        said: message of the status.
        answered: whether the answer had begun, with metadata at least.
    """

    began: float
    ended: float
    code: str
    said: str
    answered: bool


def events(
    channel: grpc.Channel, request: pb.ReconstructRequest
) -> Callable[[], Iterable[pb.ReconstructResponse]]:
    """Return a function that sends a request and iterates over the answer as it arrives."""
    stub = pb_grpc.ReconstructionServiceStub(channel)
    return lambda: stub.Reconstruct(request, timeout=SECONDS)


@contextlib.contextmanager
def callers(ask_once: Callable[[], Iterable[object]], parallel: int) -> Iterator[list[Call]]:
    """Run ``parallel`` clients in closed loops; yield the list that their calls are added to."""
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
    """Return the calls that failed."""
    return [call for call in calls if call.code != "OK"]


def without_health(target: str) -> grpc.Channel:
    """Open a channel with the shipped service config, for clients that cannot watch health."""
    config = json.loads(SERVICE_CONFIG.read_text(encoding="utf-8"))
    del config["healthCheckConfig"]
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.per_rpc_retry_buffer_size", 64 << 20),
    ]
    return grpc.insecure_channel(target, options=options)

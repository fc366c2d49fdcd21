"""Clients that keep a server busy while faults are injected, and check every answer."""

from __future__ import annotations

import hashlib
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import grpc
import psutil

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import (
    MIB,
    OPTIONS,
    Answer,
    Stub,
    ask,
    eventually,
    failure,
    in_flight,
    memory,
)

IN_STREAM: Final = 3
ALONE: Final = 2
# How soon after a fault the server must be as before, seconds.
HEALED: Final = 10.0
# How soon memory that was taken meanwhile is back: the server gives it up once it has had nothing
# to do for a while.
SETTLED: Final = 30.0


def connect(server: EmbeddedServer) -> grpc.Channel:
    """A connection of its own."""
    return grpc.insecure_channel(server.address, options=OPTIONS)


def sound(answer: Answer) -> bool:
    """Whether every face has its mesh, whole and in order, and the end came once."""
    if answer.events.count("header") != 1 or answer.events.count("summary") != 1:
        return False
    if answer.events[0] != "header" or answer.events[-1] != "summary":
        return False
    for face in answer.summary.faces:
        for mesh in face.meshes:
            data = answer.mesh(face.face_index, mesh.detail)
            if len(data) != mesh.size or hashlib.sha256(data).digest() != mesh.sha256:
                return False
    return True


@dataclass
class Load:
    """Photos one after the other from several clients, some alone and some in a stream.

    ``outcomes`` counts the answers: OK, the reason of a failure, or what is wrong with an answer.
    Once left, every photo sent was answered exactly once; an assertion says so.
    """

    server: EmbeddedServer
    photo: bytes
    timeout: float | None = 30.0
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent = 0
        request = pb.ReconstructRequest(image=self.photo, detail=pb.DETAIL_LEVEL_PREVIEW)
        self._request = request
        targets = [self._alone] * ALONE + [self._stream]
        self._threads = [threading.Thread(target=target) for target in targets]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.progress(4)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        if error is None:
            assert not any(thread.is_alive() for thread in self._threads), "a client hangs"
            assert self.outcomes.total() == self._sent, "photos without an answer"
            assert self.wrong == {}, "answers that are damaged or came twice"

    @property
    def wrong(self) -> dict[str, int]:
        """Answers that should never be."""
        return {name: count for name, count in self.outcomes.items() if name.startswith("wrong")}

    @property
    def failed(self) -> dict[str, int]:
        """Failures by their reason."""
        return {name: count for name, count in self.outcomes.items() if name != "OK"}

    def progress(self, photos: int, seconds: float = 30.0) -> None:
        """Wait until this number of further photos is reconstructed."""
        before = self.outcomes["OK"]
        eventually(lambda: self.outcomes["OK"] >= before + photos, f"{photos} more photos", seconds)

    def _count(self, outcome: str) -> None:
        with self._lock:
            self.outcomes[outcome] += 1

    def _send(self) -> None:
        with self._lock:
            self._sent += 1

    def _alone(self) -> None:
        with connect(self.server) as channel:
            stub = Stub(channel)
            while not self._stop.is_set():
                self._send()
                try:
                    answer = ask(stub, self._request, self.timeout)
                    self._count("OK" if sound(answer) else "wrong: damaged")
                except grpc.RpcError as error:
                    problem = failure(error)
                    self._count(problem.reason or problem.code.name)
                    time.sleep(0.02)

    def _stream(self) -> None:
        places: queue.Queue[None] = queue.Queue()
        for _ in range(IN_STREAM):
            places.put(None)
        waiting: dict[str, Answer] = {}

        def photos() -> Iterator[pb.ReconstructManyRequest]:
            for number in itertools.count():
                places.get()
                if self._stop.is_set():
                    return
                self._send()
                waiting[str(number)] = Answer()
                yield pb.ReconstructManyRequest(request_id=str(number), request=self._request)

        with connect(self.server) as channel:
            for event in Stub(channel).ReconstructMany(photos()):
                if event.request_id not in waiting:
                    self._count("wrong: answered twice")
                    continue
                answer = waiting[event.request_id]
                answer.feed(event)
                kind = event.WhichOneof("event")
                if kind not in ("error", "summary"):
                    continue
                del waiting[event.request_id]
                if kind == "error":
                    self._count(event.error.reason)
                    time.sleep(0.02)
                else:
                    self._count("OK" if sound(answer) else "wrong: damaged")
                places.put(None)


@dataclass(frozen=True)
class Rest:
    """What a server takes up when it has nothing to do."""

    memory: int
    descriptors: int
    processes: int

    @classmethod
    def of(cls, server: EmbeddedServer) -> Rest:
        """Now."""
        root = psutil.Process(server.process.pid)
        return cls(memory(server), root.num_fds(), len(root.children(recursive=True)))


def heals(server: EmbeddedServer, photo: bytes, before: Rest, room: int = 64 * MIB) -> None:
    """The server soon does what it did, and takes up no more than ``before``."""
    with connect(server) as channel:

        def works() -> bool:
            try:
                answer = ask(Stub(channel), pb.ReconstructRequest(image=photo), timeout=20)
            except grpc.RpcError:
                return False
            return sound(answer) and answer.outcomes() == ["RECONSTRUCTED"]

        eventually(works, "it reconstructs", HEALED)
    eventually(lambda: in_flight(server) == 0, "no photo in flight", HEALED)

    def as_before() -> bool:
        now = Rest.of(server)
        return (
            now.memory <= before.memory + room
            and now.descriptors <= before.descriptors
            and now.processes == before.processes
        )

    try:
        eventually(as_before, "as before", SETTLED)
    except AssertionError:
        raise AssertionError(f"{Rest.of(server)}, before: {before}") from None

"""What the e2e tests share: asking, reading answers, reading metrics, waiting for a condition."""

from __future__ import annotations

import contextlib
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt
import psutil
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from protome.v1 import reconstruction_pb2_grpc as pb_grpc

SERVICE: Final = "protome.v1.ReconstructionService"
TIMEOUT: Final = 120.0
MIB: Final = 1 << 20
OPTIONS: Final = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
    # Else channels of one process to one address share a connection, and with it its limits.
    ("grpc.use_local_subchannel_pool", 1),
]
# Fast to start and small: for tests that need a server of their own.
SMALL: Final = ("--max-batch", "1", "--workers", "2")
# Faster still: for tests that do not need two tasks at a time.
ONE_WORKER: Final = ("--max-batch", "1", "--workers", "1")
# Before a command: a process inherits the peak memory of the one that started it (getrusage(2)); a
# shell in between keeps that of pytest out.
OWN_PEAK: Final = ("sh", "-c", '"$@"; exit $?', "sh")

F64 = npt.NDArray[np.float64]
Stub = pb_grpc.ReconstructionServiceStub


@dataclass
class Answer:
    """The answer to one photo, taken apart; ``events`` names the events in order."""

    header: pb.Header = field(default_factory=pb.Header)
    chunks: list[pb.MeshChunk] = field(default_factory=list)
    summary: pb.Summary = field(default_factory=pb.Summary)
    events: list[str] = field(default_factory=list)

    def feed(self, event: pb.ReconstructResponse | pb.ReconstructManyResponse) -> None:
        """Take the next event."""
        kind = str(event.WhichOneof("event"))
        self.events.append(kind)
        if kind == "header":
            self.header = event.header
        elif kind == "chunk":
            self.chunks.append(event.chunk)
        elif kind == "summary":
            self.summary = event.summary

    def mesh(self, face: int = 0, detail: int | None = None) -> bytes:
        """The bytes of a mesh; ``detail`` None: that of the header."""
        wanted = self.header.detail if detail is None else detail
        pieces = [c for c in self.chunks if (c.face_index, c.detail) == (face, wanted)]
        return b"".join(piece.data for piece in pieces)

    def outcomes(self) -> list[str]:
        """The outcome of each face, by the header."""
        names = [pb.FaceOutcome.Name(face.outcome) for face in self.header.faces]
        return [name.removeprefix("FACE_OUTCOME_") for name in names]


@dataclass(frozen=True)
class Failure:
    """How a call ended, with its google.rpc details."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    domain: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_seconds: float | None = None


def ask(stub: Stub, request: pb.ReconstructRequest, timeout: float | None = TIMEOUT) -> Answer:
    """The whole answer to one photo."""
    answer = Answer()
    for event in stub.Reconstruct(request, timeout=timeout):
        answer.feed(event)
    return answer


def refused(stub: Stub, request: pb.ReconstructRequest, timeout: float = TIMEOUT) -> Failure:
    """The failure that a request ends with; an assertion fails if it succeeds."""
    try:
        events = ask(stub, request, timeout).events
    except grpc.RpcError as error:
        return failure(error)
    raise AssertionError(f"expected a failure, got {events}")


def failure(error: grpc.RpcError) -> Failure:
    """Read the details of a failed call, with grpc_status instead of our own client."""
    call: Any = error
    reason, domain, metadata, retry = "", "", {}, None
    status = rpc_status.from_call(call)
    for detail in [] if status is None else status.details:
        info, again = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, domain, metadata = info.reason, info.domain, dict(info.metadata)
        elif detail.Unpack(again):
            retry = again.retry_delay.ToTimedelta().total_seconds()
    return Failure(call.code(), call.details() or "", reason, domain, metadata, retry)


def eventually(condition: Callable[[], bool], what: str, seconds: float = TIMEOUT) -> None:
    """Wait until ``condition`` holds; ``what`` it is about goes into the failure."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s: {what}"
        time.sleep(0.01)


def serve_command(ports: Path, *flags: str) -> list[str]:
    """A small server on free ports, which it writes to ``ports`` once it serves."""
    command = [sys.executable, "-m", "protome", "serve", *SMALL, "--port-file", str(ports)]
    command += ["--host", "127.0.0.1", "--port", "0"]
    return [
        *command,
        "--metrics-host",
        "127.0.0.1",
        "--metrics-port",
        "0",
        "--web-port",
        "0",
        *flags,
    ]


@contextlib.contextmanager
def channel_to(ports: Path) -> Iterator[grpc.Channel]:
    """A connection to the server that wrote ``ports``."""
    address = f"127.0.0.1:{ports.read_text().split()[0]}"
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        yield channel


def cancel(call: Any) -> None:
    """Give a call up."""
    call.cancel()


def http_get(server: EmbeddedServer, path: str) -> tuple[int, str]:
    """Status and body of a page of the HTTP listener."""
    try:
        with urllib.request.urlopen(f"http://{server.http}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(server: EmbeddedServer, name: str, /, **labels: str) -> float:
    """Sum of the samples called ``name`` that have these labels."""
    _, text = http_get(server, "/metrics")
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def in_flight(server: EmbeddedServer) -> float:
    """Photos being worked on."""
    return metric(server, "protome_requests_in_flight")


def workers(server: EmbeddedServer) -> list[psutil.Process]:
    """The worker processes of a server, oldest first: the last may be starting still.

    Not by their ids, which begin again at the bottom once they are used up.
    """
    children = psutil.Process(server.process.pid).children(recursive=True)
    return sorted(filter(is_worker, children), key=psutil.Process.create_time)


def restarts(server: EmbeddedServer) -> float:
    """Workers that were replaced, without those that a busy machine did not let start in time."""
    slow = server.log.read_text(errors="replace").count("did not start within")
    return metric(server, "protome_worker_restarts_total") - slow


def whole(server: EmbeddedServer, count: int, seconds: float = TIMEOUT) -> None:
    """Wait until so many workers are ready: one that is starting only has a process."""
    eventually(
        lambda: metric(server, "protome_workers") == count, f"{count} workers are ready", seconds
    )


def is_worker(process: psutil.Process) -> bool:
    """Whether a process runs protome.workers.worker."""
    try:
        return "protome.workers.worker" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def memory(server: EmbeddedServer) -> int:
    """Resident bytes of a server and its workers, shared pages counted once (PSS)."""
    root = psutil.Process(server.process.pid)
    total = 0
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


def matrix(face: pb.Face) -> F64:
    """(4, 4) mesh_to_photo of a face."""
    return np.array(face.mesh_to_photo, np.float64).reshape(4, 4, order="F")


def to_photo(face: pb.Face, positions: npt.ArrayLike) -> F64:
    """Mesh positions (n, 3) in photo coordinates (n, 3)."""
    points = np.asarray(positions, np.float64)
    rows = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix(face).T
    return np.asarray(rows[:, :3], np.float64)


def overlap(a: pb.BoundingBox, b: pb.BoundingBox) -> float:
    """Intersection over union of two boxes."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)


def boxes(*rectangles: Iterable[float]) -> list[pb.BoundingBox]:
    """Boxes from (x, y, width, height)."""
    return [
        pb.BoundingBox(x=x, y=y, width=width, height=height) for x, y, width, height in rectangles
    ]


def heavy(
    image: bytes, faces: int = 16, format_: pb.MeshFormat.ValueType = pb.MESH_FORMAT_OBJ
) -> pb.ReconstructRequest:
    """A request that keeps a server busy for seconds: one face many times, large meshes."""
    return pb.ReconstructRequest(
        image=image,
        boxes=boxes(*[(179.0 + i % 4, 62.0 + i // 4, 88.0, 110.0) for i in range(faces)]),
        detail=pb.DETAIL_LEVEL_FINE,
        formats=[format_],
    )


def large(image: bytes, faces: int = 16) -> pb.ReconstructRequest:
    """A request for as many meshes of 12 MB, made in a quarter of the time: for slow readers."""
    return heavy(image, faces, pb.MESH_FORMAT_STL)

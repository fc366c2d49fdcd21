"""Define the metrics of a server, in Prometheus base units, prefixed ``protome_``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from protome.scheduling.batcher import BatchFacts, Reason

from .context import record_stages

SECONDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
BYTES: Final = tuple(float(1 << power) for power in range(12, 26, 2))
FACES: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 32)
BATCHES: Final = (1, 2, 4, 8, 16, 32)
FILLS: Final = (0.25, 0.5, 0.625, 0.75, 0.875, 1.0)
# By protocol.
METHODS: Final = (
    ("grpc", "Reconstruct"), ("grpc", "ReconstructMany"), ("http", "Reconstruct"),
)  # fmt: skip
# Status codes that a photo can end with, and the reasons of their errors.
RESULTS: Final[Mapping[str, Sequence[str]]] = {
    "OK": [""],
    "NOT_FOUND": ["NO_FACE_FOUND"],
    "INVALID_ARGUMENT": [
        "INVALID_REQUEST", "UNSUPPORTED_FORMAT", "BROKEN_IMAGE", "IMAGE_TOO_LARGE",
    ],
    "RESOURCE_EXHAUSTED": ["OVERLOADED", "QUOTA_EXCEEDED"],
    "DEADLINE_EXCEEDED": ["", "DEADLINE_PASSED"],
    "CANCELLED": ["", "CLIENT_GONE"],
    "UNAVAILABLE": ["WORKER_DIED", "DRAINING"],
    "INTERNAL": ["INTERNAL", "WORKER_HUNG", "WORKER_OUT_OF_MEMORY"],
}  # fmt: skip
STAGES: Final = (
    "worker_queue", "decode", "detect", "crop", "queue", "inference", "surface", "appearance",
    "encode",
)  # fmt: skip


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._add_photos()
        self._add_stages()
        self._add_work()

    def _add_photos(self) -> None:
        """Add the metrics of photos and calls as their clients see them."""
        r = self.registry
        self._requests = Counter(
            "protome_requests",
            "Photos answered, by protocol, method, gRPC status code and reason of the error.",
            ["protocol", "method", "code", "reason"],
            registry=r,
        )
        # Start at 0: Prometheus rates miss the first step of a series that begins above 0.
        for method in METHODS:
            for code, reasons in RESULTS.items():
                for reason in reasons:
                    self._requests.labels(*method, code, reason)
        self._request_seconds = Histogram(
            "protome_request_duration_seconds",
            "Photo received to last message written.",
            ["protocol", "method"],
            buckets=SECONDS,
            registry=r,
        )
        for method in METHODS:
            self._request_seconds.labels(*method)
        self._first_seconds = Histogram(
            "protome_time_to_first_mesh_seconds",
            "Photo received to first mesh byte written.",
            ["protocol", "method"],
            buckets=SECONDS,
            registry=r,
        )
        self._unauthenticated = Counter(
            "protome_unauthenticated_calls",
            "Calls refused because their token is missing or unknown.",
            registry=r,
        )
        self._in_flight = Gauge("protome_requests_in_flight", "Photos in progress.", registry=r)
        self._ready = Gauge("protome_ready", "1 when the server accepts requests.", registry=r)

    def _add_stages(self) -> None:
        """Add the metrics of what happens to a photo."""
        r = self.registry
        self._stage_seconds = Histogram(
            "protome_stage_duration_seconds",
            "Time in a stage: of a photo (decode, detect, crop), of a face (queue, inference), of "
            "a mesh (surface, appearance, encode), or of either waiting for a worker "
            "(worker_queue).",
            ["stage"],
            buckets=SECONDS,
            registry=r,
        )
        self._stages = {stage: self._stage_seconds.labels(stage) for stage in STAGES}
        self._photo_faces = Histogram(
            "protome_photo_faces", "Faces found in a photo.", buckets=FACES, registry=r
        )
        self._mesh_bytes = Histogram(
            "protome_mesh_size_bytes", "Size of an encoded mesh.", buckets=BYTES, registry=r
        )

    def _add_work(self) -> None:
        """Add the metrics of batches and of the work of network and workers."""
        r = self.registry
        self._batch_size = Histogram(
            "protome_batch_size_faces", "Faces in a batch.", buckets=BATCHES, registry=r
        )
        self._batch_fill = Histogram(
            "protome_batch_fill_ratio",
            "Faces of a batch over the rows computed for it.",
            buckets=FILLS,
            registry=r,
        )
        self._padding = Counter(
            "protome_batch_padding_rows", "Rows computed to fill a batch up.", registry=r
        )
        self._dispatches = Counter(
            "protome_batch_dispatches",
            "Batches, by why they were started: idle engine, full, a deadline, draining.",
            ["dispatch_reason"],
            registry=r,
        )
        for reason in Reason:
            self._dispatches.labels(reason.value)
        self._gone = Counter(
            "protome_batch_gone_faces", "Faces computed after their client was gone.", registry=r
        )
        self._work = Counter(
            "protome_work_seconds", "Time of workers and network spent on photos.", registry=r
        )
        self._wasted = Counter(
            "protome_wasted_seconds",
            "Part of protome_work_seconds spent on photos whose result was not delivered.",
            registry=r,
        )
        self._restarts = Counter(
            "protome_worker_restarts", "Worker processes that were replaced.", registry=r
        )

    def watch(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read whenever the metrics are collected."""
        Gauge(name, meaning, registry=self.registry).set_function(read)

    def describe(self, name: str, meaning: str, facts: Mapping[str, str]) -> None:
        """Add a metric that is 1 and has these facts as labels."""
        Info(name, meaning, registry=self.registry).info(dict(facts))

    def ready(self, ready: bool) -> None:
        """Set whether the server accepts requests."""
        self._ready.set(ready)

    def began(self) -> None:
        """Count a photo that was received."""
        self._in_flight.inc()

    def ended(self, protocol: str, method: str, code: str, reason: str, seconds: float) -> None:
        """Count a photo that was answered."""
        self._in_flight.dec()
        self._requests.labels(protocol, method, code, reason).inc()
        self._request_seconds.labels(protocol, method).observe(seconds)

    def refused(self, protocol: str, method: str, code: str, reason: str) -> None:
        """Count a photo that was refused."""
        self._requests.labels(protocol, method, code, reason).inc()

    def unauthenticated(self) -> None:
        """Count a call without a known token."""
        self._unauthenticated.inc()

    def first_mesh(self, protocol: str, method: str, seconds: float) -> None:
        """Record the time to the first byte of a photo's first mesh."""
        self._first_seconds.labels(protocol, method).observe(seconds)

    def waited_for_worker(self, seconds: float) -> None:
        """Record the time that a task of the current call waited for a worker."""
        self.stage("worker_queue", seconds)
        record_stages({"worker_queue": seconds})

    def stage(self, stage: str, seconds: float) -> None:
        """Record the duration of a stage."""
        self._stages[stage].observe(seconds)

    def batch(self, facts: BatchFacts) -> None:
        """Record a batch that went through the network."""
        self._batch_size.observe(facts.faces)
        self._batch_fill.observe(facts.faces / facts.rows)
        self._padding.inc(facts.rows - facts.faces)
        self._dispatches.labels(facts.reason).inc()
        self._gone.inc(facts.gone)
        self._work.inc(facts.seconds)
        self._wasted.inc(facts.seconds * facts.gone / facts.faces)

    def work(self, seconds: float) -> None:
        """Add time that a worker was busy with a photo."""
        self._work.inc(seconds)

    def wasted(self, seconds: float) -> None:
        """Add time that was spent on a photo whose result was not delivered."""
        self._wasted.inc(seconds)

    def photo_faces(self, faces: int) -> None:
        """Record the number of faces found in a photo."""
        self._photo_faces.observe(faces)

    def mesh(self, size: int) -> None:
        """Record the size of an encoded mesh, bytes."""
        self._mesh_bytes.observe(size)

    def worker_restarted(self) -> None:
        """Count a worker process that was replaced."""
        self._restarts.inc()

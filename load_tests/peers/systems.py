"""List the servers that are compared: how each is started and called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .stages import MAX_BATCH


@dataclass(frozen=True)
class System:
    """A server to measure.

    Attributes:
        name: name in the table.
        how: how it is called, a key of :data:`http.CONNECT`.
        module: module that serves.
        processes: processes per core that report that they are ready.
        flags: its flags, with the fields {port}, {cores}, {ms} or {seconds} (timeout of a call)
            and, so that queued calls can still be answered in time, {queue} (calls that may wait)
            or {wait} (seconds that a call may wait).
    """

    name: str
    how: str
    module: str
    processes: int
    flags: str


MOSEC: Final = (
    "--address 127.0.0.1 --port {port} --cores {cores} --timeout {ms} --capacity {queue} "
    "--log-level error"
)
LITSERVE: Final = "--port {port} --cores {cores} --timeout {wait}"
BENTOML: Final = (
    " --host 127.0.0.1 --port {port} --arg cores={cores} --arg ms={ms} --arg queue={queue} --quiet"
)
RAY: Final = "--port {port} --cores {cores} --timeout {seconds} --queue {queue}"
SYSTEMS: Final = (
    System(
        "Protome",
        "grpc",
        "protome",
        0,
        "serve --host 127.0.0.1 --port {port} --metrics-host 127.0.0.1 --metrics-port 0 --no-web "
        "--provider cpu --workers {cores} --max-batches {cores} --inference-threads 1 "
        f"--max-batch {MAX_BATCH} --log-level error",
    ),
    System("Mosec, pipeline", "mosec", "load_tests.peers.mosec_server", 3, MOSEC + " --stages 3"),
    System("Mosec, one stage", "mosec", "load_tests.peers.mosec_server", 1, MOSEC + " --stages 1"),
    System("LitServe, batches", "litserve", "load_tests.peers.litserve_server", 1, LITSERVE),
    System(
        "LitServe, no batches",
        "litserve",
        "load_tests.peers.litserve_server",
        1,
        LITSERVE + " --batch 1",
    ),
    System(
        "BentoML, batches",
        "bentoml",
        "bentoml",
        1,
        "serve load_tests.peers.bentoml_server:Batches" + BENTOML,
    ),
    System(
        "BentoML, no batches",
        "bentoml",
        "bentoml",
        1,
        "serve load_tests.peers.bentoml_server:Whole" + BENTOML,
    ),
    System("Ray Serve, batches", "ray", "load_tests.peers.ray_server", 1, RAY),
    System("Ray Serve, no batches", "ray", "load_tests.peers.ray_server", 1, RAY + " --batch 1"),
)

"""A server that faults can be injected into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.photos import opened, saved
from tests.support.service import MIB, OPTIONS, Stub, ask, heavy, memory

INJECT = Path(__file__).parent / "inject"
# Clients that may send slowly.
SLOW = 4
Fault = Callable[[str], None]


@pytest.fixture(scope="session")
def photo(sample_photo: bytes) -> bytes:
    """Small, so that many of them go through."""
    return saved(opened(sample_photo).resize((200, 200)), "JPEG", quality=90)


@pytest.fixture(scope="session")
def fault_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("faults") / "fault"
    file.write_text("none")
    return file


@pytest.fixture
def fault(fault_file: Path) -> Iterator[Fault]:
    """Tell the server to be at fault; it ends with the test."""

    def inject(what: str) -> None:
        part = fault_file.with_suffix(".part")
        part.write_text(what)
        part.replace(fault_file)

    yield inject
    inject("none")


@contextlib.contextmanager
def faulty(fault_file: Path) -> Iterator[None]:
    """Servers that are started now do as the file says."""
    path = os.pathsep.join(filter(None, [str(INJECT), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("FAULT_FILE", str(fault_file))
        yield


@pytest.fixture(scope="session")
def server(fault_file: Path, photo: bytes, sample_photo: bytes) -> Iterator[EmbeddedServer]:
    """Two workers, tasks of at most four seconds; warm, so that what it takes up has settled."""
    with faulty(fault_file):
        running = EmbeddedServer(
            [*("--workers", "2", "--task-seconds", "4", "--slow-uploads", str(SLOW))]
        )
        with running, grpc.insecure_channel(running.address, options=OPTIONS) as channel:
            for _ in range(10):
                ask(Stub(channel), pb.ReconstructRequest(image=photo))
            # Large meshes, whichever worker gets them, and full batches on every lane.
            many = heavy(sample_photo, 16)
            many.detail = pb.DETAIL_LEVEL_PREVIEW
            requests = [heavy(sample_photo, 4)] * 4 + [many] * 2
            settled = 0
            with ThreadPoolExecutor(4) as threads:
                for _ in range(3):
                    list(threads.map(lambda request: ask(Stub(channel), request, None), requests))
                    if memory(running) < settled + 8 * MIB:
                        break
                    settled = memory(running)
            yield running

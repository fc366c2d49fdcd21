"""Servers that are killed, told twice, or told while they start."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedServer
from tests.e2e.processes import gone
from tests.support.service import (
    ONE_WORKER,
    OPTIONS,
    SMALL,
    Stub,
    ask,
    cancel,
    eventually,
    heavy,
    in_flight,
    serve_command,
    workers,
)


def test_second_sigterm_does_no_harm(sample_photo: bytes) -> None:
    with (
        EmbeddedServer([*ONE_WORKER, "--drain-delay", "1"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(ask, Stub(channel), heavy(sample_photo, 6))
        eventually(lambda: in_flight(server) == 1, "a photo is in flight")
        for _ in range(3):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
        assert answer.result().events[-1] == "summary"
        assert server.process.wait(15) == 0


def test_killed_server_leaves_no_workers_behind(sample_photo: bytes) -> None:
    with EmbeddedServer(SMALL) as server:
        with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
            call = Stub(channel).Reconstruct(heavy(sample_photo, 8), timeout=60)
            eventually(lambda: in_flight(server) == 1, "a photo is in flight")
            children = workers(server)
            assert len(children) == 2
            server.process.kill()
            eventually(lambda: gone(children), "the workers have ended")
            cancel(call)
        assert server.process.wait(5) == -signal.SIGKILL


def test_sigterm_during_startup_ends_it() -> None:
    """An orchestrator that changes its mind must not wait for the kill."""
    command = [sys.executable, "-m", "protome", "serve", "--port", "0", "--metrics-port", "0"]
    command += ["--web-port", "0"]
    command += ["--host", "127.0.0.1", "--metrics-host", "127.0.0.1", *SMALL]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        eventually(
            lambda: bool(psutil.Process(process.pid).children()), "the first worker is starting"
        )
        children = psutil.Process(process.pid).children()
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
        assert process.returncode == 0
        assert gone(children)


# Where a process of one's own can be the first of its namespace.
FIRST: Final = ("unshare", "--pid", "--fork", "--mount-proc")


@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run([*FIRST, "true"], check=False, capture_output=True).returncode != 0,
    reason="needs unshare(1) and the right to it",
)
def test_sigterm_ends_the_first_process_of_a_container_while_it_imports(tmp_path: Path) -> None:
    """Such a process is sent no signal that it does not handle."""
    quiet = subprocess.DEVNULL
    command = [*FIRST, *serve_command(tmp_path / "ports")]
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as outer:
        first: list[psutil.Process] = []

        def imports_grpc() -> bool:
            first[:] = psutil.Process(outer.pid).children()
            return bool(first) and "cygrpc" in Path(f"/proc/{first[0].pid}/maps").read_text()

        try:
            eventually(imports_grpc, "it imports gRPC")
            first[0].terminate()
            assert outer.wait(20) == 128 + signal.SIGTERM
        finally:
            for process in first:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()

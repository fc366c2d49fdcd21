"""Workers that are killed, stopped, or cannot be had."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import (
    MIB,
    Stub,
    ask,
    cancel,
    channel_to,
    eventually,
    heavy,
    in_flight,
    is_worker,
    metric,
    serve_command,
    whole,
    workers,
)

from .load import Load, Rest, heals


def _restarts(server: EmbeddedServer) -> float:
    return metric(server, "protome_worker_restarts_total")


def test_workers_that_are_killed(server: EmbeddedServer, photo: bytes) -> None:
    before, restarts = Rest.of(server), _restarts(server)
    with Load(server, photo) as load:
        for killed in range(1, 4):
            workers(server)[0].kill()
            eventually(lambda k=killed: _restarts(server) >= restarts + k, "it is noticed")  # type: ignore[misc]
            whole(server, 2)
            load.progress(3)
    assert _restarts(server) == restarts + 3
    # Each takes one photo with it at most, or a face of it.
    assert set(load.failed) <= {"WORKER_DIED"}
    assert sum(load.failed.values()) <= 3
    heals(server, photo, before)


def test_a_worker_that_stops_answering(server: EmbeddedServer, photo: bytes) -> None:
    before, restarts = Rest.of(server), _restarts(server)
    with Load(server, photo) as load:
        workers(server)[0].suspend()
        # The other one goes on meanwhile, and after task_seconds there are two again.
        load.progress(3)
        eventually(lambda: _restarts(server) == restarts + 1, "it is ended", 20)
        whole(server, 2)
        load.progress(3)
    assert set(load.failed) <= {"WORKER_HUNG"}
    assert sum(load.failed.values()) <= 1
    heals(server, photo, before)


@pytest.mark.parametrize("limit", [resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE])
def test_no_shared_memory_for_a_new_worker(
    server: EmbeddedServer, photo: bytes, limit: int
) -> None:
    """It cannot be made, or has no descriptor: the server goes on with what it has, and tries."""
    before = Rest.of(server)
    process = psutil.Process(server.process.pid)
    normal = process.rlimit(limit)
    with Load(server, photo) as load:
        try:
            # Less than a mailbox, more than the log; fewer than are open.
            lowest = 64 * MIB if limit == resource.RLIMIT_FSIZE else process.num_fds() // 2
            process.rlimit(limit, (lowest, normal[1]))
            workers(server)[0].kill()
            eventually(lambda: b"cannot start a worker" in server.log.read_bytes(), "it is said")
            load.progress(3)
        finally:
            process.rlimit(limit, normal)
        whole(server, 2)
        load.progress(3)
    assert set(load.failed) <= {"WORKER_DIED", "UNAVAILABLE"}
    heals(server, photo, before)


# Root's processes are not limited.
NOBODY = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+dac_override")
AS_USER = (*NOBODY, "--ambient-caps=+dac_override") if os.getuid() == 0 else ()


def test_no_process_and_no_thread_for_a_new_worker(photo: bytes, tmp_path: Path) -> None:
    """Whatever was there goes on, probes too, and once it may it is whole again."""
    request = pb.ReconstructRequest(image=photo, detail=pb.DETAIL_LEVEL_PREVIEW)
    normal, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    ports = tmp_path / "ports"

    def limit(threads: int) -> None:
        command = (*AS_USER, "prlimit", f"--pid={process.pid}", f"--nproc={threads}:")
        subprocess.run(command, check=True)

    def outcomes() -> list[str]:
        with channel_to(ports) as fresh:
            return ask(Stub(fresh), request, 20).outcomes()

    with serving(ports, AS_USER) as process:
        eventually(ports.exists, "it serves", 60)
        limit(1)
        # Before any photo, with which parts might have started threads of theirs.
        _starting(process)[0].kill()
        assert outcomes() == ["RECONSTRUCTED"]
        http = f"http://127.0.0.1:{ports.read_text().split()[1]}"
        for _ in range(3):
            for path in ("/healthz", "/readyz"):
                with urllib.request.urlopen(http + path, timeout=10) as probe:
                    assert probe.status == 200
            time.sleep(1)
            assert outcomes() == ["RECONSTRUCTED"]
        assert len(_starting(process)) == 1
        limit(normal)
        eventually(lambda: len(_starting(process)) == 2, "there are two again")
        assert outcomes() == ["RECONSTRUCTED"]
        limit(1)
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("--nproc=1:", r"the system allows fewer than \d+ more threads and processes"),
        ("--nofile=40", r"too few files may be open \(RLIMIT_NOFILE\)"),
    ],
)
def test_too_little_to_start_with(tmp_path: Path, limit: str, said: str) -> None:
    flags = ("--log-level", "error")
    command = [*AS_USER, "prlimit", limit, *serve_command(tmp_path / "ports", *flags)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.fullmatch(f"protome: {said}\n", done.stderr), done.stderr


def test_a_worker_that_is_stopped_while_its_clients_leave(
    server: EmbeddedServer, photo: bytes, sample_photo: bytes
) -> None:
    """Its shared memory is freed once it is replaced, though the call has ended."""
    before, restarts = Rest.of(server), _restarts(server)
    with Load(server, photo) as load, grpc.insecure_channel(server.address) as channel:
        calls = [Stub(channel).Reconstruct(heavy(sample_photo, 2), timeout=60) for _ in range(4)]
        eventually(lambda: in_flight(server) >= 4, "they are in work")
        stopped = workers(server)[0]
        stopped.suspend()
        for call in calls:
            cancel(call)
        eventually(lambda: _restarts(server) == restarts + 1, "it is ended", 20)
        whole(server, 2)
        assert not stopped.is_running() or stopped.status() == psutil.STATUS_ZOMBIE
        load.progress(3)
    assert set(load.failed) <= {"WORKER_HUNG"}
    assert sum(load.failed.values()) <= 1
    heals(server, photo, before)


def test_a_successor_that_dies_while_it_starts_is_counted_too(
    server: EmbeddedServer, photo: bytes
) -> None:
    before, restarts = Rest.of(server), _restarts(server)
    with Load(server, photo) as load:
        for killed in range(1, 4):
            # The first is at work, those after it are starting.
            eventually(lambda: len(workers(server)) == 2, "another is starting")
            assert metric(server, "protome_workers") == (2 if killed == 1 else 1)
            workers(server)[-1].kill()
            eventually(lambda k=killed: _restarts(server) == restarts + k, "it is counted")  # type: ignore[misc]
        load.progress(3)
        whole(server, 2)
    assert _restarts(server) == restarts + 3
    assert set(load.failed) <= {"WORKER_DIED"}
    assert sum(load.failed.values()) <= 1
    heals(server, photo, before)


def test_all_workers_killed_at_once_and_their_successors_too(
    server: EmbeddedServer, photo: bytes
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load:
        for _ in range(3):
            gone = {worker.pid for worker in workers(server)}
            for pid in gone:
                psutil.Process(pid).kill()
            eventually(
                lambda g=gone: bool({w.pid for w in workers(server)} - g),  # type: ignore[misc]
                "another is starting",
            )
        load.progress(3)
    assert set(load.failed) <= {"WORKER_DIED"}
    heals(server, photo, before)


def test_a_worker_that_dies_while_the_server_starts_is_replaced(
    photo: bytes, tmp_path: Path
) -> None:
    ports = tmp_path / "ports"
    with serving(ports) as process:
        eventually(lambda: bool(_starting(process)), "a worker is starting")
        _starting(process)[0].kill()
        eventually(lambda: ports.exists() or process.poll() is not None, "it serves", 60)
        assert process.poll() is None
        with grpc.insecure_channel(f"127.0.0.1:{ports.read_text().split()[0]}") as channel:
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo))
            assert answer.outcomes() == ["RECONSTRUCTED"]
        assert len(_starting(process)) == 2
        process.terminate()
        assert process.wait(20) == 0


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.8, 1.6])
def test_sigterm_while_it_starts_ends_it_soon(tmp_path: Path, seconds: float) -> None:
    """Somewhere between its first worker and the first photo, as fast as the machine is."""
    with serving(tmp_path / "ports") as process:
        eventually(lambda: len(_starting(process)) == 2, "its workers are starting")
        children = _starting(process)
        time.sleep(seconds)
        began = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
        assert time.monotonic() - began < 10
        eventually(lambda: not any(child.is_running() for child in children), "they are gone", 5)


def test_a_killed_server_leaves_no_worker_though_it_is_stopped(
    sample_photo: bytes, tmp_path: Path
) -> None:
    """It hears of nothing any more: the system ends it."""
    ports = tmp_path / "ports"
    with serving(ports) as process:
        eventually(ports.exists, "it serves", 60)
        children = _starting(process)
        for child in children:
            child.suspend()
        with grpc.insecure_channel(f"127.0.0.1:{ports.read_text().split()[0]}") as channel:
            call = Stub(channel).Reconstruct(pb.ReconstructRequest(image=sample_photo), timeout=60)
            process.kill()
            process.wait(10)
            eventually(lambda: not any(map(_runs, children)), "they are gone", 10)
            cancel(call)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _starting(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its workers, at work or not yet."""
    return [child for child in psutil.Process(process.pid).children() if is_worker(child)]


@contextlib.contextmanager
def serving(ports: Path, runner: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """A server from its first moment on; ``runner`` is a command that runs it."""
    command = [*runner, *serve_command(ports, "--until-eof", "--drain-delay", "0")]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet) as process:
        children: list[psutil.Process] = []
        try:
            yield process
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                children = psutil.Process(process.pid).children()
            process.kill()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()

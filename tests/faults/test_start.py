"""Servers with too little to start with, or of whose parts some end while they start."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedError, EmbeddedServer
from protome.model.card import SHIPPED
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import (
    SMALL,
    Stub,
    ask,
    cancel,
    channel_to,
    eventually,
    is_worker,
    refused,
    serve_command,
)

from .conftest import faulty

INVALID = grpc.StatusCode.INVALID_ARGUMENT
# RLIMIT_NPROC has no effect on root. If the tests run as root, run commands as user ID 65534.
# CAP_DAC_OVERRIDE gives that user access to files that root owns.
NOBODY = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+dac_override")
AS_USER = (*NOBODY, "--ambient-caps=+dac_override") if os.getuid() == 0 else ()


@contextlib.contextmanager
def terminated(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Terminate a server at the end, and check that it ends without an error."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)
    assert process.returncode == 0


def test_a_server_whose_grpc_ended_ends_too(tmp_path: Path) -> None:
    """It would be ready and answer no call."""
    with faulty(tmp_path / "fault"), EmbeddedServer(SMALL) as ending:
        (tmp_path / "fault").write_text("end")
        assert ending.process.wait(20) == 0
        assert b"gRPC ended unexpectedly" in ending.log.read_bytes()


def test_a_full_disk_under_the_log(tmp_path: Path, photo: bytes) -> None:
    """Every write to /dev/full fails as on a full disk."""
    ports = tmp_path / "ports"
    command = serve_command(ports, "--until-eof", "--log-format", "json")
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=full, stderr=full)
    with terminated(process):
        limit = time.monotonic() + 60
        while not ports.exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)
        with channel_to(ports) as channel:
            for _ in range(3):
                answer = ask(Stub(channel), pb.ReconstructRequest(image=photo))
                assert answer.outcomes() == ["RECONSTRUCTED"]


def test_a_log_that_nobody_reads(tmp_path: Path, photo: bytes) -> None:
    """A pipe holds 64 KiB, which these photos fill many times over; then its reader is gone."""
    ports = tmp_path / "ports"
    command = serve_command(ports, "--until-eof", "--drain-delay", "0")
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe)
    assert process.stderr is not None
    with terminated(process):
        eventually(ports.exists, "it serves")
        with channel_to(ports) as channel:
            for _ in range(1500):
                assert refused(Stub(channel), pb.ReconstructRequest(image=b"no")).code is INVALID
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo), timeout=20)
            assert answer.outcomes() == ["RECONSTRUCTED"]
            process.stderr.close()
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo), timeout=20)
            assert answer.outcomes() == ["RECONSTRUCTED"]


def test_without_standard_streams(tmp_path: Path, photo: bytes) -> None:
    """What it opens first then gets their descriptors."""
    ports = tmp_path / "ports"
    command = serve_command(ports, "--drain-delay", "0")
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    with terminated(process):
        eventually(lambda: ports.exists() or process.poll() is not None, "it serves")
        with channel_to(ports) as channel:
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo))
            assert answer.outcomes() == ["RECONSTRUCTED"]


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_a_network_cut_short_is_not_served(tmp_path: Path, share: float) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    data = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(data[: int(share * len(data))])
    with (
        pytest.raises(EmbeddedError, match="has SHA-256"),
        EmbeddedServer([*SMALL, "--model-dir", str(folder)]),
    ):
        pass


def test_a_card_with_another_digest_is_not_served(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(SHIPPED, folder)
    card = json.loads((folder / "model.json").read_text())
    card["digest"] = "0" * 64
    (folder / "model.json").write_text(json.dumps(card))
    with (
        pytest.raises(EmbeddedError, match="has SHA-256"),
        EmbeddedServer([*SMALL, "--model-dir", str(folder)]),
    ):
        pass


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
        eventually(ports.exists, "it serves")
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


def test_a_worker_that_dies_while_the_server_starts_is_replaced(
    photo: bytes, tmp_path: Path
) -> None:
    ports = tmp_path / "ports"
    with serving(ports) as process:
        eventually(lambda: bool(_starting(process)), "a worker is starting")
        _starting(process)[0].kill()
        eventually(lambda: ports.exists() or process.poll() is not None, "it serves")
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
        eventually(ports.exists, "it serves")
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

"""A full disk, a clock that jumps, a network's file that is damaged."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import time
from pathlib import Path

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedError, EmbeddedServer
from protome.model.card import SHIPPED
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import SMALL, Stub, ask, channel_to, eventually, refused, serve_command

from .conftest import Fault, faulty
from .load import Load, Rest, heals

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SERVICE = Path(__file__).parents[2] / "service" / "protome"
# Reads of the wall clock: what they decide moves when it jumps.
WALL_CLOCK = {"time", "time_ns", "localtime", "now", "utcnow", "today"}


def test_a_clock_that_jumps_by_a_day_changes_nothing(
    server: EmbeddedServer, photo: bytes, fault: Fault
) -> None:
    """Calls have no deadline here: gRPC alone reckons those with the wall clock, in the moment a
    call arrives, and both of its clocks would have to jump between."""
    before = Rest.of(server)
    with Load(server, photo, timeout=None) as load:
        fault("clock 86400")
        load.progress(10)
        fault("clock -86400")
        load.progress(5)
    assert load.failed == {}
    # The calls that follow have a deadline.
    fault("none")
    heals(server, photo, before)


def test_a_server_that_was_stopped_goes_on(server: EmbeddedServer, photo: bytes) -> None:
    """For longer than a task may take, as when a machine sleeps: what was in work may be lost."""
    before = Rest.of(server)
    process = psutil.Process(server.process.pid)
    with Load(server, photo, timeout=60) as load:
        process.suspend()
        time.sleep(6)
        process.resume()
        load.progress(5)
    assert set(load.failed) <= {"WORKER_HUNG"}
    assert sum(load.failed.values()) <= 2
    heals(server, photo, before)


def test_only_spans_read_the_wall_clock() -> None:
    readers = set()
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in ("time", "datetime", "date"):
                    readers |= {path.stem} if node.func.attr in WALL_CLOCK else set()
    assert readers == {"tracing"}


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
    try:
        limit = time.monotonic() + 60
        while not ports.exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)
        with channel_to(ports) as channel:
            for _ in range(3):
                answer = ask(Stub(channel), pb.ReconstructRequest(image=photo))
                assert answer.outcomes() == ["RECONSTRUCTED"]
    finally:
        process.terminate()
        process.wait(40)
    assert process.returncode == 0


def test_a_log_that_nobody_reads(tmp_path: Path, photo: bytes) -> None:
    """A pipe holds 64 KiB, which these photos fill many times over; then its reader is gone."""
    ports = tmp_path / "ports"
    command = serve_command(ports, "--until-eof", "--drain-delay", "0")
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe)
    assert process.stderr is not None
    try:
        eventually(ports.exists, "it serves", 60)
        with channel_to(ports) as channel:
            for _ in range(1500):
                assert refused(Stub(channel), pb.ReconstructRequest(image=b"no")).code is INVALID
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo), timeout=20)
            assert answer.outcomes() == ["RECONSTRUCTED"]
            process.stderr.close()
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo), timeout=20)
            assert answer.outcomes() == ["RECONSTRUCTED"]
    finally:
        process.terminate()
        process.wait(40)
    assert process.returncode == 0


def test_without_standard_streams(tmp_path: Path, photo: bytes) -> None:
    """What it opens first then gets their descriptors."""
    ports = tmp_path / "ports"
    command = serve_command(ports, "--drain-delay", "0")
    process = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
    try:
        eventually(lambda: ports.exists() or process.poll() is not None, "it serves", 60)
        with channel_to(ports) as channel:
            answer = ask(Stub(channel), pb.ReconstructRequest(image=photo))
            assert answer.outcomes() == ["RECONSTRUCTED"]
    finally:
        process.terminate()
        process.wait(40)
    assert process.returncode == 0


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

"""Nothing of a picture stays behind: not on disk, not in logs, not in shared memory."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import zlib
from pathlib import Path

import grpc
import psutil
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.photos import opened, png
from tests.support.service import (
    OPTIONS,
    SMALL,
    Stub,
    ask,
    cancel,
    eventually,
    heavy,
    in_flight,
    workers,
)

PLACES = ("/tmp", "/var/tmp", "/dev/shm")


def _marked(photo: bytes, mark: bytes) -> bytes:
    """The photo as a PNG whose first row of pixels is ``mark``, in the file as once decoded."""
    picture = opened(photo)
    size = 3 * picture.width
    rows = picture.tobytes()
    rows = (mark * size)[:size] + rows[size:]
    # Neither filtered nor compressed.
    body = b"".join(b"\0" + rows[start : start + size] for start in range(0, len(rows), size))
    return png(picture.width, picture.height, zlib.compress(body, 0))


def _ask_all(stub: Stub, photo: bytes) -> None:
    """A photo that works, one that breaks, one that shows no face, one that is given up."""
    ask(stub, pb.ReconstructRequest(image=photo, appearance=pb.APPEARANCE_TEXTURE))
    rest = [photo[: len(photo) // 2], photo[:-20], photo[100:]]
    for data in rest:
        with contextlib.suppress(grpc.RpcError):
            ask(stub, pb.ReconstructRequest(image=data))
    call = stub.Reconstruct(heavy(photo), timeout=60)
    next(iter(call))
    cancel(call)


def _written_since(start: float) -> list[Path]:
    found = []
    for place in PLACES:
        for folder, _, names in os.walk(place):
            for name in names:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_mtime >= start:
                        found.append(path)
    return found


def _mailboxes(pid: int) -> list[Path]:
    """One path into each block of shared memory that a process holds."""
    links = [x for x in Path(f"/proc/{pid}/fd").iterdir() if "protome-mailbox" in os.readlink(x)]
    return list({os.stat(link).st_ino: link for link in links}.values())


def test_nothing_of_a_picture_stays_behind(
    sample_photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = b"<" + secrets.token_hex(24).encode() + b">"
    photo = _marked(sample_photo, mark)
    assert photo.count(mark) > 20
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    start = tmp_path.stat().st_mtime
    with (
        EmbeddedServer([*SMALL, "--log-level", "debug", "--log-format", "json"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        _ask_all(Stub(channel), photo)
        eventually(lambda: in_flight(server) == 0, "no photo in flight")
        # The workers finish what was given up.
        eventually(lambda: _at_rest(server), "the workers rest")
        assert len(_mailboxes(server.process.pid)) == 2
        for mailbox in _mailboxes(server.process.pid):
            assert not any(mailbox.read_bytes()), "a mailbox was not wiped"
        log = server.log.read_bytes()
        assert b"Reconstruct OK" in log
        assert b"BROKEN_IMAGE" in log
        assert mark not in log
        files = [*_written_since(start), *(p for p in tmp_path.rglob("*") if p.is_file())]
        assert server.log in files
        assert [path for path in files if _holds(path, mark)] == []
        for process in (psutil.Process(server.process.pid), *workers(server)):
            opened_files = [Path(file.path) for file in process.open_files()]
            assert [path for path in opened_files if _holds(path, mark)] == []


def test_a_mailbox_is_wiped_after_a_task_that_fails(sample_photo: bytes) -> None:
    """Each in a state of its own: broken, without a face, given up half-way."""
    mark = b"<" + secrets.token_hex(24).encode() + b">"
    photo = _marked(sample_photo, mark)
    bad = [
        pb.ReconstructRequest(image=photo[: len(photo) // 2]),
        pb.ReconstructRequest(image=photo, boxes=[pb.BoundingBox(x=0, y=0, width=60, height=60)]),
    ]
    with (
        EmbeddedServer(["--max-batch", "1", "--workers", "1"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        for request in bad:
            with contextlib.suppress(grpc.RpcError):
                ask(Stub(channel), request)
            eventually(lambda: _at_rest(server), "the worker rests")
            (mailbox,) = _mailboxes(server.process.pid)
            assert not any(mailbox.read_bytes())


def test_a_crash_writes_no_core(
    sample_photo: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold the pictures that are in work. By default it goes to the working folder."""
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        server = EmbeddedServer(["--max-batch", "1", "--workers", "1"])
        with server, grpc.insecure_channel(server.address, options=OPTIONS) as channel:
            ask(Stub(channel), pb.ReconstructRequest(image=sample_photo))
            (worker,) = workers(server)
            for crashing in (worker, psutil.Process(server.process.pid)):
                # Where the system hands cores to a program they do not come here.
                assert max(crashing.rlimit(psutil.RLIMIT_CORE)) <= 1
                crashing.send_signal(signal.SIGSEGV)
                eventually(lambda: not worker.is_running(), "it is gone")
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def _at_rest(server: EmbeddedServer) -> bool:
    """No task runs: work of cancelled calls is not finished."""
    before = [worker.cpu_times().user for worker in workers(server)]
    psutil.cpu_percent(0.3)
    return before == [worker.cpu_times().user for worker in workers(server)]


def _holds(path: Path, mark: bytes) -> bool:
    try:
        return mark in path.read_bytes()
    except OSError:
        return False

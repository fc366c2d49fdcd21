"""Hundreds of damaged and malicious pictures: each is answered, and the server stays sound."""

from __future__ import annotations

import random
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.damage import KINDS
from tests.support.hostile import FILES
from tests.support.odd import ODD
from tests.support.photos import endless_scans, opened, png, png_chunk, saved
from tests.support.service import (
    MIB,
    OPTIONS,
    SMALL,
    Answer,
    Stub,
    ask,
    eventually,
    failure,
    in_flight,
    memory,
    metric,
    refused,
    workers,
)

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 85},
    "progressive JPEG": {"quality": 85, "progressive": True},
    "PNG": {},
    "WEBP": {"quality": 80},
    "lossless WEBP": {"lossless": True},
}
ALLOWED = {
    grpc.StatusCode.OK,
    # BROKEN_IMAGE, UNSUPPORTED_FORMAT, IMAGE_TOO_LARGE, INVALID_REQUEST.
    grpc.StatusCode.INVALID_ARGUMENT,
    # NO_FACE_FOUND: what is left of the picture shows none.
    grpc.StatusCode.NOT_FOUND,
}
PER_KIND = 13


@pytest.fixture(scope="module")
def attacked() -> Iterator[EmbeddedServer]:
    """A server of its own, so that restarts of its workers are these tests' doing."""
    with EmbeddedServer(SMALL) as running:
        yield running


@pytest.fixture
def victim(attacked: EmbeddedServer) -> Iterator[Stub]:
    with grpc.insecure_channel(attacked.address, options=OPTIONS) as channel:
        yield Stub(channel)


@pytest.fixture(scope="module")
def healthy(attacked: EmbeddedServer, sample_photo: bytes) -> Answer:
    """What the server answers before it is attacked."""
    with grpc.insecure_channel(attacked.address, options=OPTIONS) as channel:
        return ask(Stub(channel), pb.ReconstructRequest(image=sample_photo))


def _outcome(stub: Stub, data: bytes) -> grpc.StatusCode:
    request = pb.ReconstructRequest(image=data, detail=pb.DETAIL_LEVEL_PREVIEW)
    try:
        answer = ask(stub, request, timeout=20)
    except grpc.RpcError as error:
        problem = failure(error)
        assert problem.reason or problem.code not in ALLOWED
        return problem.code
    assert answer.events[-1] == "summary"
    return grpc.StatusCode.OK


def _sound(server: EmbeddedServer, stub: Stub, photo: bytes, healthy: Answer) -> None:
    """The server does what it did before, with all its workers."""
    eventually(lambda: in_flight(server) == 0, "no photo in flight")
    assert ask(stub, pb.ReconstructRequest(image=photo)).mesh() == healthy.mesh()
    assert len(workers(server)) == 2


def _restarts(server: EmbeddedServer) -> float:
    return metric(server, "protome_worker_restarts_total")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pictures_are_answered_and_harm_nothing(
    attacked: EmbeddedServer, victim: Stub, sample_photo: bytes, healthy: Answer, kind: str
) -> None:
    chance = random.Random(f"protome {kind}")
    picture = opened(sample_photo).resize((320, 320))
    damaged = []
    for format_, options in FORMATS.items():
        whole = saved(picture, format_.split()[-1], **options)
        damaged += [KINDS[kind](chance, whole) for _ in range(PER_KIND)]
    with ThreadPoolExecutor(4) as threads:
        outcomes = Counter(threads.map(lambda data: _outcome(victim, data), damaged))
    assert set(outcomes) <= ALLOWED, outcomes
    assert outcomes[grpc.StatusCode.INVALID_ARGUMENT] > 0
    _sound(attacked, victim, sample_photo, healthy)
    assert _restarts(attacked) == 0


def _text_bomb() -> bytes:
    """A PNG whose compressed text would fill 300 MB."""
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(300_000_000), 9))
    plain = png(64, 64, zlib.compress(bytes(64 * (1 + 64 * 3))))
    # Behind the header, which ends at byte 33.
    return plain[:33] + bomb + plain[33:]


def _webp_canvas(width: int, height: int) -> bytes:
    """An animated WebP that claims a large canvas but has no frame."""
    flags = struct.pack("<I", 0x02)
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + flags + size
    body += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _lying_jpeg(photo: bytes, width: int, height: int) -> bytes:
    """The photo with other sides in its frame header."""
    data = bytearray(photo)
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("width", "height"),
    [(0, 0), (1, 1), (16, 16), (65500, 65500), (65500, 16), (513, 512), (512, 4000), (7000, 7000)],
)
def test_jpeg_that_lies_about_its_size(
    attacked: EmbeddedServer,
    victim: Stub,
    sample_photo: bytes,
    healthy: Answer,
    width: int,
    height: int,
) -> None:
    began = time.monotonic()
    assert _outcome(victim, _lying_jpeg(sample_photo, width, height)) in ALLOWED
    assert time.monotonic() - began < 10
    _sound(attacked, victim, sample_photo, healthy)
    assert _restarts(attacked) == 0


BOMBS: dict[str, Callable[[], bytes]] = {
    "2 gigapixels": lambda: png(50_000, 50_000, zlib.compress(bytes(10_000_000), 9)),
    "width of 32 bits": lambda: png(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
    "more pixels than the header says": lambda: png(64, 64, zlib.compress(bytes(200_000_000), 9)),
    "fewer pixels than the header says": lambda: png(7000, 7000, zlib.compress(bytes(5000))),
    "text": _text_bomb,
    "WebP canvas": lambda: _webp_canvas(16383, 16383),
    "WebP canvas of 24 bits": lambda: _webp_canvas(2**24, 2**24),
    "16 bits and alpha": lambda: png(6900, 7200, zlib.compress(bytes(50_000)), colour=6, depth=16),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_refused_before_they_take_up_memory(
    attacked: EmbeddedServer, victim: Stub, sample_photo: bytes, healthy: Answer, bomb: str
) -> None:
    peak = 0
    data = BOMBS[bomb]()
    with ThreadPoolExecutor(1) as threads:
        outcome = threads.submit(_outcome, victim, data)
        while not outcome.done():
            peak = max(peak, memory(attacked))
            time.sleep(0.01)
    assert outcome.result() in ALLOWED
    assert peak < 1500 * MIB
    _sound(attacked, victim, sample_photo, healthy)
    assert _restarts(attacked) == 0


@pytest.mark.parametrize("kind", ["ok", "BROKEN_IMAGE", "IMAGE_TOO_LARGE", "UNSUPPORTED_FORMAT"])
def test_files_made_to_cost_much_cost_little(
    attacked: EmbeddedServer, victim: Stub, sample_photo: bytes, healthy: Answer, kind: str
) -> None:
    """Polyglots, bombs in metadata, endless parts, several pictures: tests/support/hostile.py."""
    peak = 0
    slow = {}
    for name, (expected, make) in FILES.items():
        if expected != kind:
            continue
        data = make()
        began = time.monotonic()
        problem = refused(victim, pb.ReconstructRequest(image=data))
        if time.monotonic() - began > 10:
            slow[name] = time.monotonic() - began
        # The pictures themselves are of one colour.
        assert problem.reason == ("NO_FACE_FOUND" if kind == "ok" else kind), name
        peak = max(peak, memory(attacked))
    assert slow == {}
    assert peak < 1500 * MIB
    _sound(attacked, victim, sample_photo, healthy)
    assert _restarts(attacked) == 0


def test_odd_files_get_the_expected_answer(
    attacked: EmbeddedServer, victim: Stub, sample_photo: bytes, healthy: Answer
) -> None:
    request = pb.ReconstructRequest(detail=pb.DETAIL_LEVEL_PREVIEW)
    outcomes = {}
    for name, (_, make) in ODD.items():
        request.image = make()
        outcomes[name] = refused(victim, request).reason
    assert outcomes == {
        name: "NO_FACE_FOUND" if expected == "ok" else expected
        for name, (expected, _) in ODD.items()
    }
    _sound(attacked, victim, sample_photo, healthy)
    assert _restarts(attacked) == 0


def test_largest_picture_allowed_is_answered_within_its_time(
    attacked: EmbeddedServer, victim: Stub, sample_photo: bytes, healthy: Answer
) -> None:
    """Megapixels of nothing in few bytes: honest, but the most work for its size."""
    data = png(4096, 4096, zlib.compress(bytes(4096 * 12_289), 1))
    began = time.monotonic()
    assert _outcome(victim, data) is grpc.StatusCode.NOT_FOUND
    assert time.monotonic() - began < 10
    _sound(attacked, victim, sample_photo, healthy)


def test_every_prefix_of_the_headers_is_refused(victim: Stub, sample_photo: bytes) -> None:
    picture = opened(sample_photo).resize((64, 64))
    for format_ in ("JPEG", "PNG", "WEBP"):
        data = saved(picture, format_)
        for length in range(1, 41, 3):
            assert _outcome(victim, data[:length]) is grpc.StatusCode.INVALID_ARGUMENT


def test_random_bytes_behind_magic_numbers(victim: Stub) -> None:
    chance = random.Random(11)
    for magic in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBPVP8 "):
        for _ in range(10):
            data = magic + chance.randbytes(chance.choice((10, 1000, 50_000)))
            assert _outcome(victim, data) is grpc.StatusCode.INVALID_ARGUMENT


def test_picture_that_takes_too_long_loses_its_worker_and_no_more(sample_photo: bytes) -> None:
    with (
        EmbeddedServer([*SMALL, "--task-seconds", "2", "--max-scans", "10000"]) as server,
        grpc.insecure_channel(server.address, options=OPTIONS) as channel,
    ):
        stub = Stub(channel)
        healthy = ask(stub, pb.ReconstructRequest(image=sample_photo))
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            ask(stub, pb.ReconstructRequest(image=endless_scans()), timeout=20)
        problem = failure(caught.value)
        assert (problem.code, problem.reason) == (grpc.StatusCode.INTERNAL, "WORKER_HUNG")
        assert problem.metadata["limit_seconds"] == "2.0"
        assert time.monotonic() - began < 10
        # At once, while the worker is being replaced: no other photo may feel it.
        for _ in range(3):
            assert ask(stub, pb.ReconstructRequest(image=sample_photo)).mesh() == healthy.mesh()
        eventually(lambda: len(workers(server)) == 2, "both workers are back")
        _sound(server, stub, sample_photo, healthy)
        assert _restarts(server) == 1

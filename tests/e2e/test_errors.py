"""Errors of requests that cannot be served: code, reason, details."""

from __future__ import annotations

import io
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from PIL import Image

from protome.client import Client, NoFaceFound, ReconstructionError
from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.photos import opened, saved, scenery
from tests.support.service import (
    MIB,
    ONE_WORKER,
    OPTIONS,
    Failure,
    Stub,
    ask,
    eventually,
    failure,
    metric,
    refused,
)

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def strict() -> Iterator[Stub]:
    """A server with small limits."""
    limits = ("--max-image-bytes", "100000", "--max-image-pixels", "300000", "--max-faces", "2")
    with (
        EmbeddedServer([*ONE_WORKER, *limits]) as running,
        grpc.insecure_channel(running.address, options=OPTIONS) as channel,
    ):
        yield Stub(channel)


def _refused(stub: Stub, image: bytes) -> Failure:
    problem = refused(stub, pb.ReconstructRequest(image=image))
    assert problem.domain == "protome"
    assert problem.message
    return problem


def test_empty_photo(stub: Stub) -> None:
    problem = _refused(stub, b"")
    assert (problem.code, problem.reason) == (INVALID, "INVALID_REQUEST")
    assert problem.metadata == {"field": "image"}


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"\0" * 1000,
        b"%PDF-1.7\n" + b"x" * 500,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
)
def test_not_a_picture(stub: Stub, data: bytes) -> None:
    problem = _refused(stub, data)
    assert (problem.code, problem.reason) == (INVALID, "UNSUPPORTED_FORMAT")
    assert problem.metadata["formats"] == "JPEG,PNG,WebP,HEIC,AVIF"
    assert problem.retry_seconds is None


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000"])
def test_pictures_of_other_formats(stub: Stub, sample_photo: bytes, format_: str) -> None:
    data = saved(opened(sample_photo).resize((128, 128)), format_)
    assert _refused(stub, data).reason == "UNSUPPORTED_FORMAT"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_picture_cut_in_half(stub: Stub, sample_photo: bytes, format_: str) -> None:
    data = saved(opened(sample_photo), format_)
    problem = _refused(stub, data[: len(data) // 2])
    assert (problem.code, problem.reason) == (INVALID, "BROKEN_IMAGE")


def test_too_many_bytes(strict: Stub, sample_photo: bytes) -> None:
    problem = _refused(strict, sample_photo + bytes(100_000))
    assert (problem.code, problem.reason) == (INVALID, "IMAGE_TOO_LARGE")
    assert problem.metadata["max_image_bytes"] == "100000"
    assert problem.metadata["bytes"] == str(len(sample_photo) + 100_000)


def test_as_many_bytes_as_the_limit_are_fine(strict: Stub, sample_photo: bytes) -> None:
    padded = sample_photo + bytes(100_000 - len(sample_photo))
    assert ask(strict, pb.ReconstructRequest(image=padded)).outcomes() == ["RECONSTRUCTED"]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_too_many_pixels(strict: Stub, format_: str) -> None:
    problem = _refused(strict, saved(Image.new("RGB", (1001, 300)), format_))
    assert (problem.code, problem.reason) == (INVALID, "IMAGE_TOO_LARGE")
    assert problem.metadata == {"width": "1001", "height": "300", "max_image_pixels": "300000"}


def test_default_limits_refuse_a_photo_of_53_megapixels(stub: Stub) -> None:
    problem = _refused(stub, saved(Image.new("L", (10_600, 5000)), "JPEG"))
    assert problem.reason == "IMAGE_TOO_LARGE"
    assert problem.metadata["max_image_pixels"] == "52000000"


def test_default_limits_refuse_a_png_of_27_megapixels(stub: Stub) -> None:
    problem = _refused(stub, saved(Image.new("L", (5400, 5000)), "PNG"))
    assert problem.reason == "IMAGE_TOO_LARGE"
    assert problem.metadata["max_unscaled_pixels"] == "26000000"


def test_picture_of_a_few_pixels(stub: Stub) -> None:
    problem = _refused(stub, saved(Image.new("RGB", (15, 400)), "PNG"))
    assert (problem.code, problem.reason) == (INVALID, "INVALID_REQUEST")
    assert problem.metadata["min_side"] == "16"


def test_max_faces_over_the_limit(strict: Stub, sample_photo: bytes) -> None:
    problem = refused(strict, pb.ReconstructRequest(image=sample_photo, max_faces=3))
    assert (problem.code, problem.reason) == (INVALID, "INVALID_REQUEST")
    assert problem.metadata == {"field": "max_faces", "value": "3", "max_faces": "2"}


@pytest.mark.parametrize(
    ("field", "tag"), [("detail", 4), ("formats", 5), ("compressions", 6), ("appearance", 7)]
)
def test_unknown_enum_value(stub: Stub, sample_photo: bytes, field: str, tag: int) -> None:
    request = pb.ReconstructRequest(image=sample_photo)
    # As a newer client would send it: field number and wire type, then the value 99.
    request.MergeFromString(bytes([tag << 3, 99]))
    problem = refused(stub, request)
    assert (problem.code, problem.reason) == (INVALID, "INVALID_REQUEST")
    assert problem.metadata["field"] == field
    assert "99" in problem.message


@pytest.mark.parametrize("kind", ["gradient", "noise", "black", "white"])
def test_photo_without_a_face_is_not_found(stub: Stub, kind: str) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (256, 256, 3), np.uint8)
    data = {
        "gradient": scenery(),
        "noise": saved(Image.fromarray(noise), "PNG"),
        "black": saved(Image.new("RGB", (300, 200)), "PNG"),
        "white": saved(Image.new("L", (200, 300), 255), "PNG"),
    }[kind]
    problem = _refused(stub, data)
    assert (problem.code, problem.reason) == (grpc.StatusCode.NOT_FOUND, "NO_FACE_FOUND")
    assert problem.metadata["width"]
    assert problem.retry_seconds is None


def test_photo_somewhat_over_the_limit_is_told_the_limit(stub: Stub, sample_photo: bytes) -> None:
    over = refused(stub, pb.ReconstructRequest(image=sample_photo + bytes(21 * MIB)))
    assert (over.code, over.reason) == (INVALID, "IMAGE_TOO_LARGE")
    assert over.metadata["max_image_bytes"] == str(20 * MIB)


@pytest.mark.parametrize("method", ["Reconstruct", "ReconstructMany"])
def test_message_beyond_the_transport_limit_is_counted_and_logged(
    stub: Stub, server: EmbeddedServer, sample_photo: bytes, method: str
) -> None:
    """gRPC itself ends the call; the server only learns that the message did not arrive."""
    large = pb.ReconstructRequest(image=sample_photo + bytes(45 * MIB))
    streamed = pb.ReconstructManyRequest(request_id="1", request=large)

    def counted() -> float:
        labels = {"method": method, "code": "CANCELLED", "reason": "CLIENT_GONE"}
        return metric(server, "protome_requests_total", **labels)

    one = method == "Reconstruct"
    before, logged = counted(), len(server.log.read_text())
    call = stub.Reconstruct(large) if one else stub.ReconstructMany(iter([streamed]))
    with pytest.raises(grpc.RpcError) as caught:
        list(call)
    problem = failure(caught.value)
    assert (problem.code, problem.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "")
    eventually(lambda: counted() == before + 1, "it is counted")
    line = f"{method} CANCELLED CLIENT_GONE (max_message_bytes {24 * MIB})"
    eventually(lambda: line in server.log.read_text()[logged:], "it is logged")
    assert ask(stub, pb.ReconstructRequest(image=sample_photo)).outcomes() == ["RECONSTRUCTED"]


def test_logs_of_refused_calls_name_field_value_and_limit(
    stub: Stub, server: EmbeddedServer, sample_photo: bytes
) -> None:
    logged = len(server.log.read_text())
    refused(stub, pb.ReconstructRequest(image=sample_photo, max_faces=99))
    refused(stub, pb.ReconstructRequest(image=sample_photo, max_triangles=3))
    ask(stub, pb.ReconstructRequest(image=sample_photo))
    call = stub.ReconstructMany(iter([pb.ReconstructManyRequest(request_id="x\n" * 99)]))
    with pytest.raises(grpc.RpcError):
        list(call)
    for line in (
        "Reconstruct INVALID_ARGUMENT INVALID_REQUEST (field max_faces, value 99, max_faces 32)",
        "Reconstruct INVALID_ARGUMENT INVALID_REQUEST (field max_triangles, value 3, least ",
        "ReconstructMany INVALID_ARGUMENT INVALID_REQUEST "
        "(field request_id, value 198 characters, max_characters 128)",
        " s, 1 face [",
    ):
        eventually(lambda line=line: line in server.log.read_text()[logged:], line)  # type: ignore[misc]


@pytest.mark.parametrize("method", ["Reconstruct", "ReconstructMany", "GetServerInfo"])
@pytest.mark.parametrize(
    "garbage",
    [b"\xff\xff\xff\xff garbage", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\xff\xfe\xfd\x12\x80"],
)
def test_garbage_instead_of_a_message(
    channel: grpc.Channel, stub: Stub, sample_photo: bytes, method: str, garbage: bytes
) -> None:
    """No wire format, a field longer than the message, text that is not UTF-8."""
    call = channel.unary_stream(f"/protome.v1.ReconstructionService/{method}", bytes, bytes)
    with pytest.raises(grpc.RpcError) as caught:
        list(call(garbage, timeout=20))
    problem = failure(caught.value)
    assert (problem.code, problem.reason) == (INVALID, "INVALID_REQUEST")
    assert ask(stub, pb.ReconstructRequest(image=sample_photo)).outcomes() == ["RECONSTRUCTED"]


def test_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/protome.v1.ReconstructionService/Deconstruct", bytes, bytes)
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_python_client_tells_no_face_from_a_failure(
    server: EmbeddedServer, sample_photo: bytes
) -> None:
    with Client(server.address) as client:
        with pytest.raises(NoFaceFound) as none:
            client.reconstruct(scenery())
        assert none.value.code is grpc.StatusCode.NOT_FOUND
        with pytest.raises(ReconstructionError) as broken:
            client.reconstruct(sample_photo[:5000])
        assert not isinstance(broken.value, NoFaceFound)
        assert broken.value.reason == "BROKEN_IMAGE"


def test_failures_are_counted_by_code(stub: Stub, server: EmbeddedServer) -> None:
    def counted() -> float:
        return metric(
            server, "protome_requests_total", method="Reconstruct", code="INVALID_ARGUMENT"
        )

    before = counted()
    _refused(stub, b"hello")
    assert counted() == before + 1


def test_animated_pictures_show_their_first_frame(stub: Stub, sample_photo: bytes) -> None:
    first = opened(sample_photo).resize((256, 256))
    file = io.BytesIO()
    first.save(file, "WEBP", save_all=True, append_images=[Image.new("RGB", (256, 256))] * 2)
    answer = ask(stub, pb.ReconstructRequest(image=file.getvalue()))
    assert answer.outcomes() == ["RECONSTRUCTED"]

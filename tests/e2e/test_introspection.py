"""What a server says about itself: health, reflection, info."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

import protome
from protome.embedded import EmbeddedServer
from protome.model.card import SHIPPED
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import ONE_WORKER, SERVICE, Stub, ask, eventually


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    """A server with limits of its own and a log in JSON."""
    flags = ["--chunk-bytes", "10000", "--max-stream-photos", "3", "--min-face-pixels", "100"]
    with EmbeddedServer([*ONE_WORKER, *flags, "--log-format", "json"]) as running:
        yield running


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_is_serving(channel: grpc.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert stub.Check(request, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(request, timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="protome.v1.Nothing"), timeout=10)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_scrape_that_fails_is_a_line_of_the_log(own: EmbeddedServer) -> None:
    url = f"http://{own.http}/metrics"
    odd = urllib.request.Request(url, headers={"Accept": "text/plain; version=a.b.c"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(odd, timeout=10)
    assert caught.value.code == 500
    eventually(lambda: b"cannot be rendered" in own.log.read_bytes(), "it is logged")
    assert all(json.loads(line)["time"] for line in own.log.read_text().splitlines())


REFLECTION = [
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    for version in ("v1", "v1alpha")
]


@pytest.mark.parametrize(
    "method", ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", *REFLECTION]
)
def test_bytes_that_are_not_a_message_are_a_client_error(
    server: EmbeddedServer, channel: grpc.Channel, method: str
) -> None:
    logged = len(server.log.read_bytes())
    # On the wire all kinds of calls are alike.
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(method, None, None)(iter([b"\xff\xff"]), timeout=10))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert b"Traceback" not in server.log.read_bytes()[logged:]


def test_reflection_describes_the_service(channel: grpc.Channel) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(database.get_services())
    service = DescriptorPool(database).FindServiceByName(SERVICE)
    assert {method.name for method in service.methods} == {
        "Reconstruct",
        "ReconstructMany",
        "GetServerInfo",
    }
    many = service.methods_by_name["ReconstructMany"]
    assert (many.client_streaming, many.server_streaming) == (True, True)
    fields = {field.name for field in service.methods_by_name["Reconstruct"].input_type.fields}
    assert fields == {field.name for field in pb.ReconstructRequest.DESCRIPTOR.fields}


@pytest.mark.parametrize("path", REFLECTION)
def test_reflection_finds_services_methods_and_itself(channel: grpc.Channel, path: str) -> None:
    """grpcurl describes methods, and ghz finds the one to call, by these requests."""
    own = path.split("/")[1]
    found = {
        SERVICE: "protome/v1/reconstruction.proto",
        f"{SERVICE}.Reconstruct": "protome/v1/reconstruction.proto",
        "protome.v1.Header": "protome/v1/reconstruction.proto",
        # grpcio has files of these names.
        "grpc.health.v1.Health.Check": "grpc_health/v1/health.proto",
        own: f"grpc_reflection/{own.split('.')[2]}/reflection.proto",
    }
    missing = [f"{SERVICE}.Nothing", SERVICE + ".", "Reconstruct", "", "protome.v1.Header.Nothing"]
    ask_for = channel.stream_stream(
        path,
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        for symbol in (*found, *missing)
    ]
    *answers, listing = ask_for(
        iter([*requests, reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
    )
    files = {}
    for answer in answers:
        protos = answer.file_descriptor_response.file_descriptor_proto
        names = [FileDescriptorProto.FromString(proto).name for proto in protos]
        files[answer.original_request.file_containing_symbol] = names[0] if names else None
    assert files == {**found, **dict.fromkeys(missing)}
    listed = {service.name for service in listing.list_services_response.service}
    assert listed == {
        SERVICE,
        "grpc.health.v1.Health",
        *(path.split("/")[1] for path in REFLECTION),
    }


def test_server_info(stub: Stub) -> None:
    info = stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=10)
    assert info.version == protome.__version__
    assert info.model.digest == hashlib.sha256((SHIPPED / "model.onnx").read_bytes()).hexdigest()
    assert info.model.name
    assert info.model_licence == "Apache-2.0"
    assert info.training_data
    assert pb.DETAIL_LEVEL_STANDARD in info.native_levels
    assert list(info.formats) == [1, 2, 3, 4, 5]
    assert sorted(info.compressions) == [1, 2, 3]
    assert info.execution_provider in ("CPUExecutionProvider", "CUDAExecutionProvider")
    assert info.surface_backend
    assert 0.18 < info.nominal_head_height_metres < 0.26
    assert info.limits == pb.Limits(
        max_image_bytes=20 << 20,
        max_image_pixels=52_000_000,
        max_faces=32,
        chunk_bytes=512 << 10,
        max_stream_photos=8,
        min_face_pixels=20,
        max_unscaled_pixels=26_000_000,
    )


def test_limits_are_those_of_the_flags(own: EmbeddedServer, sample_photo: bytes) -> None:
    """Also those under which the photo of the self-test at the start would not pass."""
    with grpc.insecure_channel(own.address) as channel:
        limits = Stub(channel).GetServerInfo(pb.GetServerInfoRequest()).limits
        assert (limits.chunk_bytes, limits.max_stream_photos, limits.min_face_pixels) == (
            10000,
            3,
            100,
        )
        # The face is 88 pixels wide.
        answer = ask(Stub(channel), pb.ReconstructRequest(image=sample_photo))
        assert answer.outcomes() == ["TOO_SMALL"]
        given = pb.BoundingBox(x=170, y=60, width=100, height=110)
        answer = ask(Stub(channel), pb.ReconstructRequest(image=sample_photo, boxes=[given]))
        assert {len(chunk.data) for chunk in answer.chunks[:-1]} == {10000}

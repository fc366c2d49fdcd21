"""What a server says about itself: health, reflection, info, metrics, probes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from prometheus_client.parser import text_string_to_metric_families

import protome
from load_tests.cluster.nodes import free_port
from protome.embedded import EmbeddedServer
from protome.model.card import SHIPPED
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import SERVICE, SMALL, Stub, ask, eventually, http_get, in_flight, metric


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


def test_a_scrape_that_fails_is_a_line_of_the_log() -> None:
    with EmbeddedServer([*SMALL, "--log-format", "json"]) as own:
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


def test_limits_are_those_of_the_flags(sample_photo: bytes) -> None:
    """Also those under which the photo of the self-test at the start would not pass."""
    flags = ["--chunk-bytes", "10000", "--max-stream-photos", "3", "--min-face-pixels", "100"]
    with (
        EmbeddedServer([*SMALL, *flags]) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
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


def _types(server: EmbeddedServer) -> dict[str, str]:
    _, text = http_get(server, "/metrics")
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def test_every_promised_series_is_there(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    ask(stub, pb.ReconstructRequest(image=sample_photo))
    types = _types(server)
    promised = {
        "protome_requests": "counter",
        "protome_request_duration_seconds": "histogram",
        "protome_time_to_first_mesh_seconds": "histogram",
        "protome_stage_duration_seconds": "histogram",
        "protome_queue_depth_faces": "gauge",
        "protome_queue_age_seconds": "gauge",
        "protome_batch_size_faces": "histogram",
        "protome_photo_faces": "histogram",
        "protome_mesh_size_bytes": "histogram",
        "protome_requests_in_flight": "gauge",
        "protome_worker_restarts": "counter",
        "protome_workers": "gauge",
        "protome_ready": "gauge",
        "protome_model_info": "gauge",
        "protome_build_info": "gauge",
        "process_resident_memory_bytes": "gauge",
        "process_cpu_seconds": "counter",
    }
    missing = {name: kind for name, kind in promised.items() if types.get(name) != kind}
    assert missing == {}
    ours = [name for name in types if name.startswith("protome_")]
    assert not [name for name in ours if "millisecond" in name or name.endswith("_ms")]


def test_a_request_changes_the_expected_metrics(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    stages = "decode", "detect", "crop", "queue", "inference", "surface", "appearance", "encode"

    def read() -> dict[str, float]:
        values = {
            f"stage {stage}": metric(server, "protome_stage_duration_seconds_count", stage=stage)
            for stage in stages
        }
        labels = {"method": "Reconstruct"}
        values["done"] = metric(server, "protome_requests_total", code="OK", **labels)
        values["time"] = metric(server, "protome_request_duration_seconds_count", **labels)
        values["first"] = metric(server, "protome_time_to_first_mesh_seconds_count", **labels)
        values["batches"] = metric(server, "protome_batch_size_faces_count")
        values["photos"] = metric(server, "protome_photo_faces_count")
        values["faces"] = metric(server, "protome_photo_faces_sum")
        values["meshes"] = metric(server, "protome_mesh_size_bytes_count")
        return values

    before, bytes_before = read(), metric(server, "protome_mesh_size_bytes_sum")
    answer = ask(stub, pb.ReconstructRequest(image=sample_photo))
    eventually(lambda: in_flight(server) == 0, "the photo is counted")
    assert read() == {name: value + 1 for name, value in before.items()}
    assert metric(server, "protome_mesh_size_bytes_sum") - bytes_before == len(answer.mesh())


def test_model_and_process_are_named_in_the_metrics(server: EmbeddedServer, stub: Stub) -> None:
    model = stub.GetServerInfo(pb.GetServerInfoRequest()).model
    labels = {"name": model.name, "version": model.version, "digest": model.digest}
    assert metric(server, "protome_model_info", **labels) == 1
    assert metric(server, "protome_build_info", version=protome.__version__) == 1
    assert metric(server, "process_resident_memory_bytes") > 50e6


def test_probes_of_a_ready_server(server: EmbeddedServer) -> None:
    assert http_get(server, "/healthz")[0] == 200
    assert http_get(server, "/readyz")[0] == 200
    assert http_get(server, "/nothing")[0] == 404
    assert http_get(server, "/")[0] == 404


def _status(port: int, path: str, seen: list[int]) -> int:
    """Return the status of a page and record it; 0 while the port is closed."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            seen.append(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            seen.append(error.code)
    except OSError:
        return 0
    return seen[-1]


def test_alive_but_not_ready_while_it_starts() -> None:
    port = free_port()
    command = [sys.executable, "-m", "protome", "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--metrics-host", "127.0.0.1", "--metrics-port", str(port), "--no-web", *SMALL]
    seen: list[int] = []

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _status(port, "/readyz", seen) == 200, "ready", 60)
        finally:
            process.terminate()
        assert process.wait(20) == 0
    assert seen[0] == 503
    assert sorted(set(seen)) == [200, 503]


STICKS = """
import asyncio, sys, time
from pathlib import Path
from protome.config import load
from protome.server.server import Server

async def main():
    port, file = sys.argv[1:]
    flags = {"host": "127.0.0.1", "port": "0", "metrics_host": "127.0.0.1", "workers": "1"}
    server = Server(load({**flags, "metrics_port": port, "port_file": file}, {}, None))
    running = asyncio.create_task(server.run())
    while not Path(file).exists():
        await asyncio.sleep(0.1)
    time.sleep(600)

asyncio.run(main())
"""


def test_a_stuck_server_is_not_alive(tmp_path: Path) -> None:
    """So that the probe that is used with TLS can fail, as gRPC's health would."""
    port = free_port()
    seen: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-c", STICKS, str(port), str(tmp_path / "ports")]
    ) as process:
        try:
            eventually(lambda: _status(port, "/healthz", seen) == 503, "it is not alive", 60)
        finally:
            process.kill()
    assert set(seen) == {200, 503}

"""What a server tells monitoring: metrics, probes."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import protome
from load_tests.machine import free_port
from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import ONE_WORKER, Stub, ask, eventually, http_get, in_flight, metric


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
    command += ["--metrics-host", "127.0.0.1", "--metrics-port", str(port), "--no-web", *ONE_WORKER]
    seen: list[int] = []

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _status(port, "/readyz", seen) == 200, "ready")
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
            eventually(lambda: _status(port, "/healthz", seen) == 503, "it is not alive")
        finally:
            process.kill()
    assert set(seen) == {200, 503}

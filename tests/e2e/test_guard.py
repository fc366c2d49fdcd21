"""A server that faces strangers: TLS, tokens, quotas, ids, JSON logs, spans, HTTP set apart."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protome.client import Client, ReconstructionError, tls
from protome.server.access.tokens import FILE_CHECK_SECONDS, new_token
from protome.v1 import reconstruction_pb2 as pb
from tests.e2e.guarded import Guarded, Metadata, asked, connected
from tests.support.service import (
    OPTIONS,
    SERVICE,
    Stub,
    ask,
    eventually,
    failure,
    large,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def _refusal(stub: Stub, metadata: Metadata, photo: bytes = b"x") -> tuple[Any, Metadata]:
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.Reconstruct(pb.ReconstructRequest(image=photo), metadata=metadata, timeout=20))
    trailers: Any = caught.value
    return failure(caught.value), tuple(trailers.trailing_metadata())


def test_connections_without_tls_are_refused(guarded: Guarded) -> None:
    with grpc.insecure_channel(guarded.server.address, options=OPTIONS) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            ask(Stub(channel), pb.ReconstructRequest(image=b"x"), timeout=20)
        assert failure(caught.value).code is grpc.StatusCode.UNAVAILABLE


def test_clients_of_the_package_are_accepted(guarded: Guarded, sample_photo: bytes) -> None:
    token = guarded.tokens["shop"]
    with Client(guarded.server.address, credentials=tls(guarded.files.ca), token=token) as client:
        assert client.server_info().version
        assert client.reconstruct(sample_photo).faces[0].mesh
    with (
        Client(guarded.server.address, credentials=tls(guarded.files.ca)) as client,
        pytest.raises(ReconstructionError) as caught,
    ):
        client.reconstruct(sample_photo)
    assert caught.value.reason == "UNAUTHENTICATED"


def test_the_command_is_accepted(guarded: Guarded, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(guarded.tokens["shop"] + "\n")
    command = [sys.executable, "-m", "protome", "info", "--address", guarded.server.address]
    command += ["--tls", "--ca", str(guarded.files.ca), "--token-file", str(tmp_path / "token")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "protome-guided" in done.stdout


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)], ids=str)
def test_without_a_token_only_health_is_answered(guarded: Guarded, metadata: Metadata) -> None:
    with connected(guarded) as channel:
        problem, trailers = _refusal(Stub(channel), (*metadata, ("x-request-id", "mine")))
        assert (problem.code, problem.reason) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "UNAUTHENTICATED",
        )
        assert ("x-request-id", "mine") in trailers
        calls: list[Any] = [
            lambda: Stub(channel).GetServerInfo(pb.GetServerInfoRequest(), metadata=metadata),
            lambda: list(Stub(channel).ReconstructMany(iter(()), metadata=metadata)),
            lambda: list(
                reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
                    iter([reflection_pb2.ServerReflectionRequest(list_services="")]),
                    metadata=metadata,
                )
            ),
        ]
        for call in calls:
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert failure(caught.value).code is grpc.StatusCode.UNAUTHENTICATED
        status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert status.status == health_pb2.HealthCheckResponse.SERVING


def test_a_large_photo_without_a_token_is_refused_unread(guarded: Guarded) -> None:
    with connected(guarded) as channel:
        problem, _ = _refusal(Stub(channel), (), bytes(20 << 20))
        assert problem.code is grpc.StatusCode.UNAUTHENTICATED


def test_a_client_over_its_rate_is_told_when_to_retry(
    guarded: Guarded, sample_photo: bytes
) -> None:
    with connected(guarded) as channel:
        stub = Stub(channel)
        for _ in range(2):
            asked(stub, sample_photo, guarded.of("trial"))
        problem, _ = _refusal(stub, guarded.of("trial"), sample_photo)
        assert problem.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert problem.reason == "QUOTA_EXCEEDED"
        assert 900 < problem.retry_seconds <= 1000
        # It is this client's quota, not the server's.
        asked(stub, sample_photo, guarded.of("shop"))


def test_a_client_with_too_many_photos_in_work_is_refused(
    guarded: Guarded, sample_photo: bytes
) -> None:
    with connected(guarded) as channel:
        stub = Stub(channel)
        first = stub.Reconstruct(large(sample_photo, 4), metadata=guarded.of("narrow"), timeout=60)
        next(iter(first))
        problem, _ = _refusal(stub, guarded.of("narrow"), sample_photo)
        assert (problem.reason, problem.metadata) == ("QUOTA_EXCEEDED", {"concurrent": "1"})
        for _ in first:
            pass
        asked(stub, sample_photo, guarded.of("narrow"))


def test_ids_are_in_the_answer_logs_and_spans(guarded: Guarded, sample_photo: bytes) -> None:
    given = (("x-request-id", "order-7"), ("traceparent", PARENT), ("tracestate", "a=1"))
    with connected(guarded) as channel:
        call: Any = Stub(channel).Reconstruct(
            pb.ReconstructRequest(image=sample_photo),
            metadata=(*guarded.of("shop"), *given),
            timeout=60,
        )
        for _ in call:
            pass
        early, late = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert early["x-request-id"] == late["x-request-id"] == "order-7"
    assert late["tracestate"] == "a=1"
    version, trace, span, flags = late["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != PARENT.split("-")[2]

    def mine() -> list[dict[str, Any]]:
        return [entry for entry in guarded.records() if entry.get("request_id") == "order-7"]

    eventually(lambda: bool(mine()), "the photo is logged")
    (entry,) = mine()
    assert (entry["trace_id"], entry["client"], entry["code"]) == (TRACE, "shop", "OK")
    assert entry["method"] == "Reconstruct"
    assert entry["seconds"] > 0

    def spans() -> set[str]:
        blocks = re.findall(r"^\{\n.*?^\}", guarded.server.log.read_text(), re.M | re.S)
        found = map(json.loads, blocks)
        return {s["name"] for s in found if s["context"]["trace_id"] == f"0x{TRACE}"}

    stages = {"decode", "detect", "crop", "queue", "inference", "surface", "appearance", "encode"}
    calls = {"protome.v1.ReconstructionService/Reconstruct", "photo", "worker_queue"}
    eventually(lambda: spans() == stages | calls, "all spans are exported")


def test_calls_without_a_token_do_not_name_spans(guarded: Guarded, sample_photo: bytes) -> None:
    with connected(guarded) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            list(channel.stream_stream(f"/{SERVICE}/Forged", None, None)(iter([b""])))
        assert failure(caught.value).code is grpc.StatusCode.UNAUTHENTICATED
        given = (("traceparent", PARENT.replace(TRACE, TRACE[::-1])), *guarded.of("shop"))
        asked(Stub(channel), sample_photo, given)
    eventually(lambda: f"0x{TRACE[::-1]}" in guarded.server.log.read_text(), "spans are exported")
    assert "Forged" not in guarded.server.log.read_text()


def test_failures_carry_the_ids_too(guarded: Guarded) -> None:
    given = (*guarded.of("shop"), ("traceparent", PARENT))
    with connected(guarded) as channel:
        problem, trailers = _refusal(Stub(channel), given)
    assert problem.reason == "UNSUPPORTED_FORMAT"
    assert len(dict(trailers)["x-request-id"]) == 32
    assert dict(trailers)["traceparent"].startswith(f"00-{TRACE}-")


def test_http_has_an_address_of_its_own(guarded: Guarded) -> None:
    port = int(guarded.server.http.split(":")[1])
    with contextlib.closing(socket.create_connection(("127.0.0.2", port), 5)):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_tokens_are_replaced_without_a_restart(guarded: Guarded) -> None:
    token, table = new_token("late")
    given = (("authorization", f"Bearer {token}"),)
    with connected(guarded) as channel:
        stub = Stub(channel)
        assert _refusal(stub, given)[0].reason == "UNAUTHENTICATED"
        with guarded.token_file.open("a") as file:
            file.write(table)
        eventually(lambda: _refusal(stub, given)[0].reason == "UNSUPPORTED_FORMAT", "it is known")
        assert _refusal(stub, guarded.of("shop"))[0].reason == "UNSUPPORTED_FORMAT"


def test_a_stream_ends_with_its_token(guarded: Guarded) -> None:
    """A token that leaked is replaced, while a stream that knows it is open."""
    token, table = new_token("leaky")
    other = new_token("leaky")[1].splitlines()[1]
    before = guarded.token_file.read_text()
    guarded.token_file.write_text(before + table)
    go_on = threading.Event()

    def photos() -> Iterator[pb.ReconstructManyRequest]:
        for number in range(2):
            request = pb.ReconstructRequest(image=b"x")
            yield pb.ReconstructManyRequest(request_id=str(number), request=request)
            go_on.wait(60)

    with connected(guarded) as channel:
        given = (("authorization", f"Bearer {token}"),)
        eventually(
            lambda: _refusal(Stub(channel), given)[0].reason == "UNSUPPORTED_FORMAT", "it is known"
        )
        call = iter(Stub(channel).ReconstructMany(photos(), metadata=given, timeout=60))
        try:
            assert next(call).error.reason == "UNSUPPORTED_FORMAT"
            guarded.token_file.write_text(f"{before}[leaky]\n{other}\n")
            # Nobody else calls meanwhile.
            time.sleep(FILE_CHECK_SECONDS + 0.1)
        finally:
            go_on.set()
        assert next(call).error.reason == "UNAUTHENTICATED"

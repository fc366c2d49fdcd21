"""Requests over plain HTTP: what is refused, and what comes with every response."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path

import pytest

from protome.embedded import EmbeddedServer
from tests.support.http import RECONSTRUCT, HttpAnswer, call, reconstruct
from tests.support.photos import scenery
from tests.support.service import MIB, eventually, metric

POST = b"POST /v1/reconstruct HTTP/1.1\r\nhost: x\r\n"


@pytest.mark.parametrize(
    ("body", "query", "status", "reason"),
    [
        (None, "", 422, "NO_FACE_FOUND"),
        (b"no picture", "", 415, "UNSUPPORTED_FORMAT"),
        (b"\xff\xd8\xff\xe0 cut", "", 400, "BROKEN_IMAGE"),
        (b"", "", 400, "INVALID_REQUEST"),
        (b"x", "detail=finest", 400, "INVALID_REQUEST"),
        (b"x", "max_faces=2", 400, "INVALID_REQUEST"),
        (b"x", "preview_first=true", 400, "INVALID_REQUEST"),
        (b"x", "formats=stl&vertex_quality=true", 400, "INVALID_REQUEST"),
        (bytes(20 * MIB + 1), "", 413, "IMAGE_TOO_LARGE"),
    ],
)
def test_errors_are_problems(
    server: EmbeddedServer, body: bytes | None, query: str, status: int, reason: str
) -> None:
    answer = reconstruct(server.web, scenery() if body is None else body, query)
    assert (answer.status, answer.reason) == (status, reason)
    assert answer.headers["x-request-id"]


def test_a_photo_without_announced_length_is_limited_too(server: EmbeddedServer) -> None:
    pieces = (bytes(MIB) for _ in range(24))
    answer = call(server.web, RECONSTRUCT, pieces)
    assert (answer.status, answer.reason) == (413, "IMAGE_TOO_LARGE")


def test_a_time_limit_that_is_too_short(server: EmbeddedServer, sample_photo: bytes) -> None:
    answer = reconstruct(server.web, sample_photo, "timeout=0.002")
    assert (answer.status, answer.reason) in {
        (504, "DEADLINE_PASSED"),
        (503, "OVERLOADED"),
    }


def test_a_face_without_mesh_is_a_problem_with_its_outcome(
    server: EmbeddedServer, sample_photo: bytes
) -> None:
    answer = reconstruct(server.web, sample_photo, "boxes=100,100,15,15")
    assert (answer.status, answer.reason) == (422, "TOO_SMALL")


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/../../etc/passwd", "GET", 404),
        (RECONSTRUCT, "GET", 405),
        (RECONSTRUCT, "PUT", 405),
        ("/v1/info", "POST", 405),
    ],
)
def test_wrong_urls_and_methods(
    server: EmbeddedServer, path: str, method: str, status: int
) -> None:
    answer = call(server.web, path, method=method)
    assert answer.status == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_form_that_cannot_be_sent_is_refused(server: EmbeddedServer, sample_photo: bytes) -> None:
    counted = {"protocol": "http", "code": "INVALID_ARGUMENT"}
    before = metric(server, "protome_requests_total", **counted)
    answer = reconstruct(server.web, sample_photo, accept="image/png")
    assert answer.status == 406
    assert metric(server, "protome_requests_total", **counted) == before + 1
    assert "(field accept, value image/png)" in server.log.read_text()
    assert "model/gltf-binary" in answer.json()["detail"]
    assert reconstruct(server.web, sample_photo, "formats=ply", "model/stl").status == 406


def test_ids_come_back(server: EmbeddedServer, sample_photo: bytes) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    given = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = call(server.web, f"{RECONSTRUCT}?detail=preview", sample_photo, given)
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["traceparent"].split("-")[1] == trace
    eventually(lambda: "[mine-1]" in server.log.read_text(), "the log has the id")


def test_every_response_forbids_foreign_code(server: EmbeddedServer) -> None:
    for path in ("/", "/docs/", "/v1/info", "/nothing", "/openapi.json"):
        headers = call(server.web, path).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["connect-src"] == "'self'"
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_pages_are_compressed_and_kept_by_browsers(server: EmbeddedServer) -> None:
    plain = call(server.web, "/app.js")
    small = call(server.web, "/app.js", headers={"accept-encoding": "br, gzip"})
    assert small.headers["content-encoding"] == "gzip"
    assert len(small.body) < len(plain.body) / 2
    known = call(server.web, "/app.js", headers={"if-none-match": plain.headers["etag"]})
    assert (known.status, known.body) == (304, b"")
    assert call(server.web, "/", method="HEAD").body == b""


def test_other_origins_are_not_let_in(server: EmbeddedServer, sample_photo: bytes) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    assert call(server.web, RECONSTRUCT, method="OPTIONS", headers=asked).status == 405
    answer = call(server.web, "/v1/info", headers={"origin": "https://a.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_one_connection_serves_many_requests(server: EmbeddedServer, sample_photo: bytes) -> None:
    connection = http.client.HTTPConnection(server.web, timeout=60)
    for body, status in ((sample_photo, 200), (b"no picture", 415), (sample_photo, 200)):
        connection.request("POST", f"{RECONSTRUCT}?detail=preview", body)
        response = connection.getresponse()
        assert (response.status, len(response.read()) > 100) == (status, True)
    connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x-long: " + b"a" * 100_000,
        b"GET /%ff%fe?%00=%ff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x00" * 1000,
    ],
)
def test_broken_requests_are_refused(server: EmbeddedServer, sent: bytes) -> None:
    host, port = server.web.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while part := connection.recv(4096):
                received += part
        except ConnectionResetError:
            pass
    assert b" 200 " not in received.split(b"\r\n")[0]
    assert call(server.web, "/").status == 200


def test_the_documented_url_of_a_problem_exists(server: EmbeddedServer) -> None:
    answer: HttpAnswer = reconstruct(server.web, b"no picture")
    page, _, reason = answer.json()["type"].partition("#")
    assert call(server.web, page).status == 200
    listed = {error["reason"] for error in call(server.web, "/openapi.json").json()["x-errors"]}
    assert reason in listed
    assert Path(page).parts[-1] == "docs"

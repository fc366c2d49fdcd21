"""Plain HTTP on the shared server: what it sends is what gRPC sends."""

from __future__ import annotations

import base64
import email
import email.policy
import http.client
import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trimesh
from google.protobuf import json_format

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes
from tests.support.http import RECONSTRUCT, HttpAnswer, call, reconstruct
from tests.support.photos import group, scenery
from tests.support.service import MIB, Stub, ask, eventually, in_flight, metric

JSON, EVENTS, MULTIPART = "application/json", "text/event-stream", "multipart/mixed"
POST = b"POST /v1/reconstruct HTTP/1.1\r\nhost: x\r\n"
TYPES = {
    "model/gltf-binary": pb.MESH_FORMAT_GLB,
    "application/ply": pb.MESH_FORMAT_PLY,
    "model/obj": pb.MESH_FORMAT_OBJ,
    "model/stl": pb.MESH_FORMAT_STL,
}


def header(answer: dict[str, Any]) -> pb.Header:
    return json_format.ParseDict(answer, pb.Header())


def triangles(mesh: trimesh.Trimesh) -> int:
    return len(mesh.faces)


def test_curl_as_documented(server: EmbeddedServer, stub: Stub, sample_photo: bytes) -> None:
    """With the Content-Type of a form, which curl sends by itself, and 100-continue."""
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--data-binary", "@-", f"{server.web}{RECONSTRUCT}"],
        input=sample_photo,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    request = pb.ReconstructRequest(image=sample_photo, appearance=pb.APPEARANCE_TEXTURE)
    assert meshes.alike(done.stdout, ask(stub, request).mesh())
    assert meshes.texture(done.stdout)


@pytest.mark.parametrize("kind", TYPES)
def test_the_media_type_chooses_the_format(
    server: EmbeddedServer, sample_photo: bytes, kind: str
) -> None:
    answer = reconstruct(server.web, sample_photo, accept=kind)
    assert (answer.status, answer.headers["content-type"]) == (200, kind)
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.headers["protome-faces"] == "1"
    assert triangles(meshes.read(answer.body, pb.Header(format=TYPES[kind]))) > 10_000


def test_options_are_those_of_the_contract(
    server: EmbeddedServer, stub: Stub, sample_photo: bytes
) -> None:
    answer = reconstruct(
        server.web,
        sample_photo,
        "detail=preview&formats=stl,ply&appearance=vertex_colours&max_triangles=900"
        "&boxes=170,60,100,120&vertex_quality=1",
    )
    assert answer.headers["content-type"] == "application/ply"
    request = pb.ReconstructRequest(
        image=sample_photo,
        boxes=[pb.BoundingBox(x=170, y=60, width=100, height=120)],
        detail=pb.DETAIL_LEVEL_PREVIEW,
        formats=[pb.MESH_FORMAT_PLY],
        appearance=pb.APPEARANCE_VERTEX_COLOURS,
        max_triangles=900,
        vertex_quality=True,
    )
    assert answer.body == ask(stub, request).mesh()


def test_json_has_all_faces(server: EmbeddedServer, stub: Stub, sample_photo: bytes) -> None:
    photo = group(sample_photo, (512, 320))
    answer = reconstruct(server.web, photo, "preview_first=true", JSON)
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    whole = answer.json()
    expected = ask(
        stub,
        pb.ReconstructRequest(image=photo, preview_first=True, appearance=pb.APPEARANCE_TEXTURE),
    )
    assert header(whole["header"]) == expected.header
    sent = {(m["face_index"], m["detail"]): base64.b64decode(m["data"]) for m in whole["meshes"]}
    assert len(sent) == len(whole["meshes"]) == 4
    for (face, detail), data in sent.items():
        assert meshes.alike(data, expected.mesh(face, pb.DetailLevel.Value(detail)))
    summary = json_format.ParseDict(whole["summary"], pb.Summary())
    assert [face.outcome for face in summary.faces] == [pb.FACE_OUTCOME_RECONSTRUCTED] * 2
    assert all(len(face.landmarks) == 68 for face in summary.faces)


def test_multipart_has_all_faces(server: EmbeddedServer, sample_photo: bytes) -> None:
    answer = reconstruct(server.web, group(sample_photo, (512, 320)), "formats=ply", MULTIPART)
    head = f"content-type: {answer.headers['content-type']}\r\n\r\n".encode()
    message: Any = email.message_from_bytes(head + answer.body, policy=email.policy.HTTP)
    parts = {part.get_filename(): part for part in message.iter_parts()}
    assert next(iter(parts)) == "header"
    assert [*parts][-1] == "summary"
    assert {*parts} == {"header", "face_0_standard.ply", "face_1_standard.ply", "summary"}
    found = header(json.loads(parts["header"].get_payload(decode=True)))
    for face in range(2):
        part = parts[f"face_{face}_standard.ply"]
        assert part.get_content_type() == "application/ply"
        data = part.get_payload(decode=True)
        assert len(data) == int(part["content-length"])
        assert triangles(meshes.read(data, found)) > 10_000


def test_events_arrive_as_they_happen(server: EmbeddedServer, sample_photo: bytes) -> None:
    answer = reconstruct(server.web, sample_photo, "preview_first=true", EVENTS)
    assert (answer.status, answer.headers["content-type"]) == (200, EVENTS)
    names = [name for name, _ in answer.events()]
    assert (names[0], names[-1]) == ("header", "summary")
    chunks = [data for name, data in answer.events() if name == "chunk"]
    assert set(names[1:-1]) == {"chunk"}
    levels = [chunk["detail"] for chunk in chunks]
    assert levels[0] == "DETAIL_LEVEL_PREVIEW"
    assert levels == sorted(levels, key=levels.index)
    mesh = b"".join(
        base64.b64decode(c["data"]) for c in chunks if c["detail"] == "DETAIL_LEVEL_STANDARD"
    )
    assert triangles(meshes.read(mesh, header(answer.events()[0][1]))) > 10_000


def test_the_first_event_does_not_wait_for_the_last(
    server: EmbeddedServer, sample_photo: bytes
) -> None:
    connection = http.client.HTTPConnection(server.web, timeout=60)
    query = "detail=fine&formats=obj&" + "&".join(f"boxes={170 + i},60,100,120" for i in range(8))
    connection.request("POST", f"{RECONSTRUCT}?{query}", sample_photo, {"accept": EVENTS})
    response = connection.getresponse()
    assert response.readline() == b"event: header\n"
    assert in_flight(server) >= 1
    connection.close()
    eventually(lambda: in_flight(server) == 0, "the photo whose client left is dropped")


def test_info_is_that_of_grpc(server: EmbeddedServer, stub: Stub) -> None:
    answer = call(server.web, "/v1/info")
    info = json_format.ParseDict(answer.json(), pb.GetServerInfoResponse())
    assert info == stub.GetServerInfo(pb.GetServerInfoRequest())


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
    answer = reconstruct(server.web, sample_photo, accept="image/png")
    assert answer.status == 406
    assert "model/gltf-binary" in answer.json()["detail"]
    assert reconstruct(server.web, sample_photo, "formats=ply", "model/stl").status == 406


def test_ids_come_back(server: EmbeddedServer, sample_photo: bytes) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    given = {"x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = call(server.web, f"{RECONSTRUCT}?detail=preview", sample_photo, given)
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["traceparent"].split("-")[1] == trace
    eventually(lambda: "[mine-1]" in server.log.read_text(), "the log has the id")


def test_photos_are_counted_by_protocol(server: EmbeddedServer, sample_photo: bytes) -> None:
    def counted(code: str) -> float:
        return metric(server, "protome_requests_total", protocol="http", code=code)

    ok, refused = counted("OK"), counted("INVALID_ARGUMENT")
    assert reconstruct(server.web, sample_photo, "detail=preview").status == 200
    assert reconstruct(server.web, b"", "").status == 400
    assert (counted("OK"), counted("INVALID_ARGUMENT")) == (ok + 1, refused + 1)


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

"""Plain HTTP on the shared server: what it sends is what gRPC sends."""

from __future__ import annotations

import base64
import email
import email.policy
import http.client
import json
import subprocess
from typing import Any

import pytest
import trimesh
from google.protobuf import json_format

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes
from tests.support.http import RECONSTRUCT, call, reconstruct
from tests.support.photos import group
from tests.support.service import Stub, ask, eventually, in_flight, metric

JSON, EVENTS, MULTIPART = "application/json", "text/event-stream", "multipart/mixed"
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


def test_photos_are_counted_by_protocol(server: EmbeddedServer, sample_photo: bytes) -> None:
    def counted(code: str) -> float:
        return metric(server, "protome_requests_total", protocol="http", code=code)

    ok, refused = counted("OK"), counted("INVALID_ARGUMENT")
    assert reconstruct(server.web, sample_photo, "detail=preview").status == 200
    assert reconstruct(server.web, b"", "").status == 400
    assert (counted("OK"), counted("INVALID_ARGUMENT")) == (ok + 1, refused + 1)

"""Hundreds of kinds of file through a server: the plain photo's mesh, or the right status."""

from __future__ import annotations

import grpc
import numpy as np
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support import meshes as readers
from tests.support.kinds import FACE, KINDS, PHOTO
from tests.support.kinds.base import file_of
from tests.support.service import Answer, Stub, ask, refused

# One in so many is sent each time, all with the slow tests.
SAMPLE = 20
# Kinds that lose much of the picture: a head, but not quite the same.
COARSE = 6.0


def _request(image: bytes) -> pb.ReconstructRequest:
    return pb.ReconstructRequest(image=image, detail=pb.DETAIL_LEVEL_PREVIEW)


@pytest.fixture(scope="module")
def plain(server: EmbeddedServer) -> Answer:
    with grpc.insecure_channel(server.address) as channel:
        return ask(Stub(channel), _request(file_of("PNG")()))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if number % SAMPLE else [])
        for number, name in enumerate(KINDS)
    ],
)
def test_it_is_answered_right_or_refused(stub: Stub, plain: Answer, name: str) -> None:
    kind = KINDS[name]
    request = _request(kind.make())
    if kind.reason:
        problem = refused(stub, request)
        assert problem.code is grpc.StatusCode.INVALID_ARGUMENT
        assert problem.reason == kind.reason
        assert kind.says in problem.message
        return
    answer = ask(stub, request)
    assert answer.outcomes() == ["RECONSTRUCTED"]
    mesh, expected = (readers.read(one.mesh(), one.header) for one in (answer, plain))
    shown = kind.shows()
    assert (answer.header.photo_width, answer.header.photo_height) == shown.size
    alike = kind.most <= COARSE and not kind.coarse and shown.size == PHOTO.size
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(expected.volume, rel=0.15 if alike else 0.5)
    off = np.linalg.norm(_landmarks(answer) - _landmarks(plain), axis=1).mean()
    assert off < (0.05 if alike else 0.12) * FACE[2]


def _landmarks(answer: Answer) -> np.ndarray:
    """Where the landmarks are in the plain photo, (68, 2), pixels."""
    scale = PHOTO.width / answer.header.photo_width, PHOTO.height / answer.header.photo_height
    (face,) = answer.summary.faces
    return np.array([(p.x, p.y) for p in face.landmarks]) * scale

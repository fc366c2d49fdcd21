"""A network that fails, talks nonsense or finds too little memory."""

from __future__ import annotations

import grpc
import pytest

from protome.embedded import EmbeddedServer
from protome.v1 import reconstruction_pb2 as pb
from tests.support.service import OPTIONS, Stub, ask, eventually, heavy, metric

from .conftest import Fault
from .load import Load, Rest, heals, sound


@pytest.mark.parametrize("what", ["raise", "shape", "nan", "infinite", "beyond"])
def test_what_the_network_gets_wrong_is_an_error_of_those_photos(
    server: EmbeddedServer, photo: bytes, fault: Fault, what: str
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load:
        fault(what)
        eventually(lambda: load.outcomes["INTERNAL"] >= 5, "photos fail")
        fault("none")
        load.progress(5)
    assert set(load.failed) == {"INTERNAL"}
    heals(server, photo, before)


def test_a_face_without_numbers_harms_no_other_of_its_batch(
    server: EmbeddedServer, photo: bytes, sample_photo: bytes, fault: Fault
) -> None:
    """Of four faces that travel together the first is lost: the photo says so, and has the rest."""
    before = Rest.of(server)
    request = heavy(sample_photo, 4)
    request.detail = pb.DETAIL_LEVEL_PREVIEW
    fault("nan 1")
    seen = set()
    with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
        for _ in range(3):
            answer = ask(Stub(channel), request)
            lost = [face for face in answer.summary.faces if not face.meshes]
            assert sound(answer)
            assert 1 <= len(lost) < 4
            seen |= {(face.outcome, face.message) for face in lost}
    fault("none")
    assert seen == {(pb.FACE_OUTCOME_FAILED, "the model output is invalid")}
    heals(server, photo, before)


def test_after_a_shortage_batches_grow_again(
    server: EmbeddedServer, photo: bytes, sample_photo: bytes, fault: Fault
) -> None:
    """Twice as large after 64 good ones."""

    def cap() -> float:
        return metric(server, "protome_batch_cap_faces")

    before = Rest.of(server)
    request = heavy(sample_photo, 16)
    request.detail = pb.DETAIL_LEVEL_PREVIEW
    with grpc.insecure_channel(server.address, options=OPTIONS) as channel:
        fault("memory 1")
        while cap() > 1:
            ask(Stub(channel), request)
        fault("none")
        for _ in range(10):
            assert ask(Stub(channel), request).outcomes() == ["RECONSTRUCTED"] * 16
        assert cap() > 1
    heals(server, photo, before)


def test_too_little_memory_for_a_batch_fails_no_request(
    server: EmbeddedServer, photo: bytes, fault: Fault
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load:
        fault("memory 1")
        load.progress(15)
    assert load.failed == {}
    heals(server, photo, before)

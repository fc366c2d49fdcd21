"""A network that fails, talks nonsense or finds too little memory."""

from __future__ import annotations

import pytest

from protome.embedded import EmbeddedServer
from tests.e2e.support import eventually

from .conftest import Fault
from .load import Load, Rest, heals


@pytest.mark.parametrize("what", ["raise", "shape", "nan"])
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


def test_too_little_memory_for_a_batch_costs_nobody_an_answer(
    server: EmbeddedServer, photo: bytes, fault: Fault
) -> None:
    before = Rest.of(server)
    with Load(server, photo) as load:
        fault("memory 1")
        load.progress(15)
    assert load.failed == {}
    heals(server, photo, before)

"""A server shared by the tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from protome.embedded import EmbeddedServer
from tests.e2e.guarded import Guarded
from tests.support.service import OPTIONS, Stub


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """A real server process with default settings on loopback ports."""
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def channel(server: EmbeddedServer) -> Iterator[grpc.Channel]:
    """A connection of the test's own to the shared server."""
    with grpc.insecure_channel(server.address, options=OPTIONS) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> Stub:
    """The contract's methods on the shared server."""
    return Stub(channel)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A guarded server for the tests of one file, which may replace its files."""
    made = Guarded(tmp_path_factory.mktemp("guarded"))
    with made.server:
        yield made

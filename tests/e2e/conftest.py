"""A server shared by the tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from protome.embedded import EmbeddedServer
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

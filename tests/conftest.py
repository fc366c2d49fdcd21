"""Fixtures that all tests share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from protome.sample import SAMPLE

_CHECKED = "test_types_are_clean"
_types = pytest.StashKey["subprocess.Popen[str]"]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Types take half a minute of a core: checked behind the other tests, whose servers and
    clients leave one idle much of the time."""
    if any(item.name == _CHECKED for item in session.items):
        session.config.stash[_types] = subprocess.Popen(
            ["nice", "-n", "19", sys.executable, "-m", "mypy"],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    process = session.config.stash.get(_types, None)
    if process is not None and process.poll() is None:
        process.terminate()
        process.wait()


@pytest.fixture
def types(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """The check of types that began with the session."""
    with request.config.stash[_types] as process:
        yield process


@pytest.fixture(scope="session")
def sample_photo() -> bytes:
    """NASA's portrait of Eileen Collins, a JPEG of 512 x 512 pixels with one face."""
    return SAMPLE.read_bytes()

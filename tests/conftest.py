"""Fixtures that all tests share; which tests are slow, and how the processes share the tests."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Generator
from pathlib import PurePath
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

from protome.sample import SAMPLE

# As in a worker: the test processes share the cores, and threads of the detector that wait for each
# other would take most of them. Read when the detector is loaded.
os.environ["OMP_NUM_THREADS"] = "1"

# Every test in these folders is slow; others are marked one by one.
SLOW: Final = {"deploy", "faults", "fuzz"}
# Tests of these folders share what is costly to make, or a server that they disturb: one
# process runs all tests of such a folder, one by one.
ONE_BY_ONE: Final = {"export", "faults"}
# Files of them whose tests do neither; last, so that few faults are injected at a time.
APART: Final = {f"tests/faults/test_{name}.py" for name in ("limits", "start", "uploads")}
# What takes longest is begun first, so that no process is at work long after the others. Folders
# that are not named follow.
ORDER: Final = ("faults", "deploy", "project", "export", "e2e/web", "e2e")
LONGEST_NAME: Final = 400
_left_out: Final = pytest.StashKey[Counter[str]]()


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _folder(nodeid: str) -> str:
    return PurePath(_file(nodeid)).parts[1]


def _rank(item: pytest.Item) -> int:
    file = _file(item.nodeid)
    ranks = [rank for rank, folder in enumerate(ORDER) if file.startswith(f"tests/{folder}/")]
    return len(ORDER) if file in APART or not ranks else ranks[0]


class _Scheduler(LoadScopeScheduling):  # type: ignore[misc]
    """Give each process a file at a time, or a whole folder of ``ONE_BY_ONE``."""

    def _split_scope(self, nodeid: str) -> str:
        file, folder = _file(nodeid), _folder(nodeid)
        return folder if folder in ONE_BY_ONE and file not in APART else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduler(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_left_out] = Counter()
    # Else the scheduler would sort by the number of tests.
    config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: modules and tests stay, and it would take seconds."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow folders before pytest selects by marks; put them all in order."""
    items.sort(key=_rank)
    # Each process sends the names of all its tests: those of some megabytes took a minute.
    long = [item.nodeid[:200] for item in items if len(item.nodeid) > LONGEST_NAME]
    assert not long, f"give their parameters ids: {long}"
    for item in items:
        if _folder(item.nodeid) in SLOW:
            item.add_marker("slow")


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.config.stash[_left_out][_folder(item.nodeid)] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send what a process left out to the one that prints the summary."""
    counts = session.config.stash[_left_out]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(counts)


def pytest_testnodedown(node: Any) -> None:
    """Every process collects all tests: keep what one of them left out."""
    left_out: Counter[str] = node.config.stash[_left_out]
    if not left_out:
        left_out.update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    left_out = config.stash[_left_out]
    if (
        left_out
        and config.option.markexpr == "not slow and not alone"
        and not config.option.keyword
    ):
        folders = ", ".join(f"{count} of {name}" for name, count in sorted(left_out.items()))
        terminalreporter.write_line(
            f"{left_out.total()} slow tests were left out ({folders}); to run them: pytest -m slow",
            yellow=True,
        )


@pytest.fixture(scope="session")
def sample_photo() -> bytes:
    """NASA's portrait of Eileen Collins, a JPEG of 512 x 512 pixels with one face."""
    return SAMPLE.read_bytes()

"""Run the ``protome`` command as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

Done = subprocess.CompletedProcess[str]


def run(*arguments: object, env: Mapping[str, str] | None = None, seconds: float = 90.0) -> Done:
    return subprocess.run(
        [sys.executable, "-m", "protome", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, **(env or {})},
    )


def complains(done: Done, *words: str) -> None:
    """It ends with status 1 and one clear line, no traceback."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("protome: ")
    for word in words:
        assert word in last

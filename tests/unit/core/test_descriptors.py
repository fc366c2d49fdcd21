"""Connections and the limit on descriptors, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SHOWN = """
import resource, sys
from protome.descriptors import room_for
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(connections, 4), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "granted", "limit"),
    [
        (1000, 2000, 100, 100, 1000),
        (500, 2000, 1000, 1000, 1256),
        (500, 1000, 4000, 744, 1000),
        (120, 120, 4000, 20, 120),
        (80, 80, 4000, 0, 80),
        (40, 40, 4000, -20, 40),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may(
    soft: int, hard: int, connections: int, granted: int, limit: int
) -> None:
    command = [sys.executable, "-c", SHOWN, *map(str, (soft, hard, connections))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(granted), str(limit)]

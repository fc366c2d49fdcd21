"""How many connections there are descriptors for."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

# For all that is not a client's connection: workers, the HTTP listener, files.
RESERVED: Final = 256
# What the server needs of that in any case, for itself and for each worker and its successor.
LEAST: Final = 64
LEAST_WORKER: Final = 4


def room_for(connections: int, workers: int) -> int:
    """Raise this process's limit so far, if it may be raised.

    Returns:
        ``connections``, or as many as may be open beside ``workers`` workers: none or less where
        not even those may.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return connections
    least = LEAST + LEAST_WORKER * workers
    return min(connections, max(soft - max(RESERVED, least), (soft - least) // 2))

"""How many connections there are descriptors for."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

# For all that is not a client's connection: workers, the HTTP listener, files.
RESERVED: Final = 256


def room_for(connections: int) -> int:
    """Raise this process's limit so far, if it may be raised.

    Returns:
        ``connections``, or as many as may be open.
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
    return min(connections, max(soft - RESERVED, soft // 2))

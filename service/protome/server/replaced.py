"""Whether files were replaced while the server runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Signature = tuple[tuple[int, int, int], ...]


def signature(paths: Iterable[Path]) -> Signature | None:
    """Tells files from those that stood there before; None while one is missing."""
    try:
        stats = [os.stat(path) for path in paths]
    except OSError:
        return None
    # Not the time of the data: a file that was unreadable is not written to when it is mended.
    return tuple((stat.st_ino, stat.st_ctime_ns, stat.st_size) for stat in stats)

"""Detect that files were replaced while the server runs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

FileSignature = tuple[tuple[int, int, int], ...]


def file_signature(paths: Iterable[Path]) -> FileSignature | None:
    """Return a value that changes when one of the files is replaced; None while one is missing."""
    try:
        stats = [os.stat(path) for path in paths]
    except OSError:
        return None
    # The change time (ctime), not the modification time: only it changes with permissions, so that
    # a file that becomes readable counts as replaced.
    return tuple((stat.st_ino, stat.st_ctime_ns, stat.st_size) for stat in stats)

"""Count the bytes of photos and meshes that the server holds in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Budget:
    """Counts the bytes held; new work is admitted only if there is :meth:`room`.

    Args:
        limit: most bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def room(self, size: int) -> bool:
        """Return whether ``size`` more bytes fit; always true when nothing is held."""
        return not self.held or self.held + size <= self.limit

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count ``size`` bytes for the duration of the block, even above the limit."""
        self.held += size
        try:
            yield
        finally:
            self.held -= size

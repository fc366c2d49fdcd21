"""How many bytes of photos and meshes the server holds for its clients."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Budget:
    """Counts bytes held; whoever lets new work in asks for ``room`` first.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def room(self, size: int) -> bool:
        """Whether ``size`` more bytes fit. Something always fits when nothing is held."""
        return not self.held or self.held + size <= self.limit

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Count ``size`` bytes while the block lasts, whether they fit or not."""
        self.held += size
        try:
            yield
        finally:
            self.held -= size

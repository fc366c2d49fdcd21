"""How many faces the device has memory for at a time, found by trying."""

from __future__ import annotations

import threading
from typing import Final

# Good runs after which twice as many are tried again, and the most this grows to.
PATIENCE: Final = 64
LONGEST_PATIENCE: Final = 4096


class Cap:
    """Faces in one run: halved when memory is not enough, doubled after a while of good runs.

    The memory may have been somebody else's for a moment, so the cap climbs again: after
    ``patience`` good runs in a row. Each time that more fails again it waits twice as long, since
    what is tried is done over in parts. Knows no clock; may be told from several threads.

    Args:
        most: where it begins, and what it never passes.
        patience: good runs before the first climb.
    """

    def __init__(self, most: int, patience: int = PATIENCE) -> None:
        self._most = most
        self._value = most
        self._first_patience = self._patience = patience
        self._good = 0
        self._tried = False
        self._lock = threading.Lock()

    @property
    def value(self) -> int:
        """Faces now."""
        return self._value

    def failed(self, faces: int) -> None:
        """Count a run for which there was not enough memory."""
        with self._lock:
            lower = max(1, faces // 2)
            if lower >= self._value:
                # A run begun before the one that lowered it.
                return
            if self._tried:
                self._patience = min(2 * self._patience, LONGEST_PATIENCE)
            self._value, self._good, self._tried = lower, 0, False

    def worked(self) -> None:
        """Count a run that did not fail."""
        with self._lock:
            self._good += 1
            if self._good < self._patience:
                return
            self._good = 0
            if self._value < self._most:
                self._value, self._tried = min(2 * self._value, self._most), True
            else:
                # It held: a shortage from now on is another one.
                self._patience, self._tried = self._first_patience, False

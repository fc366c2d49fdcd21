"""Suggest the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` with the most similar name, or nothing if none is similar."""
    similar = difflib.get_close_matches(name.lower(), names, n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""

"""encoded mesh → chunks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protome.pipeline.request import split


@given(st.binary(min_size=1, max_size=300), st.integers(1, 310))
@settings(derandomize=True, database=None)
def test_the_pieces_make_up_the_whole(data: bytes, size: int) -> None:
    chunks = list(split(data, size))
    assert b"".join(chunk.data for chunk in chunks) == data
    assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))
    assert all(len(chunk.data) == size for chunk in chunks[:-1])
    assert 1 <= len(chunks[-1].data) <= size
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.total_size for chunk in chunks] == [len(data)] + [0] * (len(chunks) - 1)


def test_nothing_has_no_pieces() -> None:
    assert list(split(b"", 4)) == []


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        list(split(b"abc", size))

"""Shared memory between the server and a worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from protome.errors import Internal
from protome.workers.mailbox import ALIGN, Mailbox, Parcel
from tests.support.shapes import seeded


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox.create(64 << 10)
    yield box
    box.close()


def test_arrays_and_bytes_come_out_as_they_went_in(mailbox: Mailbox) -> None:
    volume = seeded(1).integers(0, 256, (5, 7, 11), dtype=np.uint8)
    turned = volume.transpose(2, 0, 1)
    parcels = mailbox.put([volume, b"bytes", memoryview(b"view"), turned])
    assert [parcel.shape for parcel in parcels] == [(5, 7, 11), (5,), (4,), (11, 5, 7)]
    np.testing.assert_array_equal(mailbox.look(parcels[0]), volume)
    assert mailbox.look(parcels[1]).tobytes() == b"bytes"
    assert mailbox.look(parcels[2]).tobytes() == b"view"
    np.testing.assert_array_equal(mailbox.look(parcels[3]), turned)


def test_parcels_are_aligned_and_apart(mailbox: Mailbox) -> None:
    parcels = mailbox.put([b"a" * n for n in (1, 64, 65, 0, 3)], start=10)
    assert all(parcel.offset % ALIGN == 0 for parcel in parcels)
    assert parcels[0].offset >= 10
    for before, after in pairwise(parcels):
        assert before.end <= after.offset


def test_empty_arrays_are_fine(mailbox: Mailbox) -> None:
    (parcel,) = mailbox.put([b""])
    assert mailbox.look(parcel).size == 0


def test_another_view_of_the_same_memory_sees_it(mailbox: Mailbox) -> None:
    other = Mailbox(os.dup(mailbox.fd), mailbox.size)
    (parcel,) = mailbox.put([b"hello"])
    assert other.look(parcel).tobytes() == b"hello"
    other.look(parcel)[0] = ord("j")
    assert mailbox.look(parcel).tobytes() == b"jello"
    other.close()


def test_it_can_be_filled_to_the_last_byte_but_no_further(mailbox: Mailbox) -> None:
    full = np.full(mailbox.size, 7, np.uint8)
    (parcel,) = mailbox.put([full])
    assert parcel.end == mailbox.size
    with pytest.raises(Internal) as error:
        mailbox.put([b"x"], start=parcel.end)
    assert error.value.facts == {"need": str(mailbox.size + 1), "size": str(mailbox.size)}
    with pytest.raises(Internal):
        mailbox.put([np.zeros(mailbox.size + 1, np.uint8)])


def test_wiping_zeroes_exactly_what_it_is_told(mailbox: Mailbox) -> None:
    first, second = mailbox.put([b"secret", b"kept"])
    mailbox.wipe([first])
    assert not mailbox.look(first).any()
    assert mailbox.look(second).tobytes() == b"kept"


def test_nothing_is_left_of_pictures_that_did_not_fit_together(mailbox: Mailbox) -> None:
    secret = np.full(1000, 99, np.uint8)
    with pytest.raises(Internal):
        mailbox.put([secret, np.zeros(mailbox.size, np.uint8)])
    assert not mailbox.look(Parcel(0, (mailbox.size,))).any()


def test_closing_gives_the_descriptors_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Mailbox.create(4096).close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_was_taken_is_seen_by_both(mailbox: Mailbox) -> None:
    other = Mailbox(os.dup(mailbox.fd), mailbox.size)
    assert mailbox.taken == 0
    other.taken = 7
    assert mailbox.taken == 7
    assert not mailbox.look(Parcel(0, (mailbox.size,))).any(), "it lies behind the rest"
    other.close()

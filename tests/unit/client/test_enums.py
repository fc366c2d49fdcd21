"""The client's options have the names of the contract."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from protome.client import requests
from protome.client.enums import short_name, value_of
from protome.v1 import reconstruction_pb2 as pb


@pytest.mark.parametrize(
    ("names", "enum"),
    [
        (requests.Level, pb.DetailLevel),
        (requests.Format, pb.MeshFormat),
        (requests.Compression, pb.Compression),
        (requests.Appearance, pb.Appearance),
        (requests.Priority, pb.Priority),
    ],
)
def test_options_have_the_names_of_the_contract(names: Any, enum: Any) -> None:
    known = [short_name(enum, value).lower() for value in enum.values() if value]
    assert known == list(get_args(names))
    assert [value_of(enum, name) for name in known] == [v for v in enum.values() if v]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="finest"):
        value_of(pb.DetailLevel, "finest")

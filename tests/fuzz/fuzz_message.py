"""Fuzz the contract: any bytes are a request the line can take, or one of our errors.

python -m tests.fuzz.corpus message CORPUS
python -m tests.fuzz.fuzz_message CORPUS -max_total_time=28800
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["protome"]):
    from google.protobuf.message import DecodeError

    from protome.config import Config
    from protome.errors import ProtomeError
    from protome.model.card import SHIPPED, load_model
    from protome.server.calls.convert import Converter
    from protome.v1 import reconstruction_pb2 as pb

WIRE = Converter(Config(), load_model(SHIPPED))


def one_input(data: bytes) -> None:
    """Anything but an error that has a status is a crash."""
    for kind in (pb.ReconstructRequest, pb.ReconstructManyRequest):
        try:
            message = kind.FromString(data)
        except DecodeError:
            continue
        photo = message.request if isinstance(message, pb.ReconstructManyRequest) else message
        try:
            request = WIRE.request(photo, float("inf"))
        except ProtomeError:
            continue
        assert 1 <= request.max_faces <= WIRE.config.max_faces
        assert len(request.boxes) <= WIRE.config.max_faces
        assert request.levels


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

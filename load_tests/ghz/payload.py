"""Payloads for ghz and other clients: requests as JSON with base64, or binary with lengths before.

``python payload.py -o FILE [--json] [--many N] [PHOTO ...]``: one request for each photo (the
built-in one without), or N of them for a stream of ReconstructMany.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.proto import serialize_length_prefixed

from protome.client import make_request
from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb

OPTIONS: Final[Mapping[str, Any]] = {"appearance": "texture", "compressions": ["meshopt"]}


def requests(photos: Iterable[bytes]) -> list[pb.ReconstructRequest]:
    """What ``ghz.json`` asks for, of each photo."""
    return [make_request(photo, **OPTIONS) for photo in photos]


def many(photos: Sequence[bytes], count: int) -> list[pb.ReconstructManyRequest]:
    """A stream of so many photos, taken in turn, each with an id of its own."""
    turns = itertools.islice(itertools.cycle(requests(photos)), count)
    return [
        pb.ReconstructManyRequest(request_id=f"photo-{number}", request=request)
        for number, request in enumerate(turns)
    ]


def as_json(messages: Sequence[Message]) -> str:
    """One object, or an array of them; bytes are base64."""
    objects = [json_format.MessageToDict(m, preserving_proto_field_name=True) for m in messages]
    return json.dumps(objects[0] if len(objects) == 1 else objects)


def delimited(messages: Iterable[Message]) -> bytes:
    """Each message behind its length, a varint."""
    out = io.BytesIO()
    for message in messages:
        serialize_length_prefixed(message, out)
    return out.getvalue()


def main() -> None:
    """Write a payload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="*", type=Path, default=[SAMPLE], metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="JSON, not binary")
    parser.add_argument("--many", type=int, default=0, help="requests of ReconstructMany")
    args = parser.parse_args()
    photos = [path.read_bytes() for path in args.photos]
    messages: Sequence[Message] = many(photos, args.many) if args.many else requests(photos)
    data = as_json(messages).encode() if args.json else delimited(messages)
    args.output.write_bytes(data)


if __name__ == "__main__":
    main()

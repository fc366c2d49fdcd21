"""Write payloads for ghz and other clients: JSON with base64, or length-prefixed binary messages.

``python payload.py -o FILE [--json] [--many N] [PHOTO ...]`` writes one request for each photo (by
default the built-in one), or N requests of a ReconstructMany stream.
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
    """Return a request with the options of ``ghz.json`` for each photo."""
    return [make_request(photo, **OPTIONS) for photo in photos]


def many(photos: Sequence[bytes], count: int) -> list[pb.ReconstructManyRequest]:
    """Return ``count`` messages of a stream, with the photos in turn and an id for each."""
    turns = itertools.islice(itertools.cycle(requests(photos)), count)
    return [
        pb.ReconstructManyRequest(request_id=f"photo-{number}", request=request)
        for number, request in enumerate(turns)
    ]


def as_json(messages: Sequence[Message]) -> str:
    """Encode one message as an object, or several as an array; bytes are base64."""
    objects = [json_format.MessageToDict(m, preserving_proto_field_name=True) for m in messages]
    return json.dumps(objects[0] if len(objects) == 1 else objects)


def delimited(messages: Iterable[Message]) -> bytes:
    """Encode each message after its length, a varint."""
    out = io.BytesIO()
    for message in messages:
        serialize_length_prefixed(message, out)
    return out.getvalue()


def main() -> None:
    """Write a payload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="*", type=Path, default=[SAMPLE], metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--json", action="store_true", help="write JSON instead of binary")
    parser.add_argument("--many", type=int, default=0, help="number of ReconstructMany requests")
    args = parser.parse_args()
    photos = [path.read_bytes() for path in args.photos]
    messages: Sequence[Message] = many(photos, args.many) if args.many else requests(photos)
    data = as_json(messages).encode() if args.json else delimited(messages)
    args.output.write_bytes(data)


if __name__ == "__main__":
    main()

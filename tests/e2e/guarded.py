"""A server with TLS, tokens and quotas, and calls to it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import trustme

from protome.embedded import EmbeddedServer
from protome.server.access.tokens import new_token
from protome.v1 import reconstruction_pb2 as pb
from tests.support.certificates import Files, issue, trusting
from tests.support.service import (
    ONE_WORKER,
    OPTIONS,
    Answer,
    Stub,
)

Metadata = tuple[tuple[str, str], ...]


class Guarded:
    """A server with everything that guards it, and its files."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.authority = trustme.CA()
        self.files: Files = issue(folder / "tls", self.authority)
        tables, self.tokens = "", {}
        for name, quota in (
            ("shop", ""),
            ("trial", "photos_per_second = 0.001\nburst = 2\n"),
            ("narrow", "concurrent = 1\n"),
        ):
            self.tokens[name], table = new_token(name)
            tables += table + quota
        self.token_file = folder / "tokens.toml"
        self.token_file.write_text(tables)
        self.server = EmbeddedServer(
            [
                *ONE_WORKER,
                *("--tls-cert", str(self.files.cert), "--tls-key", str(self.files.key)),
                *("--token-file", str(self.token_file)),
                *("--log-format", "json", "--spans", "console"),
                *("--metrics-host", "127.0.0.2"),
                *flags,
            ]
        )

    def of(self, name: str) -> Metadata:
        """The metadata of a client."""
        return (("authorization", f"Bearer {self.tokens[name]}"),)

    def records(self) -> list[dict[str, Any]]:
        """What it logged."""
        lines = self.server.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"time"')]


@contextlib.contextmanager
def connected(guarded: Guarded, authority: trustme.CA | None = None) -> Iterator[grpc.Channel]:
    """A new connection of a client that trusts this authority."""
    credentials = trusting(authority or guarded.authority)
    with grpc.secure_channel(guarded.server.address, credentials, options=OPTIONS) as channel:
        yield channel


def asked(stub: Stub, photo: bytes, metadata: Metadata) -> Answer:
    answer = Answer()
    request = pb.ReconstructRequest(image=photo)
    for event in stub.Reconstruct(request, metadata=metadata, timeout=60):
        answer.feed(event)
    return answer

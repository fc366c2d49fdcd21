"""Choose a server by flags, and connect to it."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from protome.client import Client, tls
from protome.embedded import EmbeddedServer
from protome.extras import require_server


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a server and its credentials."""
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="server to call; default: start one for this command"
    )
    parser.add_argument("--tls", action="store_true", help="connect with TLS")
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="CA bundle that verifies the server; with --tls"
    )
    parser.add_argument(
        "--cert", type=Path, metavar="FILE", help="PEM file with the client certificate; with --tls"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="PEM file with the private key of --cert"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token")


def connect(args: argparse.Namespace, stack: ExitStack, timeout: float | None) -> Client:
    """Connect to the server that the flags choose, or start one until the stack is left."""
    if not args.address:
        require_server("a command without --address")
    address = args.address or stack.enter_context(EmbeddedServer()).address
    credentials = tls(args.ca, args.cert, args.key) if args.tls else None
    token = args.token_file.read_text().strip() if args.token_file else None
    return stack.enter_context(
        Client(address, credentials=credentials, token=token, timeout=timeout)
    )

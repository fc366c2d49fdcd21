"""How clients connect: gRPC options, TLS, tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import grpc

MIB: Final = 1 << 20
#: How clients balance and retry, in gRPC's own terms; for clients in other languages too.
SERVICE_CONFIG: Final = Path(__file__).with_name("service_config.json")
OPTIONS: Final = [
    ("grpc.max_send_message_length", 64 * MIB),
    ("grpc.max_receive_message_length", 64 * MIB),
    ("grpc.service_config", SERVICE_CONFIG.read_text(encoding="utf-8")),
    # A photo larger than this could not be sent again.
    ("grpc.per_rpc_retry_buffer_size", 64 * MIB),
    # A server that vanished without a word is found out.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


def tls(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Credentials from PEM files.

    Args:
        ca: certificates that must vouch for the server; None: those of the system.
        cert: certificate of the client, for servers that ask for one.
        key: its private key.
    """
    files = (None if path is None else path.read_bytes() for path in (ca, key, cert))
    return grpc.ssl_channel_credentials(*files)


def metadata(token: str | None) -> tuple[tuple[str, str], ...] | None:
    """The metadata of a call; None without a token."""
    return None if token is None else (("authorization", f"Bearer {token}"),)

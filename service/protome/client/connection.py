"""Connect to a server: gRPC options, TLS, tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import grpc

from protome.v1 import reconstruction_pb2_grpc as pb_grpc

MAX_MESSAGE_BYTES: Final = 64 << 20
#: Load balancing and retries as a gRPC service config; for clients in other languages too.
SERVICE_CONFIG: Final = Path(__file__).with_name("service_config.json")
OPTIONS: Final = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.service_config", SERVICE_CONFIG.read_text(encoding="utf-8")),
    # gRPC could not retry a call with a larger photo.
    ("grpc.per_rpc_retry_buffer_size", MAX_MESSAGE_BYTES),
    # Detect a server that vanished without closing the connection.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class Connection:
    """A channel to a server, with what every call needs: the base of both clients."""

    _api: Any

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        if credentials is None:
            self.channel = self._api.insecure_channel(address, options=OPTIONS)
        else:
            self.channel = self._api.secure_channel(address, credentials, options=OPTIONS)
        self.stub: Any = pb_grpc.ReconstructionServiceStub(self.channel)
        self.timeout = timeout
        self._metadata = None if token is None else (("authorization", f"Bearer {token}"),)

    def _call_options(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the time limit and the metadata of a call."""
        return {"timeout": timeout or self.timeout, "metadata": self._metadata}


def tls(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Load TLS credentials from PEM files.

    Args:
        ca: CA certificates that verify the server's; None: those of the system.
        cert: certificate of the client, for servers that ask for one.
        key: private key of ``cert``.
    """
    files = (None if path is None else path.read_bytes() for path in (ca, key, cert))
    return grpc.ssl_channel_credentials(*files)

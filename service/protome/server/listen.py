"""Make the gRPC server and bind its port."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import grpc

from protome.config import MIB, Config
from protome.system import room_for

from .interceptor import Gate
from .tls import Certificates, TlsError, TlsFiles

log = logging.getLogger(__name__)

MESSAGE_MARGIN: Final = 4 * MIB


class StartupError(Exception):
    """The server cannot start; the message says why."""


def grpc_server(config: Config, gate: Gate) -> grpc.aio.Server:
    """Make the gRPC server with the limits of the configuration.

    Raises:
        StartupError: too few files may be open.
    """
    connections = room_for(config.max_connections, config.worker_count)
    if connections <= 0:
        raise StartupError("too few files may be open (RLIMIT_NOFILE)")
    if connections < config.max_connections:
        log.warning("too few files may be open: %d connections at most", connections)
    return grpc.aio.server(
        options=[
            # Photos a little over our limit get our own error, with the limit in it.
            ("grpc.max_receive_message_length", config.max_image_bytes + MESSAGE_MARGIN),
            ("grpc.max_send_message_length", config.chunk_bytes + MIB),
            ("grpc.so_reuseport", 0),
            # A client that vanished without a word is found out.
            ("grpc.keepalive_time_ms", round(1e3 * config.keepalive_seconds)),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Clients may ask us as well, between calls too.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            # Pings that come sooner also measure the connection. Cutting it fails all its
            # calls, so that is for floods.
            ("grpc.http2.max_ping_strikes", 100),
            # Descriptors are left for workers to be replaced, and for probes.
            ("grpc.max_allowed_incoming_connections", connections),
            ("grpc.max_concurrent_streams", config.max_connection_calls),
            # Clients come back through DNS or the balancer, and so find servers that are new.
            # Calls in flight are not cut: there is no bound on the grace.
            ("grpc.max_connection_age_ms", round(1e3 * config.connection_seconds)),
            ("grpc.max_connection_idle_ms", round(1e3 * config.idle_seconds)),
        ],
        maximum_concurrent_rpcs=config.max_calls,
        interceptors=[gate],
    )


def bind(server: grpc.aio.Server, config: Config, certificates: Certificates | None) -> int:
    """Bind the port of the configuration; returns the one that was given for 0.

    Raises:
        StartupError: it cannot be had.
    """
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"{host}:{config.port}"
    try:
        if certificates is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {config.host}:{config.port}: {error}") from None
    return port


def tls_files(config: Config) -> TlsFiles | None:
    """The files of the configuration; None for plain text.

    Raises:
        TlsError: one is missing.
    """
    if not (config.tls_cert or config.tls_key or config.tls_client_ca):
        return None
    if not (config.tls_cert and config.tls_key):
        raise TlsError("TLS needs both tls_cert and tls_key")
    ca = Path(config.tls_client_ca) if config.tls_client_ca else None
    return TlsFiles(Path(config.tls_cert), Path(config.tls_key), ca)


def announce(file: Path, *ports: int) -> None:
    """Write the ports to a file for whoever started the server."""
    # Renamed into place, so that a reader never sees half of it.
    part = file.with_name(file.name + ".part")
    part.write_text(" ".join(map(str, ports)) + "\n")
    os.replace(part, file)

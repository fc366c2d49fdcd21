"""Create the gRPC server and bind its port."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from protome.config import MIB, Config
from protome.server.access.tls import Certificates
from protome.server.calls.interceptor import CallInterceptor
from protome.server.calls.service import SERVICE, PhotoService
from protome.system import room_for

from .health import Health
from .reflection import add_reflection

log = logging.getLogger(__name__)


class StartupError(Exception):
    """The server cannot start; the message says why."""


def create_grpc_server(
    config: Config, interceptor: CallInterceptor, service: PhotoService, health_: Health
) -> grpc.aio.Server:
    """Create the gRPC server with its services and limits.

    Raises:
        StartupError: the limit on open files is too low.
    """
    connections = room_for(config.max_connections, config.worker_count)
    if connections <= 0:
        raise StartupError("too few files may be open (RLIMIT_NOFILE)")
    if connections < config.max_connections:
        log.warning("too few files may be open: %d connections at most", connections)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", config.max_message_bytes),
            ("grpc.max_send_message_length", config.chunk_bytes + MIB),
            ("grpc.so_reuseport", 0),
            # Fixed windows: estimated ones let each connection send megabytes before they are read.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", MIB),
            # Detect clients that vanished without closing their connection.
            ("grpc.keepalive_time_ms", round(1e3 * config.keepalive_seconds)),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Allow pings of clients, between calls too.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            # gRPC clients also ping more often to measure bandwidth. A closed connection fails all
            # its calls, so only a flood of pings closes it.
            ("grpc.http2.max_ping_strikes", 100),
            # Leave file descriptors for new workers and for probes.
            ("grpc.max_allowed_incoming_connections", connections),
            ("grpc.max_concurrent_streams", config.max_connection_calls),
            # Clients that reconnect through DNS or a load balancer find new servers. Calls in
            # flight are not cut: gRPC waits for them without limit.
            ("grpc.max_connection_age_ms", round(1e3 * config.connection_seconds)),
            ("grpc.max_connection_idle_ms", round(1e3 * config.idle_seconds)),
        ],
        maximum_concurrent_rpcs=config.max_calls,
        interceptors=[interceptor],
    )
    server.add_generic_rpc_handlers((service.handlers(),))
    health_pb2_grpc.add_HealthServicer_to_server(health_.servicer, server)
    add_reflection(server, (SERVICE, health.SERVICE_NAME))
    return server


def bind_port(server: grpc.aio.Server, config: Config, certificates: Certificates | None) -> int:
    """Bind the configured port, with TLS if there are certificates; return the port's number.

    Raises:
        StartupError: the address is not available.
    """
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"{host}:{config.port}"
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {config.host}:{config.port}: {error}") from None


def write_port_file(file: Path, *ports: int) -> None:
    """Write the port numbers to a file, for the program that started the server."""
    # Renamed into place, so that a reader never sees half of it.
    part = file.with_name(file.name + ".part")
    part.write_text(" ".join(map(str, ports)) + "\n")
    os.replace(part, file)

"""Run servers on loopback addresses of their own, behind DNS or a proxy."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from dnslib import QTYPE, RR, TXT, A
from dnslib.server import BaseResolver, DNSHandler, DNSRecord, DNSServer
from prometheus_client.parser import text_string_to_metric_families

from load_tests.machine import free_port
from protome.client import SERVICE_CONFIG
from protome.embedded import EmbeddedServer

#: Flags for a server on one core that gives load balancers time to notice its shutdown.
SMALL: Final = (
    *("--workers", "1", "--inference-threads", "1", "--max-batch", "2"),
    *("--drain-delay", "1", "--drain-seconds", "20"),
)
NAME: Final = "protome.test"
BEGUN: Final = ("protome_requests_total", "protome_requests_in_flight")


class Node:
    """One server on its own loopback address; its ports stay the same when it is restarted."""

    def __init__(self, number: int, port: int, http_port: int) -> None:
        self.host = f"127.0.0.{number + 2}"
        self.address = f"{self.host}:{port}"
        self.http = f"{self.host}:{http_port}"
        ports = ("--port", str(port), "--metrics-port", str(http_port))
        self._flags = (*SMALL, *ports)
        self._server: EmbeddedServer | None = None

    def start(self) -> None:
        """Start it and return once it is ready."""
        self._server = EmbeddedServer(self._flags, host=self.host).__enter__()

    def terminate(self) -> int:
        """Send SIGTERM; return the exit status once it has drained."""
        assert self._server is not None
        self._server.process.send_signal(signal.SIGTERM)
        return self._server.process.wait(60)

    def kill(self) -> None:
        """Send SIGKILL."""
        assert self._server is not None
        self._server.process.kill()
        self._server.process.wait()

    def close(self) -> None:
        """Stop it if it runs."""
        if self._server is not None:
            self._server.__exit__()
            self._server = None

    def metric(self, *names: str, **labels: str) -> float:
        """Return the sum of a metric over all series, or over those with the given labels."""
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        families = text_string_to_metric_families(text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name in names and labels.items() <= sample.labels.items()
        )

    def await_photos(self, more: int) -> None:
        """Wait until it has answered ``more`` photos."""
        begun = self.metric("protome_requests_total")
        eventually(
            lambda: self.metric("protome_requests_total") >= begun + more,
            "the server gets photos",
            60,
        )


class Headless(BaseResolver):  # type: ignore[misc]
    """Resolves any name to all addresses, as DNS does for a headless Service.

    Also answers with the service config of Protome's client, which gRPC reads from DNS
    (gRFC A2): so clients that are not ours balance and retry alike.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        """Return the answer to a query."""
        reply = request.reply()
        if request.q.qtype == QTYPE.A:
            for host in self._hosts:
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(host), ttl=1))
        if request.q.qtype == QTYPE.TXT:
            choices = [{"serviceConfig": json.loads(SERVICE_CONFIG.read_text(encoding="utf-8"))}]
            text = "grpc_config=" + json.dumps(choices)
            parts = [text[at : at + 255] for at in range(0, len(text), 255)]
            reply.add_answer(RR(request.q.qname, QTYPE.TXT, rdata=TXT(parts), ttl=1))
        return reply


class Cluster:
    """Several nodes with the same ports.

    Args:
        size: number of nodes.
    """

    def __init__(self, size: int) -> None:
        self.port, http_port = free_port(), free_port()
        self.nodes = [Node(number, self.port, http_port) for number in range(size)]

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in self.nodes:
            node.close()

    @property
    def target(self) -> str:
        """The gRPC target with all nodes, for clients based on gRPC's C core, such as Python's."""
        return "ipv4:" + ",".join(node.address for node in self.nodes)

    def begun(self) -> list[float]:
        """Return the photos that each node has begun since it started."""
        return [node.metric(*BEGUN) for node in self.nodes]

    @contextlib.contextmanager
    def dns(self) -> Iterator[str]:
        """Run DNS with a name that has an address for each node; yield a gRPC target."""
        port = free_port(socket.SOCK_DGRAM)
        quiet = type("Quiet", (), {"__getattr__": lambda *_: lambda *__: None})()
        server = DNSServer(
            Headless([node.host for node in self.nodes]),
            address="127.0.0.1",
            port=port,
            logger=quiet,
        )
        server.start_thread()
        try:
            yield f"dns://127.0.0.1:{port}/{NAME}:{self.port}"
        finally:
            server.stop()
            server.server.server_close()

    @contextlib.contextmanager
    def proxy(self, haproxy: Path) -> Iterator[str]:
        """Run HAProxy in front, HTTP/2 on both sides, checking /readyz; yield host:port."""
        port = free_port()
        servers = "\n".join(
            f"  server node{n} {node.address} proto h2 check check-proto h1 addr {node.host} "
            f"port {node.http.rpartition(':')[2]} inter 200ms fall 1 rise 1"
            for n, node in enumerate(self.nodes)
        )
        config = f"""
defaults
  mode http
  timeout connect 2s
  # The default timeout of a check is its interval, which slow servers would exceed.
  timeout check 5s
  timeout client 60s
  timeout server 60s
frontend grpc
  bind 127.0.0.1:{port} proto h2
  default_backend servers
backend servers
  balance roundrobin
  option httpchk GET /readyz
  option redispatch 1
  retry-on conn-failure
{servers}
"""
        with tempfile.TemporaryDirectory(prefix="protome-") as folder:
            file = Path(folder) / "haproxy.cfg"
            file.write_text(config)
            with subprocess.Popen([haproxy, "-db", "-q", "-f", file]) as process:
                try:
                    eventually(lambda: _listens(port), "the proxy listens")
                    yield f"127.0.0.1:{port}"
                finally:
                    process.kill()


def eventually(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait for a condition."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"timeout: {what}"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False

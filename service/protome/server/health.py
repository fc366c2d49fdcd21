"""Report whether the server is alive and ready, over HTTP and the gRPC health service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grpc_health.v1 import health, health_pb2

from protome.telemetry.http import loop_responds
from protome.telemetry.metrics import Metrics


class Health:
    """The health of one server, as HTTP probes, the gRPC health service and metrics report it.

    Args:
        services: names that the gRPC health service answers for.
        metrics: gets the gauge ``protome_ready``.

    Attributes:
        ready: whether the server accepts requests.
        servicer: implementation of the gRPC health service.
    """

    def __init__(self, services: Sequence[str], metrics: Metrics) -> None:
        self.ready = False
        self.servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._services = services
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()

    def alive(self) -> bool:
        """Return whether the event loop responds; call it from another thread."""
        return loop_responds(self._loop)

    async def set_ready(self, ready: bool) -> None:
        """Report from now on that the server accepts requests, or that it does not."""
        self.ready = ready
        self._metrics.ready(ready)
        response = health_pb2.HealthCheckResponse
        for name in self._services:
            await self.servicer.set(name, response.SERVING if ready else response.NOT_SERVING)

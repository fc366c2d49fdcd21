"""The server process: start up, serve until stopped, shut down."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc

from protome import __version__, system
from protome.config import MIB, Config, cores
from protome.mesh.shape.surface import BACKEND, COMPILED
from protome.model.card import SHIPPED, Model, load_model
from protome.model.engine import Engine
from protome.pipeline import selftest
from protome.pipeline.inference import Inference
from protome.pipeline.pipeline import Pipeline
from protome.scheduling.budget import Budget
from protome.scheduling.forecast import Forecast
from protome.server.access.tls import Certificates, TlsError, load_certificates
from protome.server.access.tokens import TokenFileError, Tokens
from protome.server.calls.convert import Converter
from protome.server.calls.interceptor import CallInterceptor
from protome.server.calls.photo_call import PhotoCalls
from protome.server.calls.service import METHODS, SERVICE, PhotoService
from protome.server.calls.uploads import Uploads
from protome.telemetry.http import HttpServer
from protome.telemetry.metrics import Metrics
from protome.telemetry.tracing import Tracer, tracer_for
from protome.threads import run_in_thread
from protome.workers.pool import Pool

from .backend import Backend, Listener, OpenListener
from .health import Health
from .listen import StartupError, bind_port, create_grpc_server, write_port_file
from .state_metrics import describe_server, watch_parts
from .stop import stop_at_eof, stop_on_signals

log = logging.getLogger(__name__)

# A worker's mailbox also holds its outputs: portraits, uncompressed meshes.
MAILBOX_MARGIN_BYTES: Final = 64 * MIB
# Time for the statuses of the last calls to reach their clients.
LAST_STATUS_SECONDS: Final = 1.0
# How often the main loop checks whether freed memory can be returned to the system.
TRIM_INTERVAL_SECONDS: Final = 3.0


class Server:
    """One server.

    Args:
        config: the settings.
        until_eof: stop at the end of standard input too.
        web: opens the HTTP port; None: gRPC only.
    """

    def __init__(
        self, config: Config, *, until_eof: bool = False, web: OpenListener | None = None
    ) -> None:
        self._config = config
        self._web = web
        self._until_eof = until_eof
        self._metrics = Metrics()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Start up, serve until stopped, shut down.

        Raises:
            StartupError, ModelError, WorkerDied: the server cannot start.
        """
        stop_on_signals(self._stop)
        if self._until_eof:
            stop_at_eof(self._stop)
        # Leaving the stack shuts the parts down, in the reverse of the order they were started in.
        async with AsyncExitStack() as parts:
            photos = await self._until_stopped(parts)
            if photos is not None:
                await self.main_loop(photos)
        log.info("stopped")

    async def _until_stopped(self, parts: AsyncExitStack) -> PhotoCalls | None:
        """Start up; return None if the server is stopped meanwhile."""
        starting = asyncio.create_task(self.startup(parts))
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return await starting if starting.done() else None
        finally:
            stopped.cancel()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def startup(self, parts: AsyncExitStack) -> PhotoCalls:
        """Start each part after those that it needs; become ready last."""
        config, metrics = self._config, self._metrics
        certificates, tokens = _load_access(config)
        health = Health(("", SERVICE), metrics)
        http = parts.enter_context(_open_http(config, metrics, health))
        tracer = _create_tracer(config)
        parts.callback(tracer.close)
        folder = Path(config.model_dir) if config.model_dir else SHIPPED
        model = load_model(folder)
        pool = await self._start_pool(model, parts)
        engine = await run_in_thread(_create_engine, config, model)
        await run_in_thread(engine.warm_up)
        inference = self._start_inference(engine, parts)
        await selftest.check(model, engine, pool, folder)

        budget = Budget(config.max_held_bytes)
        forecast = Forecast(
            workers=config.worker_count, network=inference.times, clock=time.monotonic
        )
        pipeline = Pipeline(config, model, pool, inference, metrics, budget, forecast)
        converter = Converter(config, model)
        photos = PhotoCalls(config, pipeline, converter, metrics, budget)
        info = converter.server_info(__version__, engine.provider)
        uploads = Uploads(slow_uploads=config.slow_uploads, receive_seconds=config.receive_seconds)
        service = PhotoService(config, photos, info, uploads)
        watch_parts(metrics, pool, inference, engine, forecast)
        describe_server(metrics, model, engine.provider)
        if not COMPILED:
            log.warning("the surface kernel is not compiled; %s is many times slower", BACKEND)

        interceptor = CallInterceptor(METHODS, tracer, tokens, metrics)
        server = create_grpc_server(config, interceptor, service, health)
        port = bind_port(server, config, certificates)
        ports = [port, http.port]
        web = None
        if self._web is not None:
            web = await self._web(
                Backend(config, photos, uploads, tokens, tracer, metrics, info, certificates)
            )
            ports.append(web.port)
        parts.push_async_callback(self._drain, server, photos, health, web)
        await server.start()
        self._watching = asyncio.create_task(self._stop_if_grpc_ends(server))
        await health.set_ready(True)
        log.info(
            "serving %s on port %d (%s, %d workers), metrics on port %d",
            *(model.name, port, engine.provider, config.worker_count, http.port),
        )
        if config.port_file:
            write_port_file(Path(config.port_file), *ports)
        return photos

    async def main_loop(self, photos: PhotoCalls) -> None:
        """Wait until the server is stopped.

        Meanwhile return memory to the system when a burst of photos is over: the C library would
        keep it, scattered over its arenas.
        """
        # Objects of the start-up live as long as the process: the collector can skip them.
        gc.freeze()
        finished = 0
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRIM_INTERVAL_SECONDS):
                    await self._stop.wait()
                return
            if photos.idle and photos.finished != finished:
                finished = photos.finished
                await run_in_thread(system.trim_memory)

    async def _drain(
        self, server: grpc.aio.Server, photos: PhotoCalls, health: Health, web: Listener | None
    ) -> None:
        """Report NOT_SERVING, refuse new calls, and let the calls in flight finish."""
        log.info("draining")
        await health.set_ready(False)
        # Load balancers need time to notice before calls are refused.
        await asyncio.sleep(self._config.drain_delay)
        # GOAWAY makes clients connect to another server at once; calls in flight continue.
        seconds = self._config.drain_seconds
        stopping = [asyncio.create_task(server.stop(seconds + LAST_STATUS_SECONDS))]
        if web is not None:
            stopping.append(asyncio.create_task(web.stop(seconds + LAST_STATUS_SECONDS)))
        await photos.drain(seconds)
        # Do not wait for open health watches and idle streams.
        await server.stop(LAST_STATUS_SECONDS)
        await asyncio.gather(*stopping)

    async def _start_pool(self, model: Model, parts: AsyncExitStack) -> Pool:
        config = self._config
        pool = Pool(
            config.worker_count,
            model.head,
            mailbox_bytes=config.max_image_bytes + MAILBOX_MARGIN_BYTES,
            task_seconds=config.task_seconds,
            memory_bytes=config.worker_memory,
            on_restart=self._metrics.worker_restarted,
            on_wait=self._metrics.waited_for_worker,
        )
        parts.push_async_callback(pool.close)
        await pool.start()
        return pool

    def _start_inference(self, engine: Engine, parts: AsyncExitStack) -> Inference:
        inference = Inference(engine, on_batch=self._metrics.batch, on_failure=self._stop.set)
        parts.push_async_callback(inference.close)
        inference.start()
        return inference

    async def _stop_if_grpc_ends(self, server: grpc.aio.Server) -> None:
        """Stop the server if gRPC ends by itself: no call would be answered any more."""
        with contextlib.suppress(Exception):  # gRPC logs the reason.
            await server.wait_for_termination()
        if not self._stop.is_set():
            log.error("gRPC ended unexpectedly")
            self._stop.set()


def _load_access(config: Config) -> tuple[Certificates | None, Tokens | None]:
    """Load what decides who may call: certificates for TLS, and tokens.

    Raises:
        StartupError: a file is missing or invalid.
    """
    try:
        certificates = load_certificates(config)
        tokens = Tokens(Path(config.token_file), time.monotonic) if config.token_file else None
    except (TlsError, TokenFileError) as error:
        raise StartupError(str(error)) from None
    if tokens is not None and certificates is None:
        log.warning("tokens are sent in plain text: end TLS in front of this port")
    return certificates, tokens


def _open_http(config: Config, metrics: Metrics, health: Health) -> HttpServer:
    try:
        return HttpServer(config.metrics_host, config.metrics_port, metrics.registry, health)
    except OSError as error:
        where = f"{config.metrics_host}:{config.metrics_port}"
        raise StartupError(f"cannot listen on {where}: {error}") from None


def _create_tracer(config: Config) -> Tracer:
    try:
        return tracer_for(config.spans, __version__)
    except ImportError as error:
        raise StartupError(f"spans need 'pip install protome[otel]': {error}") from None


def _create_engine(config: Config, model: Model) -> Engine:
    return Engine(
        model,
        provider=config.provider,  # type: ignore[arg-type]  # checked by Config
        threads=config.inference_threads,
        cores=cores(),
        max_batch=config.max_batch,
        in_flight=config.max_batches,
        engine_cache=config.engine_cache,
    )

"""The server process: startup → main_loop → shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from pathlib import Path
from typing import Final

from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from protome import __version__, system
from protome.config import MIB, Config, cores
from protome.mesh.surface import BACKEND, COMPILED
from protome.model.card import SHIPPED, load_model
from protome.model.engine import Engine
from protome.pipeline import selftest
from protome.pipeline.inference import Inference
from protome.pipeline.pipeline import Pipeline
from protome.scheduling.budget import Budget
from protome.scheduling.forecast import Forecast
from protome.telemetry import context as call
from protome.telemetry.http import HttpServer, turns
from protome.telemetry.metrics import Metrics
from protome.telemetry.tracing import tracer_for
from protome.threads import aside
from protome.workers.pool import Pool

from .convert import Wire
from .interceptor import Gate
from .listen import MESSAGE_MARGIN, StartupError, announce, bind, grpc_server, tls_files
from .photo_call import Reception
from .service import METHODS, SERVICE, Servicer
from .stop import stop_at_eof, stop_on_signals
from .tls import Certificates, TlsError
from .tokens import TokenFileError, Tokens
from .uploads import Uploads

log = logging.getLogger(__name__)

# Room for the largest outputs behind the photo: volumes, portraits, uncompressed meshes.
MAILBOX_MARGIN: Final = 64 * MIB
# For statuses still on their way when the last photo is answered, seconds.
LAST_WORDS: Final = 1.0
# How often to look whether freed memory can be given back.
TRIM_SECONDS: Final = 3.0


class Server:
    """One server; ``run`` lives from start to drained."""

    def __init__(self, config: Config, *, until_eof: bool = False) -> None:
        self._config = config
        self._until_eof = until_eof
        self._metrics = Metrics()
        self._ready = False
        self._stop = asyncio.Event()
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or SIGHUP, then drain.

        Raises:
            StartupError, ModelError, WorkerDied: the server cannot start.
        """
        try:
            await self._unless_stopped()
            await self.main_loop()
        finally:
            await self.shutdown()

    async def _unless_stopped(self) -> None:
        """Start up, or give that up when told to stop."""
        starting = asyncio.create_task(self.startup())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
        finally:
            stopped.cancel()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def startup(self) -> None:
        """Bring up the parts from the inside out; ready is last."""
        config = self._config
        self._guard()
        loop = asyncio.get_running_loop()
        stop_on_signals(loop, self._stop)
        if self._until_eof:
            stop_at_eof(loop, self._stop)
        try:
            self._http = HttpServer(
                config.metrics_host,
                config.metrics_port,
                self._metrics.registry,
                alive=lambda: turns(loop),
                ready=lambda: self._ready,
            )
        except OSError as error:
            where = f"{config.metrics_host}:{config.metrics_port}"
            raise StartupError(f"cannot listen on {where}: {error}") from None
        self._http.start()
        folder = Path(config.model_dir) if config.model_dir else SHIPPED
        model = load_model(folder)
        self._pool = Pool(
            config.worker_count,
            mailbox_bytes=config.max_image_bytes + MAILBOX_MARGIN,
            task_seconds=config.task_seconds,
            memory_bytes=config.worker_memory,
            on_restart=self._metrics.worker_restarted,
            on_wait=self._waited,
        )
        await self._pool.start()
        engine = await aside(
            Engine,
            model,
            provider=config.provider,  # type: ignore[arg-type]  # checked by Config
            threads=config.inference_threads,
            cores=cores(),
            max_batch=config.max_batch,
            in_flight=config.max_batches,
            engine_cache=config.engine_cache,
        )
        await aside(engine.warm_up)
        self._inference = Inference(
            engine,
            capacity=config.queue_faces,
            on_batch=self._metrics.batch,
            on_failure=self._stop.set,
        )
        self._inference.start()
        await selftest.check(model, engine, self._pool, folder)
        self._budget = budget = Budget(config.max_held_bytes)
        forecast = Forecast(
            workers=config.worker_count, network=self._inference.times, clock=time.monotonic
        )
        line = Pipeline(config, model, self._pool, self._inference, self._metrics, budget, forecast)
        wire = Wire(config, model)
        self._uploads = Uploads(
            slow_places=config.slow_uploads,
            seconds=config.receive_seconds,
            pressure=self._unread,
            largest=config.max_image_bytes + MESSAGE_MARGIN,
        )
        self._reception = Reception(
            line=line,
            wire=wire,
            metrics=self._metrics,
            budget=budget,
            max_requests=config.max_requests,
            send_seconds=config.send_seconds,
        )
        self._servicer = Servicer(
            reception=self._reception,
            line=line,
            metrics=self._metrics,
            info=wire.server_info(__version__, engine.provider),
            uploads=self._uploads,
            max_streams=config.max_streams,
            max_stream_photos=config.max_stream_photos,
            receive_seconds=config.receive_seconds,
        )
        self._metrics.watch(
            queue_faces=lambda: self._inference.queued,
            queue_age=lambda: self._inference.oldest_age,
            queue_tasks=lambda: self._pool.waiting,
            workers=lambda: self._pool.ready,
            backlog=lambda: forecast.backlog,
            speed=lambda: forecast.speed,
            network=self._inference.times,
            batch_cap=lambda: engine.cap,
        )
        self._metrics.describe(
            version=__version__,
            name=model.name,
            model=model.version,
            digest=model.digest,
            provider=engine.provider,
        )
        if not COMPILED:
            log.warning("the surface kernel is not built: %s takes many times as long", BACKEND)
        self._rest = system.memory_in_use()
        await self._listen()
        await self._set_ready(True)
        log.info(
            "serving %s on port %d (%s, %d workers), metrics on port %d",
            model.name,
            self._port,
            engine.provider,
            config.worker_count,
            self._http.port,
        )
        if config.port_file:
            announce(Path(config.port_file), self._port, self._http.port)

    async def main_loop(self) -> None:
        """Until the signal to stop; everything else happens in the parts.

        What a burst left free is given back once it is over: the C library would keep it, in
        pieces here and there.
        """
        worked = 0
        # What start-up made stays: the collector need not go over it again and again.
        gc.freeze()
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TRIM_SECONDS):
                    await self._stop.wait()
                return
            if self._reception.idle and self._reception.taken != worked:
                worked = self._reception.taken
                await aside(system.trim_memory)
                if self._reception.idle and self._uploads.idle:
                    self._rest = system.memory_in_use()

    async def shutdown(self) -> None:
        """Say NOT_SERVING, let the calls in flight finish, take the parts down."""
        config = self._config
        if hasattr(self, "_grpc"):
            log.info("draining")
            await self._set_ready(False)
            # Time for load balancers to notice before calls are refused.
            await asyncio.sleep(config.drain_delay)
            # Clients are told at once to connect elsewhere (GOAWAY); what is in flight goes on.
            stopping = asyncio.create_task(self._grpc.stop(config.drain_seconds + LAST_WORDS))
            await self._reception.drain(config.drain_seconds)
            # Open health watches and idle streams are not worth waiting for.
            await self._grpc.stop(LAST_WORDS)
            await stopping
        if hasattr(self, "_inference"):
            await self._inference.close()
        if hasattr(self, "_pool"):
            await self._pool.close()
        if hasattr(self, "_tracer"):
            self._tracer.close()
        if hasattr(self, "_http"):
            self._http.close()
        log.info("stopped")

    def _guard(self) -> None:
        """Read what decides who may call: first, since it fails most easily."""
        config = self._config
        try:
            files = tls_files(config)
            self._certificates = None if files is None else Certificates(files)
            self._tokens = (
                Tokens(Path(config.token_file), time.monotonic) if config.token_file else None
            )
        except (TlsError, TokenFileError) as error:
            raise StartupError(str(error)) from None
        if self._tokens is not None and self._certificates is None:
            log.warning("tokens are asked for over plain text: TLS must end in front of this port")
        try:
            self._tracer = tracer_for(config.spans, __version__)
        except ImportError as error:
            raise StartupError(f"spans need 'pip install protome[otel]': {error}") from None

    def _unread(self) -> int:
        """Bytes over the limit that nobody has asked for yet: what gRPC holds of messages that
        have arrived in part. What is worked on is in there up to three times."""
        limit = self._config.max_unread_bytes + 3 * self._budget.held
        return system.memory_in_use() - self._rest - limit

    def _waited(self, seconds: float) -> None:
        """A task waited so long for a worker."""
        self._metrics.stage("worker_queue", seconds)
        call.stages({"worker_queue": seconds})

    async def _listen(self) -> None:
        gate = Gate(traced=METHODS, tracer=self._tracer, tokens=self._tokens, metrics=self._metrics)
        self._grpc = grpc_server(self._config, gate)
        self._grpc.add_generic_rpc_handlers((self._servicer.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._grpc)
        self._port = bind(self._grpc, self._config, self._certificates)
        await self._grpc.start()
        self._serving = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        """End if gRPC ends by itself: the server would be ready, and answer nobody."""
        with contextlib.suppress(Exception):  # What it ended with is in the log.
            await self._grpc.wait_for_termination()
        if not self._stop.is_set():
            log.error("gRPC ended by itself")
            self._stop.set()

    async def _set_ready(self, ready: bool) -> None:
        self._ready = ready
        self._metrics.ready(ready)
        serving = health_pb2.HealthCheckResponse.SERVING
        not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", SERVICE):
            await self._health.set(name, serving if ready else not_serving)

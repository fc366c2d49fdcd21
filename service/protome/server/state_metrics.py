"""Add the metrics that describe the parts of a server, and those that are read of them."""

from __future__ import annotations

from protome import __version__
from protome.model.card import Model
from protome.model.engine import Engine
from protome.pipeline.inference import Inference
from protome.scheduling.forecast import Forecast
from protome.telemetry.metrics import Metrics
from protome.workers.pool import Pool


def watch_parts(
    metrics: Metrics, pool: Pool, inference: Inference, engine: Engine, forecast: Forecast
) -> None:
    """Add the metrics that are read of these parts whenever they are collected."""
    network = inference.times
    for name, meaning, read in (
        ("queue_depth_faces", "Faces waiting for the network.", lambda: inference.queued),
        (
            "queue_age_seconds",
            "Wait so far of the oldest face in the queue.",
            lambda: inference.oldest_age,
        ),
        (
            "batch_cap_faces",
            "Largest batch: less than max_batch for a while after memory ran out.",
            lambda: engine.cap,
        ),
        ("worker_queue_depth_tasks", "Tasks waiting for a worker.", lambda: pool.waiting),
        ("workers", "Worker processes, busy or idle.", lambda: pool.ready),
        ("backlog_seconds", "Work left for the photos in progress.", lambda: forecast.backlog),
        (
            "speed_ratio",
            "Seconds of work done per second while saturated, learned.",
            lambda: forecast.speed,
        ),
        (
            "network_fixed_seconds",
            "a of a batch's time a + b * n, learned.",
            lambda: network.a,
        ),
        ("network_face_seconds", "b of a batch's time a + b * n, learned.", lambda: network.b),
    ):
        metrics.watch(f"protome_{name}", meaning, read)


def describe_server(metrics: Metrics, model: Model, provider: str) -> None:
    """Add the metrics with the version of the server, its network and execution provider."""
    metrics.describe("protome_build", "Version of the server.", {"version": __version__})
    facts = {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "execution_provider": provider,
    }
    metrics.describe("protome_model", "The network that is served.", facts)

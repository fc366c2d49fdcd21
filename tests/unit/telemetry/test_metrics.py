"""Metrics follow the naming rules of Prometheus and count what is recorded."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from protome import __version__
from protome.model.card import Model
from protome.scheduling.batcher import BatchFacts, Reason
from protome.scheduling.learned_times import Affine
from protome.server.calls import status
from protome.server.state_metrics import describe_server, watch_parts
from protome.telemetry.metrics import METHODS, STAGES, Metrics

# Types of the default collectors, which name their metrics by the same rules.
FOREIGN = ("process_", "python_")
UNITS = (
    "seconds",
    "bytes",
    "faces",
    "tasks",
    "info",
    "total",
    "flight",
    "ready",
    "restarts",
    "workers",
    "ratio",
)
WRONG_UNITS = re.compile(r"_(ms|milliseconds|minutes|kb|kib|mb|percent)(_|$)")

SECONDS = "protome_request_duration_seconds_count"


@dataclass(frozen=True)
class Card:
    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class Parts:
    """All parts of a server that are watched, in one."""

    queued: int = 3
    oldest_age: float = 0.5
    waiting: int = 2
    ready: int = 4
    backlog: float = 1.5
    speed: float = 2.5
    cap: int = 16
    times: Affine = field(default_factory=Affine)


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics()
    describe_server(made, cast(Model, Card("net", "2", "ab")), "CPU")
    parts: Any = Parts()
    parts.times.observe(1, 0.03)
    parts.times.observe(2, 0.05)
    watch_parts(made, parts, parts, parts, parts)
    made.began()
    made.began()
    made.ended("http", "Reconstruct", "OK", "", 0.2)
    made.first_mesh("http", "Reconstruct", 0.1)
    made.stage("decode", 0.01)
    made.batch(BatchFacts(faces=3, rows=4, reason=Reason.FULL, seconds=0.6, gone=1))
    made.work(1.4)
    made.wasted(0.3)
    made.photo_faces(2)
    made.mesh(100_000)
    made.worker_restarted()
    made.ready(True)
    return made


def families(metrics: Metrics) -> list[Metric]:
    return list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))


def own(metrics: Metrics) -> list[Metric]:
    return [
        family
        for family in families(metrics)
        if not family.name.startswith(FOREIGN) and not family.name.endswith("_created")
    ]


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_names_have_the_prefix_and_base_units(metrics: Metrics) -> None:
    assert len(own(metrics)) >= 14
    for family in own(metrics):
        assert re.fullmatch(r"protome_[a-z][a-z_]*[a-z]", family.name), family.name
        assert not WRONG_UNITS.search(family.name), family.name
        if family.type == "histogram":
            assert family.name.endswith(UNITS), family.name


def test_every_metric_has_help(metrics: Metrics) -> None:
    for family in own(metrics):
        assert family.documentation.endswith("."), family.name
        assert len(family.documentation) > 10


def test_counters_end_in_total_and_nothing_else_does(metrics: Metrics) -> None:
    for family in own(metrics):
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name


def test_labels_do_not_repeat_the_name(metrics: Metrics) -> None:
    for family in own(metrics):
        for sample in family.samples:
            assert set(sample.labels) <= {
                "protocol", "method", "code", "reason", "stage", "le", "version", "name", "digest",
                "execution_provider", "dispatch_reason",
            }  # fmt: skip


def test_buckets_rise(metrics: Metrics) -> None:
    for family in own(metrics):
        if family.type != "histogram":
            continue
        series: dict[tuple[tuple[str, str], ...], list[float]] = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                rest = tuple(sorted(kv for kv in sample.labels.items() if kv[0] != "le"))
                series.setdefault(rest, []).append(float(sample.labels["le"]))
        for edges in series.values():
            assert edges == sorted(set(edges))
            assert edges[-1] == float("inf")


def test_requests_are_counted_by_protocol_method_and_code(metrics: Metrics) -> None:
    labels = {"protocol": "http", "method": "Reconstruct"}
    ended = {"code": "OK", "reason": ""}
    assert value(metrics, "protome_requests_total", **labels, **ended) == 1
    other = {**labels, **ended, "protocol": "grpc"}
    assert value(metrics, "protome_requests_total", **other) == 0
    assert value(metrics, "protome_requests_in_flight") == 1
    assert value(metrics, "protome_request_duration_seconds_sum", **labels) == 0.2
    assert value(metrics, "protome_time_to_first_mesh_seconds_sum", **labels) == 0.1


def test_counters_of_photos_start_at_zero() -> None:
    """The first failure of a server is a step from 0 to 1, which rates and alerts can see."""
    fresh = Metrics()
    ends = {(code.name, kind.reason) for kind, code in status.CODES.items()}
    # An outcome of one face; counted apart, before there is a photo.
    ends -= {("INTERNAL", "NO_SURFACE"), ("UNAUTHENTICATED", "UNAUTHENTICATED")}
    # Without an error: gRPC ends calls whose client has left or whose deadline has passed.
    ends |= {("OK", ""), ("CANCELLED", ""), ("DEADLINE_EXCEEDED", "")}
    for protocol, method in METHODS:
        found = {
            (sample.labels["code"], sample.labels["reason"]): sample.value
            for family in own(fresh)
            for sample in family.samples
            if sample.name == "protome_requests_total"
            if (sample.labels["protocol"], sample.labels["method"]) == (protocol, method)
        }
        assert found == dict.fromkeys(ends, 0.0)
        assert value(fresh, SECONDS, protocol=protocol, method=method) == 0


def test_stages_are_there_before_the_first_request() -> None:
    fresh = Metrics()
    for stage in STAGES:
        assert value(fresh, "protome_stage_duration_seconds_count", stage=stage) == 0
    assert value(fresh, "protome_ready") == 0


def test_other_metrics_are_recorded(metrics: Metrics) -> None:
    assert value(metrics, "protome_stage_duration_seconds_sum", stage="decode") == 0.01
    assert value(metrics, "protome_batch_size_faces_sum") == 3
    assert value(metrics, "protome_batch_fill_ratio_sum") == 0.75
    assert value(metrics, "protome_batch_padding_rows_total") == 1
    assert value(metrics, "protome_batch_gone_faces_total") == 1
    assert value(metrics, "protome_batch_dispatches_total", dispatch_reason="full") == 1
    assert value(metrics, "protome_batch_dispatches_total", dispatch_reason="idle") == 0
    assert value(metrics, "protome_work_seconds_total") == pytest.approx(2.0)
    assert value(metrics, "protome_wasted_seconds_total") == pytest.approx(0.5)
    assert value(metrics, "protome_photo_faces_sum") == 2
    assert value(metrics, "protome_mesh_size_bytes_sum") == 100_000
    assert value(metrics, "protome_worker_restarts_total") == 1
    assert value(metrics, "protome_ready") == 1


def test_queues_are_read_when_metrics_are_collected(metrics: Metrics) -> None:
    assert value(metrics, "protome_queue_depth_faces") == 3
    assert value(metrics, "protome_queue_age_seconds") == 0.5
    assert value(metrics, "protome_worker_queue_depth_tasks") == 2
    assert value(metrics, "protome_workers") == 4
    assert value(metrics, "protome_backlog_seconds") == 1.5
    assert value(metrics, "protome_speed_ratio") == 2.5
    assert value(metrics, "protome_network_fixed_seconds") == pytest.approx(0.01)
    assert value(metrics, "protome_network_face_seconds") == pytest.approx(0.02)


def test_info_metrics_describe_the_server(metrics: Metrics) -> None:
    assert value(metrics, "protome_build_info", version=__version__) == 1
    labels = {"name": "net", "version": "2", "digest": "ab", "execution_provider": "CPU"}
    assert metrics.registry.get_sample_value("protome_model_info", labels) == 1


def test_process_metrics_are_there(metrics: Metrics) -> None:
    names = {family.name for family in families(metrics)}
    assert {"process_resident_memory_bytes", "process_open_fds", "python_info"} <= names


def test_two_servers_do_not_share_metrics() -> None:
    first, second = Metrics(), Metrics()
    first.photo_faces(1)
    assert value(second, "protome_photo_faces_count") == 0

"""Run ``protome bench``: compare the service's throughput with that of its stages alone.

The service is compared with the offline bound (``bound``): the same stages without requests, queues
and batches, in as many processes as the service has workers. The load generator (``load``) uses
part of the same cores, so rates are compared per free core: photos per second / (cores - cores used
by the generator). Figures without this correction end with ``_raw``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2

from protome.config import Config, cores
from protome.sample import SAMPLE

from .bound import Bound, measure
from .load import Tally
from .service import Service
from .surface_speed import sample_head, surface_speed

CLIENTS: Final = (1, 2, 8, 32, 64)
LOADS: Final = (0.5, 0.8, 1.0, 1.5, 3.0)
# Longest sides of the mixed set, made from the built-in photo.
SIDES: Final = (256, 512, 1024, 2048)
# Options of every request; compressed, as a backend that pays for traffic would ask.
OPTIONS: Final[Mapping[str, Any]] = {
    "detail": "standard",
    "appearance": "texture",
    "compressions": ["meshopt"],
}
# Each photo of the benchmark has one face and one mesh.
BUILT: Final = "protome_mesh_size_bytes_count"
# The cheapest options, for many requests.
CHEAP: Final[Mapping[str, Any]] = {"detail": "preview", "appearance": "none", "formats": ["stl"]}
# A call's deadline in an open loop, as a multiple of the latency of a single client.
DEADLINE_LATENCIES: Final = 10.0


@dataclass(frozen=True)
class Plan:
    """How long to measure.

    Attributes:
        bound: seconds of each of the two runs of the offline bound.
        phase: seconds of each load but the last.
        overload: seconds of the last load: its goodput spreads by 8 % in phases of 3 seconds.
        requests: requests to measure the growth of memory with; 0: not measured.
        rest: seconds that the server gets to return freed memory after a burst.
        rounds: repetitions of surface extraction, of which the best counts.
        mix: also measure photos of mixed sizes.
    """

    bound: float = 10.0
    phase: float = 10.0
    overload: float = 20.0
    requests: int = 10_000
    rest: float = 8.0
    rounds: int = 15
    mix: bool = True


QUICK: Final = Plan(bound=2.0, phase=2.5, overload=10.0, requests=200, mix=False)


def bench(plan: Plan, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure everything and return the report that ``--json`` prints.

    Args:
        plan: how long to measure.
        say: called with the name of each part when it begins.
    """
    with tempfile.TemporaryDirectory(prefix="protome-bench-") as folder, Service() as service:
        mixed = mix(Path(folder))
        say("one photo")
        report = run(service, [str(SAMPLE)], plan)
        if plan.mix:
            say("photos of mixed sizes")
            report["mix"] = throughput(service, mixed, plan)
        if plan.requests:
            say(f"growth of memory over {plan.requests} requests")
        report |= growth(service, _mostly_small(mixed), plan)
        report["peak_rss_bytes"] = service.peak
    say("surface extraction")
    return report | surface_speed(sample_head(), plan.rounds)


def mix(folder: Path) -> list[str]:
    """Write the built-in photo in several sizes to a folder; return the files."""
    picture = cv2.imread(str(SAMPLE))
    if picture is None:
        raise OSError(f"cannot read {SAMPLE}")
    files = []
    for side in SIDES:
        path = folder / f"{side}.jpg"
        cv2.imwrite(str(path), cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC))
        files.append(str(path))
    return files


def _mostly_small(mixed: Sequence[str]) -> list[str]:
    """Return all sizes, small ones more often, so that ten thousand do not take an hour."""
    return [file for index, file in enumerate(mixed) for _ in range(2 ** (len(mixed) - index))]


def run(service: Service, photos: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Measure all loads with one set of photos."""
    report = throughput(service, photos, plan)
    closed = report["closed"]
    best = max(closed, key=lambda point: point["rate_per_free_core"])
    deadline = max(0.5, DEADLINE_LATENCIES * closed[0]["latency_p50"])
    durations = [plan.phase] * (len(LOADS) - 1) + [plan.overload]
    opened = [
        _open(service, photos, load, load * best["rate"], deadline, seconds)
        for load, seconds in zip(LOADS, durations, strict=True)
    ]
    worst = opened[-1]
    report |= {
        "deadline_seconds": deadline,
        "open": opened,
        "latency_c1_over_stage_sum": closed[0]["latency_over_stage_sum"],
        "goodput_at_3x_over_capacity": worst["goodput_per_free_core"] / best["rate_per_free_core"],
        "goodput_at_3x_over_capacity_raw": worst["goodput"] / best["rate"],
        "wasted_fraction_at_3x": worst["wasted_fraction"],
        "refused_median_seconds_at_3x": worst["refused_p50"],
    }
    return report


def throughput(service: Service, photos: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Measure the closed loops, and the offline bound before and after them."""
    workers = Config().worker_count
    service.load(photos, OPTIONS, clients=4, seconds=1.0)
    before = measure(photos, OPTIONS, workers, plan.bound)
    closed, stages = [], {}
    for clients in CLIENTS:
        first, cpu, loop = service.metrics(), service.cpu_seconds(), service.loop_seconds()
        tally = service.load(photos, OPTIONS, clients=clients, seconds=plan.phase)
        last = service.metrics()
        meshes = last[BUILT] - first.get(BUILT, 0.0)
        spent = {
            "cpu_seconds": (service.cpu_seconds() - cpu) / max(1.0, meshes),
            "loop_cpu_seconds": (service.loop_seconds() - loop) / max(1.0, meshes),
        }
        closed.append(summarize(tally) | {"clients": clients, **spent})
        if clients == CLIENTS[0] or clients == CLIENTS[2]:
            stages[clients] = stage_means(first, last)
    after = measure(photos, OPTIONS, workers, plan.bound)
    offline = (before.rate + after.rate) / 2
    offline_cpu = (before.cpu_seconds + after.cpu_seconds) / 2
    best = max(closed, key=lambda point: point["rate_per_free_core"])
    for point in closed:
        point["over_offline"] = point["rate_per_free_core"] / (offline / cores())
        point["cpu_over_offline"] = point["cpu_seconds"] / offline_cpu
    return {
        "cores": cores(),
        "workers": workers,
        "offline_rate": offline,
        "offline_rates": [before.rate, after.rate],
        "offline_spread": abs(before.rate - after.rate) / offline,
        "offline_cpu_seconds": offline_cpu,
        "closed": closed,
        "capacity": best["rate"],
        "service_over_offline": best["over_offline"],
        "service_over_offline_raw": best["rate"] / offline,
        "cpu_over_offline": best["cpu_over_offline"],
        "stages": {
            name: {
                "offline_seconds": _offline(name, before, after),
                **{f"service_c{n}_seconds": means.get(name) for n, means in stages.items()},
            }
            for name in {**before.stages, **{n: 0 for means in stages.values() for n in means}}
        },
    }


def growth(service: Service, photos: Sequence[str], plan: Plan) -> dict[str, Any]:
    """Measure the growth of memory over the cheapest requests, after a tenth of them to warm up."""
    requests = plan.requests
    report: dict[str, Any] = {"growth_requests": requests, "rss_growth_after_10k": None}
    if requests:
        first = _at_rest(service, photos, max(50, requests // 10), plan.rest)
        last = _at_rest(service, photos, requests, plan.rest)
        report |= {
            "rss_before_bytes": first,
            "rss_after_bytes": last,
            "rss_growth_after_10k": last / first - 1,
        }
    return report


def _at_rest(service: Service, photos: Sequence[str], calls: int, rest: float) -> int:
    """Return the least bytes that the service holds in the ``rest`` seconds after the calls."""
    service.load(photos, CHEAP, clients=16, calls=calls)
    end = time.monotonic() + rest
    least = service.memory()
    while time.monotonic() < end:
        time.sleep(1.0)
        least = min(least, service.memory())
    return least


def _open(
    service: Service,
    photos: Sequence[str],
    load: float,
    rate: float,
    deadline: float,
    seconds: float,
) -> dict[str, Any]:
    first = service.metrics()
    tally = service.load(
        photos,
        OPTIONS,
        rate=rate,
        deadline=deadline,
        seconds=seconds,
        ramp=min(1.5 * deadline, seconds),
    )
    last = service.metrics()

    def spent(name: str) -> float:
        return last[name] - first[name]

    work = spent("protome_work_seconds_total")
    point = summarize(tally)
    return {
        "load": load,
        "offered": rate,
        "goodput": point["rate"],
        "goodput_per_free_core": point["rate_per_free_core"],
        "latency_p50": point["latency_p50"],
        "latency_p99": point["latency_p99"],
        "refused": len(tally.refusals),
        "refused_p50": statistics.median(tally.refusals) if tally.refusals else None,
        "codes": dict(tally.codes),
        "wasted_fraction": spent("protome_wasted_seconds_total") / work if work else 0.0,
        "generator_cores": tally.cpu_seconds,
    }


def summarize(tally: Tally) -> dict[str, Any]:
    """Return rates, in photos per second, and latencies, in seconds, of a load."""
    rate = tally.good / tally.seconds
    ratios = [a / b for a, b in zip(tally.latencies, tally.stage_sums, strict=True)]
    return {
        "rate": rate,
        "rate_per_free_core": rate / max(0.1, cores() - tally.cpu_seconds),
        "latency_p50": _quantile(tally.latencies, 0.5),
        "latency_p99": _quantile(tally.latencies, 0.99),
        "latency_over_stage_sum": _quantile(ratios, 0.5),
        "failed": dict(tally.codes),
        "bytes_per_second": tally.bytes_ / tally.seconds,
        "generator_cores": tally.cpu_seconds,
    }


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def stage_means(first: Mapping[str, float], last: Mapping[str, float]) -> dict[str, float]:
    """Return the mean seconds of each stage between two readings of the metrics."""
    means = {}
    for name, value in last.items():
        metric, _, stage = name.partition(":")
        if metric == "protome_stage_duration_seconds_sum":
            count = f"protome_stage_duration_seconds_count:{stage}"
            done = last[count] - first.get(count, 0.0)
            means[stage] = (value - first.get(name, 0.0)) / done if done else 0.0
    return means


def _offline(stage: str, *bounds: Bound) -> float | None:
    if stage not in bounds[0].stages:
        return None
    return statistics.mean(bound.stages[stage] for bound in bounds)

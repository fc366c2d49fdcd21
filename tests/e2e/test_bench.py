"""``protome bench`` measures a real server; what it must print is what people compare."""

from __future__ import annotations

import json

import pytest

from protome.bench.bench import Plan, bench
from protome.bench.report import KEYS, table


@pytest.mark.alone
@pytest.mark.timeout(400)
def test_a_short_run_has_every_figure() -> None:
    plan = Plan(bound=0.5, phase=0.6, overload=0.6, requests=30, rest=0.3, rounds=2, mix=False)
    report = json.loads(json.dumps(bench(plan)))
    for key in KEYS:
        assert isinstance(report[key], (int, float)), key
    assert [point["clients"] for point in report["closed"]] == [1, 2, 8, 32, 64]
    assert [point["load"] for point in report["open"]] == [0.5, 0.8, 1.0, 1.5, 3.0]
    for point in report["closed"]:
        assert point["rate"] > 0
        assert not point["failed"]
        # The loop is a part of the server; a photo's stages are not its.
        assert 0 < point["loop_cpu_seconds"] < point["cpu_seconds"] / 2
    overloaded = report["open"][-1]
    assert overloaded["refused"] > 0
    assert overloaded["goodput"] > 0
    # Wide of the bars, which need a quiet machine; a service that waits or wastes fails this.
    assert report["service_over_offline"] > 0.5
    assert 1 < report["latency_c1_over_stage_sum"] < 2
    assert report["goodput_at_3x_over_capacity"] > 0.3
    assert report["wasted_fraction_at_3x"] < 0.3
    assert report["growth_requests"] == 30
    stages = report["stages"]
    assert {"decode", "detect", "crop", "inference", "surface", "encode"} <= set(stages)
    assert str(report["closed"][0]["clients"]) in table(report)

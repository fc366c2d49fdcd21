"""The two autoscalers."""

from __future__ import annotations

import pytest

from tests.support.tools import DEPLOY, Tools

from .conftest import one

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


def test_both_autoscalers_have_the_same_aims(tools: Tools) -> None:
    hpa = one(tools.build(DEPLOY / "overlays" / "autoscale-hpa"), "HorizontalPodAutoscaler")["spec"]
    keda = one(tools.build(DEPLOY / "overlays" / "autoscale-keda"), "ScaledObject")["spec"]
    ours = [metric["pods"]["target"]["averageValue"] for metric in hpa["metrics"]]
    theirs = [trigger["metadata"]["threshold"] for trigger in keda["triggers"]]
    assert [quantity(value) for value in ours] == [float(value) for value in theirs]
    advanced = keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert advanced == hpa["behavior"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (
        keda["minReplicaCount"],
        keda["maxReplicaCount"],
    )


def test_no_data_is_no_reason_to_scale_down(tools: Tools) -> None:
    """KEDA takes an empty answer for 0 unless told otherwise, and would leave the least of pods."""
    keda = one(tools.build(DEPLOY / "overlays" / "autoscale-keda"), "ScaledObject")["spec"]
    assert keda["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert {trigger["metadata"]["ignoreNullValues"] for trigger in keda["triggers"]} == {"false"}


def quantity(text: str) -> float:
    """A Kubernetes quantity, plain or in thousandths."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)

"""Short runs of load_tests/cluster: real servers, a real proxy, a real load generator."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from load_tests.cluster.autoscale import Aim, desired
from load_tests.cluster.balance import spread
from load_tests.cluster.kill import check, kill
from load_tests.cluster.nodes import Cluster
from load_tests.cluster.rollout import rollout
from protome.client import SERVICE_CONFIG
from protome.v1 import reconstruction_pb2 as pb
from tests.support.tools import Tools

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two servers; the last test to use them kills one."""
    with Cluster(2) as running:
        yield running


def test_calls_spread_evenly(tools: Tools, cluster: Cluster) -> None:
    for way in ("round_robin", "haproxy"):
        counts, _ = spread(cluster, tools.root / "bin", way, 40)
        assert len(counts) == 2


def test_restarting_every_server_under_load_fails_no_call(tools: Tools, cluster: Cluster) -> None:
    outcomes = rollout(cluster, tools.root / "bin")
    assert set(outcomes) == {"health", "proxy", "retries"}
    for kind, outcome in outcomes.items():
        assert outcome.count > 20, kind
        assert not outcome.lost, kind


def test_killing_a_server_fails_only_what_it_had_begun_to_answer(cluster: Cluster) -> None:
    check(kill(cluster))


def test_service_config_names_methods_of_the_contract() -> None:
    config = json.loads(SERVICE_CONFIG.read_text(encoding="utf-8"))
    services = {s.full_name: s for s in pb.DESCRIPTOR.services_by_name.values()}
    assert config["healthCheckConfig"]["serviceName"] in services
    for method in config["methodConfig"]:
        assert "hedgingPolicy" not in method
        for name in method["name"]:
            assert name["method"] in services[name["service"]].methods_by_name


@pytest.mark.parametrize(
    ("sums", "pods", "wanted"),
    [
        ((0.0, 0.0), 2, 2),
        ((8.0, 0.0), 2, 2),
        # Within the tolerance of a tenth.
        ((8.7, 0.0), 2, 2),
        ((9.0, 0.0), 2, 3),
        ((8.0, 2.1), 2, 5),
        ((4.0, 0.0), 4, 2),
        ((900.0, 0.0), 4, 20),
    ],
)
def test_pods_wanted(sums: tuple[float, float], pods: int, wanted: int) -> None:
    aims = [Aim("in flight", 4.0), Aim("queue seconds", 0.5)]
    assert desired(sums, aims, pods, 2, 20) == wanted

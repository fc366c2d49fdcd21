"""Short runs of load_tests/cluster: real servers, a real proxy, a real load generator."""

from __future__ import annotations

import asyncio
import json

import pytest
from cluster.autoscale import Aim, desired
from cluster.balance import spread
from cluster.ghz import failed
from cluster.kill import check, kill
from cluster.nodes import Cluster
from cluster.rollout import rollout

from protome.client import SERVICE_CONFIG
from protome.v1 import reconstruction_pb2 as pb

from .conftest import Tools

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


def test_restarting_every_server_under_load_fails_no_call(tools: Tools) -> None:
    """Spread by a proxy first, then by the client, with the service config that ships."""
    with Cluster(2) as cluster:
        counts, _ = spread(cluster, tools.root / "bin", "haproxy", 40)
        assert len(counts) == 2
        report = rollout(cluster, tools.root / "bin", "round_robin")
    assert report["count"] > 20
    assert failed(report) == {}


def test_killing_a_server_fails_only_what_it_had_begun_to_answer() -> None:
    with Cluster(2) as cluster:
        check(asyncio.run(kill(cluster)))


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

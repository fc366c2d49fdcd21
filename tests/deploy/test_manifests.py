"""Every overlay, built with kustomize, is true to the server and to itself."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from protome.server import server
from protome.v1 import reconstruction_pb2 as pb
from tests.e2e.test_memory import LIMIT
from tests.support.tools import DEPLOY, Tools

from .conftest import objects, one
from .manifests import SECOND, container, pod, settings

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


def test_settings_are_the_servers(built: str) -> None:
    """Reads them as the server does: an unknown key or a wrong value is an error."""
    wanted = settings(built)
    assert wanted.drain_delay >= 5, "endpoints take seconds to forget a pod"
    assert container(built)["args"] == ["serve", "--config", "/etc/protome/protome.toml"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(built)["volumeMounts"]}
    assert mounts["config"] == "/etc/protome"


def test_workers_and_threads_fit_the_cpu_request(built: str) -> None:
    wanted, cpu = settings(built), int(container(built)["resources"]["requests"]["cpu"])
    assert 0 < wanted.workers <= cpu
    assert 0 < wanted.inference_threads <= cpu
    if wanted.provider != "cuda":
        # By default as many batches at a time as the node has cores.
        assert 0 < wanted.max_batches * wanted.inference_threads <= cpu


def test_workers_at_their_worst_fit_the_memory_limit(built: str) -> None:
    """Else the kernel would end the whole pod for the photo of one worker."""
    wanted, limit = settings(built), container(built)["resources"]["limits"]["memory"]
    assert limit.endswith("Gi")
    assert wanted.worker_memory > 0
    # Beside them what server and workers are held under while many upload large photos.
    assert wanted.workers * wanted.worker_memory + LIMIT <= int(limit[:-2]) << 30


def test_drain_fits_the_grace_period(built: str) -> None:
    wanted = settings(built)
    drain = wanted.drain_delay + wanted.drain_seconds + server.LAST_STATUS_SECONDS
    # Ten seconds to take the parts down.
    assert drain + 10 <= pod(built)["terminationGracePeriodSeconds"]


def test_probes_ask_for_what_the_server_has(built: str) -> None:
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container(built))
    ports = {port["name"]: port["containerPort"] for port in container(built)["ports"]}
    wanted = settings(built)
    assert ports == {"grpc": wanted.port, "web": wanted.web_port, "metrics": wanted.metrics_port}
    names = {service.full_name for service in pb.DESCRIPTOR.services_by_name.values()}
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container(built)[kind]
        if wanted.tls_cert:
            # Kubelet's gRPC probes cannot do TLS.
            assert probe["httpGet"]["port"] == "metrics"
            path = "/healthz" if kind == "livenessProbe" else "/readyz"
            assert probe["httpGet"]["path"] == path
        else:
            assert probe["grpc"]["port"] == wanted.port
            expected = {""} if kind == "livenessProbe" else names
            assert probe["grpc"].get("service", "") in expected


def pod_selectors(built: str) -> list[dict[str, str]]:
    """The labels by which objects select pods."""
    return [
        one(built, "Deployment")["spec"]["selector"]["matchLabels"],
        one(built, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(built, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *[rule["labelSelector"]["matchLabels"] for rule in pod(built)["topologySpreadConstraints"]],
        *[item["spec"]["selector"] for item in objects(built) if item["kind"] == "Service"],
    ]


def test_selectors_select_the_pods(built: str) -> None:
    labels = one(built, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    assert all(selector and selector.items() <= labels for selector in pod_selectors(built))
    services = [item for item in objects(built) if item["kind"] == "Service"]
    assert sorted(item["spec"].get("clusterIP", "") for item in services) == ["", "None"]


def test_two_instances_in_a_namespace_do_not_collide(
    overlays: dict[str, str], tools: Tools, tmp_path: Path
) -> None:
    """With every component, which the overlay itself must name, so that names change in it too."""
    parts = ("autoscale-keda", "mtls")
    deploy = os.path.relpath(DEPLOY, tmp_path.resolve())
    source = DEPLOY / "overlays" / "second-instance"
    shutil.copy(source / "names.yaml", tmp_path)
    kustomization = yaml.safe_load((source / "kustomization.yaml").read_text())
    kustomization["resources"] = [f"{deploy}/base"]
    kustomization["components"] = [f"{deploy}/components/{part}" for part in parts]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    second = tools.build(tmp_path)
    keys = [
        {(item["kind"], item["metadata"]["name"]) for item in objects(text)}
        for text in (*overlays.values(), overlays["second-instance"], second)
    ]
    for first in keys[: len(overlays)]:
        if ("Deployment", SECOND) not in first:
            assert not first & keys[-1]
            assert not first & keys[-2]
    # Neither selects the pods of the other.
    for ours, theirs in ((overlays["cpu"], second), (second, overlays["cpu"])):
        labels = one(theirs, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
        for selector in pod_selectors(ours):
            assert not selector.items() <= labels
    # What refers to names follows them.
    assert one(second, "ScaledObject")["spec"]["scaleTargetRef"]["name"] == SECOND
    (secret,) = [v["secret"]["secretName"] for v in pod(second)["volumes"] if "secret" in v]
    assert secret == one(second, "Certificate")["spec"]["secretName"] != "protome-tls"
    assert pod(second)["serviceAccountName"] == one(second, "ServiceAccount")["metadata"]["name"]


def test_keda_counts_the_pods_of_its_own_instance(overlays: dict[str, str]) -> None:
    for trigger in one(overlays["autoscale-keda"], "ScaledObject")["spec"]["triggers"]:
        pods = re.search(r'pod=~"([^"]+)"', trigger["metadata"]["query"])
        assert pods
        assert re.fullmatch(pods[1], "protome-6d4cf56db6-x7k2p")
        assert not re.fullmatch(pods[1], f"{SECOND}-6d4cf56db6-x7k2p")


def test_the_ingress_leads_to_the_page_and_lets_every_photo_in(overlays: dict[str, str]) -> None:
    built = overlays["ingress"]
    ingress = one(built, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    service = one(built, "Service", path["backend"]["service"]["name"])
    ports = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
    assert ports[path["backend"]["service"]["port"]["name"]] == "web"
    (tls,) = ingress["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]
    limit = ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert limit.endswith("m")
    assert int(limit[:-1]) << 20 > settings(built).max_image_bytes


def test_a_changed_setting_is_a_rollout(tools: Tools, tmp_path: Path) -> None:
    """The ConfigMap is named by its content, and the pods by the ConfigMap."""
    shutil.copytree(DEPLOY / "base", tmp_path / "base")
    file = tmp_path / "base" / "protome.toml"
    names = []
    for text in (file.read_text(), file.read_text() + "max_faces = 4\n"):
        file.write_text(text)
        built = tools.build(tmp_path / "base")
        names.append(next(v["configMap"]["name"] for v in pod(built)["volumes"]))
        assert one(built, "ConfigMap", names[-1])
    assert names[0] != names[1]


def test_an_autoscaler_owns_the_number_of_pods(built: str) -> None:
    kinds = {item["kind"] for item in objects(built)}
    scaled = bool(kinds & {"HorizontalPodAutoscaler", "ScaledObject"})
    assert ("replicas" in one(built, "Deployment")["spec"]) is not scaled


def test_every_alert_has_a_runbook(tools: Tools) -> None:
    rules = one(tools.build(DEPLOY / "overlays" / "cpu"), "PrometheusRule")
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    anchors = {title.strip().lower() for title in re.findall(r"^#+ (.+)$", readme, re.MULTILINE)}
    alerts = [r for group in rules["spec"]["groups"] for r in group["rules"] if "alert" in r]
    assert len(alerts) > 5
    for alert in alerts:
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page.endswith("/deploy/README.md")
        assert anchor == alert["alert"].lower()
        assert anchor in anchors

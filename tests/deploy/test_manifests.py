"""Every overlay, built with kustomize, is valid, hardened and true to the server."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from protome import config
from protome.server import server
from protome.v1 import reconstruction_pb2 as pb
from tests.e2e.test_memory import LIMIT

from .conftest import DEPLOY, Tools, objects, one

OVERLAYS: Final = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
# GPU pods that scale and speak mutual TLS, as deploy/README.md tells to combine them.
COMBINED: Final = ("autoscale-hpa", "mtls")
TOGETHER: Final = "gpu+" + "+".join(COMBINED)
# Name of the Deployment of overlays/second-instance.
SECOND: Final = "protome-second"

# What the linters say and we do not follow, each with the reason.
KUBE_SCORE_EXCEPTIONS: Final = {
    "CPU limit is not set": "throttling in the middle of a batch delays all of its faces",
    "ImagePullPolicy is not set to Always": "tags are immutable versions; a registry that is "
    "down must not keep a pod from starting again",
    "Deployment few replicas": "KEDA says how many, which kube-score does not know of",
    "Deployment does not have a host podAntiAffinity set": "topologySpreadConstraints do that",
}
CHECKOV_EXCEPTIONS: Final = {
    "CKV_K8S_11": "no CPU limit: as above",
    "CKV_K8S_15": "no imagePullPolicy Always: as above",
    "CKV_K8S_43": "the digest is known once the operator has pushed the image: deploy/README.md",
}

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


@pytest.fixture(scope="module")
def overlays(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What kustomize builds, by overlay."""
    found = {name: tools.build(DEPLOY / "overlays" / name) for name in OVERLAYS}
    folder = tmp_path_factory.mktemp("combined")
    # kustomize takes relative paths only.
    deploy = os.path.relpath(DEPLOY, folder.resolve())
    kustomization = {
        "resources": [f"{deploy}/overlays/gpu"],
        "components": [f"{deploy}/components/{part}" for part in COMBINED],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return {**found, TOGETHER: tools.build(folder)}


@pytest.fixture(params=[*OVERLAYS, TOGETHER])
def built(request: pytest.FixtureRequest, overlays: dict[str, str]) -> str:
    """Each overlay as kustomize builds it."""
    return overlays[request.param]


def pod(built: str) -> dict[str, Any]:
    """The pod template's spec."""
    spec: dict[str, Any] = one(built, "Deployment")["spec"]["template"]["spec"]
    return spec


def container(built: str) -> dict[str, Any]:
    """The one container."""
    (found,) = pod(built)["containers"]
    result: dict[str, Any] = found
    return result


def settings(built: str) -> config.Config:
    """The configuration of the pods, by the server's own rules."""
    name = next(v["configMap"]["name"] for v in pod(built)["volumes"] if "configMap" in v)
    values = tomllib.loads(one(built, "ConfigMap", name)["data"]["protome.toml"])
    for variable in container(built).get("env", []):
        if variable["name"].startswith(config.PREFIX):
            values[variable["name"].removeprefix(config.PREFIX).lower()] = variable["value"]
    return config.load(values, {}, None)


def invalid(texts: Mapping[str, str], tools: Tools, folder: Path) -> tuple[int, set[str]]:
    """How many objects are valid, and the names of the texts with others: kubeconform's word."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    schemas = f"{tools.root}/schemas/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    args = ("-strict", "-summary", "-output", "json", "-schema-location", schemas)
    done = tools.run("kubeconform", *args, folder)
    result = json.loads(done.stdout)
    wrong = {Path(item["filename"]).stem for item in result["resources"]}
    assert (done.returncode == 0) == (not wrong), done.stdout + done.stderr
    return result["summary"]["valid"], wrong


def test_are_valid(overlays: dict[str, str], tools: Tools, tmp_path: Path) -> None:
    valid, wrong = invalid(overlays, tools, tmp_path)
    assert wrong == set()
    assert valid == sum(len(objects(text)) for text in overlays.values()) > 60


def test_validation_can_fail(overlays: dict[str, str], tools: Tools, tmp_path: Path) -> None:
    """The schemas of CRDs are closed too: a misspelt field does not get through."""
    words = ("pollingInterval", "scrapeTimeout", "minReadySeconds", "unhealthyPodEviction")
    misspelt = {word: overlays["autoscale-keda"].replace(word, "x", 1) for word in words}
    assert invalid(misspelt, tools, tmp_path)[1] == set(words)


def test_kube_score_finds_nothing_new(built: str, tools: Tools) -> None:
    done = tools.run("kube-score", "score", "--output-format", "ci", "-", stdin=built)
    lines = done.stdout.splitlines()
    assert any(line.startswith("[OK]") for line in lines), done.stderr
    found = [line for line in lines if line.startswith(("[CRITICAL]", "[WARNING]"))]
    unknown = [line for line in found if not any(known in line for known in KUBE_SCORE_EXCEPTIONS)]
    assert not unknown


def test_checkov_finds_nothing_new(overlays: dict[str, str], tools: Tools, tmp_path: Path) -> None:
    for name, text in overlays.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    done = tools.run(
        "checkov",
        *("-d", tmp_path, "--framework", "kubernetes", "--output", "json"),
        *("--skip-download", "--compact", "--soft-fail"),
    )
    results = json.loads(done.stdout)["results"]
    passed = Counter(Path(check["file_path"]).stem for check in results["passed_checks"])
    assert set(passed) == set(overlays)
    assert min(passed.values()) > 50
    failed = {check["check_id"]: check["check_name"] for check in results["failed_checks"]}
    assert not {key: name for key, name in failed.items() if key not in CHECKOV_EXCEPTIONS}
    # What is no longer needed is no exception.
    assert set(failed) == set(CHECKOV_EXCEPTIONS)


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


def test_pods_are_restricted(built: str) -> None:
    """The restricted Pod Security Standard, and the namespace that enforces it."""
    spec, main = pod(built), container(built)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] >= 10000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert main["allowPrivilegeEscalation"] is False
    assert main["capabilities"] == {"drop": ["ALL"]}
    assert main["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert all(set(volume) - {"name"} <= {"configMap", "secret", "emptyDir"}
               for volume in spec["volumes"])  # fmt: skip
    assert spec["automountServiceAccountToken"] is False
    assert one(built, "ServiceAccount")["automountServiceAccountToken"] is False
    if one(built, "Deployment")["metadata"]["name"] != SECOND:
        labels = one(built, "Namespace")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


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


def test_kube_linter_would_find_nothing_new(built: str) -> None:
    """Its program cannot be had here: those of its default checks that no other test makes.

    Exceptions as for kube-score: no CPU limit, and topologySpreadConstraints in place of
    anti-affinity.
    """
    spec, main = pod(built), container(built)
    assert re.search(r"/.+:(?!latest$)[\w.-]+$", main["image"]), "latest-tag"
    names = [variable["name"] for variable in main.get("env", [])]
    assert len(names) == len(set(names)), "duplicate-env-var"
    assert not any("secret" in name.lower() for name in names), "env-var-secret"
    assert "serviceAccount" not in spec, "deprecated-service-account-field"
    assert one(built, "ServiceAccount", spec["serviceAccountName"]), "non-existent-service-account"
    ports = {port["name"]: port["containerPort"] for port in main["ports"]}
    assert 22 not in ports.values(), "ssh-port"
    services = [item["spec"] for item in objects(built) if item["kind"] == "Service"]
    targets = [port["targetPort"] for service in services for port in service["ports"]]
    assert targets
    assert set(targets) <= set(ports), "invalid-target-ports"
    probed = [
        action["port"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        for action in main[probe].values()
        if isinstance(action, dict)
    ]
    assert len(probed) == 3
    assert set(probed) <= {*ports, *ports.values()}, "liveness-, readiness-, startup-port"
    resources = main["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"]), "unset-cpu-, unset-memory-requirements"
    assert "memory" in resources["limits"], "unset-memory-requirements"
    assert not main["securityContext"]["privileged"], "privileged-container"
    assert not spec["securityContext"].get("sysctls"), "unsafe-sysctls"
    budget = one(built, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1, "pdb-max-unavailable, pdb-min-available"
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


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

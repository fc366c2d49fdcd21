"""Every overlay passes the linters, and the rules that Kubernetes enforces."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.tools import Tools

from .conftest import objects, one
from .manifests import SECOND, container, pod

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.
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

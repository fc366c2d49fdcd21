"""The image: its recipe is sound, its steps work, and what they make runs as the manifests say."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from load_tests.cluster.nodes import eventually
from load_tests.machine import free_port
from protome import __version__
from protome.client import Client
from tests.support.tools import DEPLOY, Tools

from .conftest import one
from .image import Builder, Image, allowed, instructions, start

ROOT: Final = DEPLOY.parent
DOCKERFILE: Final = DEPLOY / "Dockerfile"
# What hadolint says and we do not follow, each with the reason.
HADOLINT_EXCEPTIONS: Final = {
    "DL3008": "gcc of a build stage on a base pinned by digest; Debian drops old versions",
}

pytestmark = pytest.mark.timeout(1200)  # The first use of the tools may install them.


@pytest.fixture(scope="module")
def image(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, its Dockerfile carried out on a bare Debian: `VARIANT=cuda pytest ...` for CUDA's,
    which takes gigabytes."""
    base = tools.root / "debian"
    if not (allowed() and base.exists()) and not os.environ.get("CI"):
        pytest.skip("carrying out a Dockerfile needs root and mmdebstrap")
    arguments = {"VERSION": __version__, "VARIANT": os.environ.get("VARIANT", "cpu")}
    builder = Builder(base, ROOT, tmp_path_factory.mktemp("image"), arguments)
    with builder.build(DOCKERFILE) as built:
        yield built


def test_hadolint_finds_nothing_new(tools: Tools) -> None:
    ignored = [f"--ignore={rule}" for rule in HADOLINT_EXCEPTIONS]
    done = tools.run("hadolint", *ignored, DOCKERFILE)
    assert done.returncode == 0, done.stdout
    assert tools.run("hadolint", DOCKERFILE).returncode == 1, "the exceptions are needed"


def test_checkov_finds_nothing(tools: Tools) -> None:
    # 2: health checks are the orchestrator's probes. 7: it does not see the digest in the ARG.
    checkov = ("-f", DOCKERFILE, "--framework", "dockerfile", "--skip-download", "--compact")
    done = tools.run("checkov", *checkov, "--skip-check", "CKV_DOCKER_2,CKV_DOCKER_7")
    assert done.returncode == 0, done.stdout
    assert "Passed checks: " in done.stdout


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
def test_locked_packages_are_what_the_project_asks_for(variant: str) -> None:
    text = (DEPLOY / f"requirements-{variant}.txt").read_text(encoding="utf-8")
    lines = [line.rstrip(" \\").strip() for line in text.splitlines() if "==" in line]
    locked = {name: version for name, _, version in (line.partition("==") for line in lines)}
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # What builds the wheel is taken from there too.
    for asked in map(
        Requirement, [*pyproject["build-system"]["requires"], *pyproject["project"]["dependencies"]]
    ):
        name: str = canonicalize_name(asked.name)
        if asked.marker and not asked.marker.evaluate({"platform_machine": "x86_64"}):
            continue
        if name == "onnxruntime-gpu" and variant == "cpu":
            # The same, without the providers that a CPU has no use for.
            name = "onnxruntime"
        assert asked.specifier.contains(locked[canonicalize_name(name)]), asked


def test_the_context_has_what_the_build_copies() -> None:
    """The engine leaves out of it what .dockerignore does not let in."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert lines[0] == "*"
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    text = DOCKERFILE.read_text(encoding="utf-8").replace("${VARIANT}", "cpu")
    copied = [rest.split()[:-1] for word, rest in instructions(text) if word == "COPY"]
    sources = [name for names in copied if not names[0].startswith("--") for name in names]
    assert len(sources) > 4
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in let_in), source


def test_is_labelled(image: Image) -> None:
    assert image.labels["org.opencontainers.image.version"] == __version__
    assert image.labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_holds_no_tools(image: Image) -> None:
    packages = image.root / "opt/protome/lib/python3.11/site-packages"
    assert {path.name for path in packages.iterdir()} >= {"protome", "onnxruntime"}
    assert not any((packages / name).exists() for name in ("pip", "setuptools", "pytest"))
    assert not (image.root / "usr/bin/gcc").exists()
    assert not (image.root / "src").exists()


def test_serves_and_drains_as_the_manifests_run_it(
    image: Image, tools: Tools, sample_photo: bytes, tmp_path: Path
) -> None:
    """High uid, read-only root, no capabilities; probes, a photo, SIGTERM."""
    built = tools.build(DEPLOY / "overlays" / "cpu")
    spec = one(built, "Deployment")["spec"]["template"]["spec"]
    container = spec["containers"][0]
    uid, gid = image.user
    assert uid == spec["securityContext"]["runAsUser"]
    assert gid == spec["securityContext"]["runAsGroup"]
    name = next(v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v)
    tmp_path.chmod(0o755)
    (tmp_path / "protome.toml").write_text(one(built, "ConfigMap", name)["data"]["protome.toml"])
    port, http_port = free_port(), free_port()
    # Loopback and free ports, as the host's network is shared; all else as shipped.
    flags = ["--host", "127.0.0.1", "--metrics-host", "127.0.0.1", "--drain-delay", "0.5"]
    flags += ["--port", str(port), "--metrics-port", str(http_port), "--web-port", "0"]
    process = start(image, [*container["args"], *flags], {tmp_path: "/etc/protome"})
    try:
        eventually(lambda: _ready(http_port) or process.poll() is not None, "it is ready", 120)
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        (server,) = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "serve" in child.cmdline()
        ]
        assert set(server.uids()) == {uid}
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert "CapBnd:\t0000000000000000" in status
        assert "NoNewPrivs:\t1" in status
        mounts = Path(f"/proc/{server.pid}/mountinfo").read_text()
        assert re.search(r" / ro\b", mounts), mounts
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                asked = container[probe]["grpc"].get("service", "")
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(service=asked), timeout=10
                )
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with Client(f"127.0.0.1:{port}") as client:
            assert client.reconstruct(sample_photo).faces[0].mesh
        server.terminate()
        assert process.wait(spec["terminationGracePeriodSeconds"]) == 0
    finally:
        process.kill()
        process.wait()


def _ready(port: int) -> bool:
    with (
        contextlib.suppress(OSError),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer,
    ):
        return bool(answer.status == 200)
    return False


def test_tags_are_the_version_of_the_package() -> None:
    for overlay in ("cpu", "gpu"):
        text = (DEPLOY / "overlays" / overlay / "kustomization.yaml").read_text(encoding="utf-8")
        assert f"newTag: {__version__}-" in text
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE.read_text(encoding="utf-8")

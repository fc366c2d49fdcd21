"""The real tools, installed by deploy/tools/install, and what kustomize builds."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
NEEDED: Final = ("go", "python3", "apt-get", "dpkg")
OVERLAYS: Final = sorted(path.name for path in (DEPLOY / "overlays").iterdir())
# GPU pods that scale and speak mutual TLS, as deploy/README.md tells to combine them.
COMBINED: Final = ("autoscale-hpa", "mtls")
TOGETHER: Final = "gpu+" + "+".join(COMBINED)


class Tools:
    """Programs of a folder that deploy/tools/install made."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self, name: str, *args: str | Path, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a tool to its end."""
        command = [str(self.root / "bin" / name), *map(str, args)]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def build(self, folder: Path) -> str:
        """What kustomize makes of a folder, as YAML."""
        done = self.run("kustomize", "build", folder)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The tools; absent only where they cannot be installed, and never in CI."""
    lacking = [name for name in NEEDED if not shutil.which(name)]
    if lacking and not os.environ.get("CI"):
        pytest.skip(f"deploy/tools/install needs {', '.join(lacking)}")
    done = subprocess.run([DEPLOY / "tools" / "install"], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, "deploy/tools/install failed"
    return Tools(Path(done.stdout.decode().strip()))


@pytest.fixture(scope="session")
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


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML stream."""
    return list(yaml.safe_load_all(text))


def one(text: str, kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of a kind (and name) in a YAML stream."""
    found = [
        item
        for item in objects(text)
        if item["kind"] == kind and name in (None, item["metadata"]["name"])
    ]
    assert len(found) == 1, f"{len(found)} objects are a {kind} {name or ''}"
    return found[0]

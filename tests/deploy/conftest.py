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

"""The real tools that deploy/tools/install installs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

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


def installed() -> Tools:
    """Install the tools if need be, which takes minutes; skip where that cannot be, never in CI."""
    lacking = [name for name in NEEDED if not shutil.which(name)]
    if lacking and not os.environ.get("CI"):
        pytest.skip(f"deploy/tools/install needs {', '.join(lacking)}")
    done = subprocess.run([DEPLOY / "tools" / "install"], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, "deploy/tools/install failed"
    return Tools(Path(done.stdout.decode().strip()))

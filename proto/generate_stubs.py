#!/usr/bin/env python3
"""Generate the Python stubs of the contract: ``python proto/generate_stubs.py [FOLDER]``.

Needs the [test] extra. Writes to FOLDER/protome/v1; without FOLDER, to the stubs in service/.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PROTO: Final = "protome/v1/reconstruction.proto"
PLUGINS: Final = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
KINDS: Final = ("python", "grpc_python", "mypy", "mypy_grpc")


def generate(folder: Path) -> int:
    """Run protoc; returns its exit status."""
    # The plugins of this environment, whether it is activated or not.
    programs = Path(sys.executable).parent
    plugins = [
        f"--plugin={programs / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    outputs = [f"--{kind}_out={folder}" for kind in KINDS]
    command = [sys.executable, "-m", "grpc_tools.protoc", *plugins, "-I", "proto", *outputs, PROTO]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(generate(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "service"))

"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer, in a program of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROUNDS = 200
KERNEL = Path(__file__).parents[3] / "service" / "protome" / "mesh" / "kernel"
COMPILER = shutil.which("cc")


@pytest.mark.skipif(COMPILER is None, reason="no compiler")
def test_random_volumes_touch_no_memory_but_their_own(tmp_path: Path) -> None:
    program = tmp_path / "fuzz"
    source = Path(__file__).with_name("fuzz_marching_cubes.c")
    flags = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    build = [str(COMPILER), *flags, *sanitizers, f"-I{KERNEL}", str(source), "-o", str(program)]
    built = subprocess.run([*build, "-lm"], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    for seed in (1, 2, 3):
        ran = subprocess.run(
            [str(program), str(ROUNDS), str(seed)], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == f"{ROUNDS} volumes\n"

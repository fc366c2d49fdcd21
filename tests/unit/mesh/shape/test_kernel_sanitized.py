"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer, in a program of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROUNDS = 150
KERNEL = Path(__file__).parents[4] / "service" / "protome" / "mesh" / "kernel" / "shape"
# What knows of Python is not in it.
SOURCES = (
    "cases",
    "compose",
    "crossings",
    "cubes",
    "guard",
    "hair",
    "hair_scan",
    "head",
    "pieces",
    "relax",
    "vertices",
)
COMPILER = shutil.which("cc")


@pytest.mark.skipif(COMPILER is None, reason="no compiler")
def test_random_heads_touch_no_memory_but_their_own(tmp_path: Path) -> None:
    program = tmp_path / "fuzz"
    sources = [Path(__file__).with_name("fuzz_compose.c")]
    sources += [KERNEL / f"{name}.c" for name in SOURCES]
    flags = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += [f"-D{name}=test_{name}" for name in ("malloc", "calloc", "realloc")]
    build = [str(COMPILER), *flags, f"-I{KERNEL}", *map(str, sources), "-o", str(program), "-lm"]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    for seed in (1, 2, 3):
        ran = subprocess.run(
            [str(program), str(ROUNDS), str(seed)], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == f"{ROUNDS} heads\n"

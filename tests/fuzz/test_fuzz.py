"""The fuzzers run for a few seconds; their docstrings say how to run them for a night."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import OWN_PEAK

from .corpus import write
from .fuzz_kernel import COMPILER, built

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["photo", "message", "http"])
def test_fuzzing_finds_no_crash(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has wheels for x86-64 Linux")
    write(kind, tmp_path / "corpus")
    flags = ["-max_total_time=5", "-timeout=100", "-rss_limit_mb=2048", "-max_len=16384"]
    done = subprocess.run(
        [
            *OWN_PEAK,
            sys.executable,
            "-m",
            f"tests.fuzz.fuzz_{kind}",
            str(tmp_path / "corpus"),
            *flags,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs, done.stderr[-2000:]
    assert int(runs[1]) > 100


@pytest.mark.skipif(COMPILER is None, reason="no compiler")
def test_the_kernel_is_sound_and_reads_no_fresh_memory(tmp_path: Path) -> None:
    arguments = [f"-library={built(tmp_path)}", "-runs=800", "-seed=4"]
    done = [
        subprocess.run(
            [sys.executable, "-m", "tests.fuzz.fuzz_kernel", *arguments],
            cwd=ROOT,
            env={**os.environ, "ASAN_OPTIONS": f"malloc_fill_byte={fill}"},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        for fill in (0, 190)
    ]
    for one in done:
        assert one.returncode == 0, one.stderr[-4000:]
    first, second = (re.sub("slowest [^ ]* s", "", one.stdout) for one in done)
    assert first == second
    answered = re.search(r"Done 800 runs, (\d+) answered", first)
    assert answered, first
    assert int(answered[1]) > 300

"""The fuzzers run for a few seconds; their docstrings say how to run them for a night."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import OWN_PEAK

from .corpus import write

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", ["photo", "message"])
def test_fuzzing_finds_no_crash(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="atheris has wheels for x86-64 Linux")
    write(kind, tmp_path / "corpus")
    flags = ["-max_total_time=5", "-timeout=20", "-rss_limit_mb=2048", "-max_len=16384"]
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
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    runs = re.search(r"Done (\d+) runs", done.stderr)
    assert runs, done.stderr[-2000:]
    assert int(runs[1]) > 100

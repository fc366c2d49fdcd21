"""Rules for the C kernel's files; service/ARCHITECTURE.md explains its folders."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
KERNEL: Final = ROOT / "service" / "protome" / "mesh" / "kernel"
MOST_LINES: Final = 300
# Only it puts the folders together.
MODULE: Final = KERNEL / "module.c"
FILES: Final = sorted(file for file in KERNEL.rglob("*") if file.suffix in (".c", ".h"))


def test_files_are_short_and_say_what_they_do() -> None:
    texts = {file: file.read_text(encoding="utf-8") for file in FILES}
    assert texts
    assert {file for file, text in texts.items() if len(text.splitlines()) > MOST_LINES} == set()
    assert {file for file, text in texts.items() if not text.startswith("/* ")} == set()


def test_folders_include_only_their_own_files_and_those_above() -> None:
    wrong = []
    for file in FILES:
        for name in re.findall(r'^#include "(.*)"$', file.read_text(encoding="utf-8"), re.M):
            target = (file.parent / name).resolve()
            assert target.is_file(), f"{file} includes {name}"
            if target.parent not in {file.parent, KERNEL} and file != MODULE:
                wrong.append(f"{file.relative_to(KERNEL)} includes {name}")
    assert not wrong, "\n".join(wrong)


def test_all_files_are_built_and_packaged() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (kernel,) = project["tool"]["setuptools"]["ext-modules"]
    for suffix, listed in ((".c", kernel["sources"]), (".h", kernel["depends"])):
        found = [str(f.relative_to(ROOT).as_posix()) for f in FILES if f.suffix == suffix]
        assert listed == sorted(found)

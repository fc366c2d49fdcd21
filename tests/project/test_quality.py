"""The tools the project is held to, and generated code that is what it would be today."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
STUBS: Final = (
    "reconstruction_pb2.py",
    "reconstruction_pb2.pyi",
    "reconstruction_pb2_grpc.py",
    "reconstruction_pb2_grpc.pyi",
)


def tool(name: str) -> str:
    """A program of this environment, activated or not."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing: pip install -e '.[test]'"
    return found


@pytest.mark.timeout(600)  # mypy alone takes 40 seconds of an idle core
@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check"),
        ("ruff", "format", "--check"),
        ("mypy",),
        ("buf", "lint", "proto"),
    ],
    ids=" ".join,
)
def test_is_clean(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [tool(command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stubs")
    command = [sys.executable, str(ROOT / "proto" / "generate_stubs.py"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / "protome" / "v1"


@pytest.mark.parametrize("name", STUBS)
def test_committed_stubs_are_current(name: str, generated: Path) -> None:
    committed = (ROOT / "service" / "protome" / "v1" / name).read_text(encoding="utf-8")
    assert committed == (generated / name).read_text(encoding="utf-8")


def _files() -> list[Path]:
    folders = ("service/protome", "export/protome_export", "load_tests", "tests")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_array_aliases_are_used_as_types_only() -> None:
    """From NumPy 2.5 on, ``npt.NDArray[...]`` is a type alias without the attributes of arrays."""
    texts = {file: file.read_text(encoding="utf-8") for file in _files()}
    aliases = {
        target.id
        for text in texts.values()
        if "NDArray[" in text
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
        if ast.unparse(node.value).removeprefix("npt.").startswith("NDArray[")
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert {"U8", "F32", "Floats"} <= aliases
    # Only what looks like a use is parsed, as to parse all files takes seconds.
    use = re.compile(rf"\b({'|'.join(aliases)})\s*[.(]")
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for file, text in texts.items()
        if use.search(text)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute | ast.Call)
        for value in [node.value if isinstance(node, ast.Attribute) else node.func]
        if isinstance(value, ast.Name) and value.id in aliases
    ]
    assert not wrong, "\n".join(wrong)

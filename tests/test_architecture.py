"""The code keeps to the import table of service/ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[1] / "service"
ROW = re.compile(r"^\| `(\w+)` \| [^|]+ \| ([^|]*)\|$", re.MULTILINE)
# Heavy packages and the only modules that may import them.
GUARDED = {
    "grpc": {
        "status",
        "answering",
        "gate",
        "reception",
        "servicer",
        "tls",
        "server",
        "answer",
        "client",
        "v1",
    },
    "opentelemetry": {"spans"},
    "onnxruntime": {"session"},
    "prometheus_client": {"metrics", "http", "harness"},
}


def table() -> dict[str, set[str]]:
    text = (SERVICE / "ARCHITECTURE.md").read_text(encoding="utf-8").replace("\\_", "_")
    return {name: set(re.findall(r"\w+", row)) for name, row in ROW.findall(text)}


def modules() -> dict[str, ast.Module]:
    return {path.stem: ast.parse(path.read_text("utf-8")) for path in SERVICE.glob("*.py")}


def own_imports(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.module:
                names.add(node.module.split(".")[0])
            else:
                names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("protome."):
            names.add((node.module or "").split(".")[1])
    return {"__init__" if name == "__version__" else name for name in names}


def foreign_imports(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


def test_the_table_lists_every_module() -> None:
    assert set(table()) == set(modules()) | {"v1", "_surface"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_are_those_of_the_table(name: str) -> None:
    # A worker names itself absolutely when it is the main module.
    found = own_imports(modules()[name]) - {name}
    assert found == table()[name]


@pytest.mark.parametrize("package", sorted(GUARDED))
def test_heavy_packages_stay_where_they_belong(package: str) -> None:
    users = {name for name, tree in modules().items() if package in foreign_imports(tree)}
    assert users <= GUARDED[package]


def test_the_table_has_no_cycles() -> None:
    rows = {name: set(allowed) for name, allowed in table().items()}
    while free := {name for name, allowed in rows.items() if not allowed}:
        rows = {name: allowed - free for name, allowed in rows.items() if name not in free}
    assert not rows

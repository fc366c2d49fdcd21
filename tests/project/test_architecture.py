"""Rooms import only what they may; service/ARCHITECTURE.md explains the rooms."""

from __future__ import annotations

import ast
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
# A room is a folder of a package, or a folder in it; modules beside the folders are its core.
# A room that may import another one may also import the rooms inside it.
SERVICE: Final = {
    "core": set[str](),
    "image": {"core"},
    "mesh/_kernel": set[str](),
    "mesh/shape": {"core", "mesh/_kernel"},
    "mesh/colour": {"core", "mesh/_kernel", "mesh/shape"},
    "mesh/files": {"core", "mesh/_kernel", "mesh/colour"},
    "mesh": {"core", "mesh/shape", "mesh/colour", "mesh/files"},
    "model": {"core"},
    "scheduling": {"core"},
    "telemetry": {"core", "scheduling"},
    "workers": {"core", "image", "mesh", "scheduling"},
    "pipeline": {"core", "image", "mesh", "model", "scheduling", "telemetry", "workers"},
    "v1": set[str](),
    "client": {"v1"},
    "server/access": {"core"},
}
SERVICE["server/calls"] = SERVICE["pipeline"] | {"pipeline", "v1", "server/access"}
SERVICE["server"] = SERVICE["server/calls"] | {"server/calls"}
SERVICE["web"] = SERVICE["server"] | {"server"}
EXPORT: Final = {
    "core": set[str](),
    "heads": set[str](),
    "render/drawing": {"heads"},
    "render/looks": {"heads", "render/drawing"},
    "render": {"heads", "render/drawing", "render/looks"},
    "training/pretrained": set[str](),
    "training": {"heads", "render"},
    "training/reader": {"heads", "training"},
    "training/hair": {"render", "training"},
    "training/cover": {"render", "training"},
    "release": {"heads", "training"},
    "evaluation": {"heads", "render", "training", "release"},
}
# These may import everything, and no room imports them.
FREE: Final = {"cli", "__main__", "commands", "demo", "bench"}
PACKAGES: Final = {
    "asyncio": {"core", "telemetry", "workers", "pipeline", "server", "client", "web"},
    "grpc": {"server", "client", "v1", "web"},
    "onnxruntime": {"image", "model", "release"},
    "opentelemetry": {"telemetry"},
    "prometheus_client": {"telemetry"},
    "starlette": {"web"},
    "uvicorn": {"web"},
}


def room_of(parts: tuple[str, ...], rooms: Collection[str]) -> str:
    for count in (2, 1):
        if (name := "/".join(parts[:count])) in {*rooms, *FREE}:
            return name
    return "core"


def imports(file: Path, package: Path) -> set[tuple[str, ...]]:
    """Absolute names of the modules that a file imports, split at the dots."""
    here = (package.name, *file.parent.relative_to(package).parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            found |= {(*module, alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize(
    ("package", "rooms"),
    [(ROOT / "service" / "protome", SERVICE), (ROOT / "export" / "protome_export", EXPORT)],
    ids=["service", "export"],
)
def test_rooms_import_only_what_they_may(package: Path, rooms: dict[str, set[str]]) -> None:
    wrong = []
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        room = room_of(parts, rooms)
        if room == "core" and len(parts) > 1:
            wrong.append(f"{file.relative_to(ROOT)} is in no room")
        for name in imports(file, package) if room not in FREE else ():
            target = room_of(name[1:], rooms)
            allowed = {room, *rooms[room]}
            own = name[0] == package.name and not {target, target.partition("/")[0]} & allowed
            if own or room.partition("/")[0] not in PACKAGES.get(name[0], {room.partition("/")[0]}):
                wrong.append(f"{file.relative_to(ROOT)} imports {'.'.join(name)}")
    assert not wrong, "\n".join(wrong)

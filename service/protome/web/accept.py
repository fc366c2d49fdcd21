"""Choose the form of a response by the header Accept (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from protome.mesh.files import encode
from protome.v1 import reconstruction_pb2 as pb

JSON: Final = "application/json"
MULTIPART: Final = "multipart/mixed"
EVENTS: Final = "text/event-stream"
MESH_TYPES: Final[Mapping[int, str]] = {
    pb.MESH_FORMAT_GLB: "model/gltf-binary",
    pb.MESH_FORMAT_PLY: "application/ply",
    pb.MESH_FORMAT_OBJ: "model/obj",
    pb.MESH_FORMAT_STL: "model/stl",
    pb.MESH_FORMAT_OBJ_ZIP: "application/zip",
}
SUFFIXES: Final[Mapping[int, str]] = {
    format_: suffix.removeprefix(".") for format_, suffix in encode.SUFFIXES.items()
}


def choose_type(accept: str, offered: Sequence[str]) -> str | None:
    """Return the media type that a client likes best.

    Args:
        accept: the header; empty: everything is acceptable.
        offered: media types; of equally liked ones the first is chosen.

    Returns:
        None if the client accepts none of them.
    """
    ranges = [_parse(item) for item in accept.split(",") if item.strip()] or [("*/*", 1.0)]
    best = max(offered, key=lambda kind: _quality(kind, ranges))
    return best if _quality(best, ranges) > 0 else None


def _parse(item: str) -> tuple[str, float]:
    """Return media range and quality of an item of the header; other parameters are ignored."""
    kind, *parameters = (part.strip().lower() for part in item.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = min(max(float(value), 0.0), 1.0)
            except ValueError:
                quality = 0.0
    return kind, quality


def _quality(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of a type by the most specific range that has it."""
    for wanted in (kind, kind.partition("/")[0] + "/*", "*/*"):
        found = [quality for name, quality in ranges if name == wanted]
        if found:
            return found[0]
    return 0.0

"""Make requests to a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack

from protome.v1 import reconstruction_pb2 as pb

Level = Literal["preview", "standard", "fine"]
Format = Literal["glb", "ply", "obj", "stl"]
Compression = Literal["none", "draco", "meshopt"]
Appearance = Literal["none", "vertex_colours", "texture"]
Priority = Literal["interactive", "background"]


class Options(TypedDict, total=False):
    """What may be asked for a photo.

    boxes: (x, y, width, height) in photo pixels; without, the server detects faces.
    max_faces: at most this many; 0, the default: the server's limit.
    detail: level of detail, by default "standard".
    formats: formats you can read, by default GLB.
    compressions: GLB compressions you can read, by default none.
    appearance: where colour comes from, by default "texture".
    preview_first: send a small mesh first.
    max_triangles: simplify each mesh to as many; 0, the default: do not.
    max_mesh_bytes: simplify each mesh until it fits; 0, the default: do not.
    vertex_quality: say of each vertex whether it was seen, and a confidence.
    priority: "interactive", the default, or "background": waits until no interactive photo does.
    """

    boxes: Sequence[tuple[float, float, float, float]]
    max_faces: int
    detail: Level
    formats: Sequence[Format]
    compressions: Sequence[Compression]
    appearance: Appearance
    preview_first: bool
    max_triangles: int
    max_mesh_bytes: int
    vertex_quality: bool
    priority: Priority


def make_request(image: bytes, **options: Unpack[Options]) -> pb.ReconstructRequest:
    """A request message for a JPEG, PNG or WebP file."""
    boxes = options.get("boxes", ())
    detail = options.get("detail", "standard")
    appearance = options.get("appearance", "texture")
    formats = options.get("formats", ("glb",))
    compressions = options.get("compressions", ())
    priority = options.get("priority", "interactive")
    return pb.ReconstructRequest(
        image=image,
        boxes=[pb.BoundingBox(x=x, y=y, width=w, height=h) for x, y, w, h in boxes],
        max_faces=options.get("max_faces", 0),
        detail=pb.DetailLevel.Value(f"DETAIL_LEVEL_{detail.upper()}"),
        formats=[pb.MeshFormat.Value(f"MESH_FORMAT_{name.upper()}") for name in formats],
        compressions=[pb.Compression.Value(f"COMPRESSION_{name.upper()}") for name in compressions],
        appearance=pb.Appearance.Value(f"APPEARANCE_{appearance.upper()}"),
        preview_first=options.get("preview_first", False),
        max_triangles=options.get("max_triangles", 0),
        max_mesh_bytes=options.get("max_mesh_bytes", 0),
        vertex_quality=options.get("vertex_quality", False),
        priority=pb.Priority.Value(f"PRIORITY_{priority.upper()}"),
    )

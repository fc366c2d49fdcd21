"""Build requests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack

from protome.v1 import reconstruction_pb2 as pb

from .enums import value_of
from .suggest import did_you_mean

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: A picture file: its bytes in any object with a buffer, or its path.
Photo: TypeAlias = "Buffer | str | os.PathLike[str]"
Level = Literal["preview", "standard", "fine"]
Format = Literal["glb", "ply", "obj", "stl", "obj_zip"]
Compression = Literal["none", "draco", "meshopt"]
Appearance = Literal["none", "vertex_colours", "texture"]
Priority = Literal["interactive", "background"]


class Options(TypedDict, total=False):
    """Options of a photo.

    boxes: (x, y, width, height) of each face in photo pixels; default: the server detects faces.
    max_faces: largest number of faces; default 0: the server's limit.
    detail: level of detail; default "standard".
    formats: mesh formats that you can read; default GLB.
    compressions: GLB compressions that you can read; default none.
    appearance: how meshes are coloured; default "texture".
    preview_first: send a small mesh first; default False.
    max_triangles: simplify each mesh to this number; default 0: do not simplify.
    max_mesh_bytes: reduce texture and mesh until the file fits; default 0: reduce nothing.
    max_texture_side: largest width and height of a texture, 256 to 2048; default 0: no limit.
    turn_to_front: turn the heads to look straight into the camera; default False.
    vertex_quality: add to each vertex whether the photo shows it, and a confidence; default False.
    priority: default "interactive"; "background" photos wait until no interactive photo does.
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
    max_texture_side: int
    turn_to_front: bool
    vertex_quality: bool
    priority: Priority


def make_request(image: Photo, **options: Unpack[Options]) -> pb.ReconstructRequest:
    """Build the request for a picture file: JPEG, PNG, WebP, HEIC or AVIF.

    Args:
        image: the bytes of the file, or its path.
        options: see :class:`Options`.

    Raises:
        TypeError: there is no such option, or a value has the wrong type.
        ValueError: an option has no such value.
        OSError: the file cannot be read.
    """
    for name in options:
        if name not in Options.__annotations__:
            hint = did_you_mean(name, Options.__annotations__)
            raise TypeError(f"there is no option {name!r}{hint}")
    boxes = options.get("boxes", ())
    return pb.ReconstructRequest(
        image=_read(image),
        boxes=[pb.BoundingBox(x=x, y=y, width=w, height=h) for x, y, w, h in boxes],
        max_faces=options.get("max_faces", 0),
        detail=value_of(pb.DetailLevel, options.get("detail", "standard")),
        formats=_values(pb.MeshFormat, "formats", options.get("formats", ("glb",))),
        compressions=_values(pb.Compression, "compressions", options.get("compressions", ())),
        appearance=value_of(pb.Appearance, options.get("appearance", "texture")),
        preview_first=options.get("preview_first", False),
        max_triangles=options.get("max_triangles", 0),
        max_mesh_bytes=options.get("max_mesh_bytes", 0),
        max_texture_side=options.get("max_texture_side", 0),
        turn_to_front=options.get("turn_to_front", False),
        vertex_quality=options.get("vertex_quality", False),
        priority=value_of(pb.Priority, options.get("priority", "interactive")),
    )


def _read(image: Photo) -> bytes:
    if isinstance(image, str | os.PathLike):
        return Path(image).read_bytes()
    try:
        return image if isinstance(image, bytes) else bytes(memoryview(image))
    except TypeError:
        kind = type(image).__name__
        raise TypeError(f"the photo is neither bytes nor a path, but of type {kind}") from None


def _values(enum: Any, option: str, names: Sequence[str]) -> list[Any]:
    if isinstance(names, str):
        raise TypeError(f"{option} is a list; did you mean {option}=[{names!r}]?")
    return [value_of(enum, name) for name in names]

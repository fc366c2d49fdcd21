"""Seeds for the fuzzers, made by code: a small picture of every kind, a message of every field."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, Final

from PIL import ExifTags, Image

from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb
from tests.support.hostile import FILES
from tests.support.odd import ODD
from tests.support.profiles import PROFILES

# As long as the documented runs take.
LONGEST: Final = 16_384

KINDS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "jpeg": ("JPEG", "RGB", {"quality": 60}),
    "jpeg-progressive": ("JPEG", "RGB", {"quality": 60, "progressive": True}),
    "jpeg-grey": ("JPEG", "L", {"quality": 60}),
    "jpeg-cmyk": ("JPEG", "CMYK", {"quality": 60}),
    "png": ("PNG", "RGB", {}),
    "png-alpha": ("PNG", "RGBA", {}),
    "png-grey": ("PNG", "L", {}),
    "png-palette": ("PNG", "P", {"transparency": 3}),
    "png-bits": ("PNG", "1", {}),
    "png-deep": ("PNG", "I;16", {}),
    "webp": ("WEBP", "RGB", {"quality": 50}),
    "webp-lossless": ("WEBP", "RGBA", {"lossless": True}),
    "heic": ("HEIF", "RGB", {"quality": 50}),
    "heic-alpha": ("HEIF", "RGBA", {"quality": 50}),
    "heic-tiles": ("HEIF", "RGB", {"quality": 50, "tile_size": 16}),
    "avif": ("AVIF", "RGB", {"quality": 50}),
    "avif-alpha": ("AVIF", "RGBA", {"quality": 50}),
    "jpeg-profile": ("JPEG", "RGB", {"quality": 50, "icc_profile": PROFILES["Display P3"]}),
    "png-profile": ("PNG", "RGB", {"icc_profile": PROFILES["Adobe RGB"]}),
}


def pictures() -> dict[str, bytes]:
    """Files of about a kilobyte, with EXIF, one that shows a face, and hostile ones."""
    face = Image.open(SAMPLE).convert("RGB").crop((120, 20, 340, 240))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    found = {"face": _saved(face.resize((110, 110)), "JPEG", {"quality": 50})}
    for name, (format_, mode, options) in KINDS.items():
        small = face.resize((24, 20))
        picture = small.convert("L").convert(mode) if mode == "I;16" else small.convert(mode)
        found[name] = _saved(picture, format_, {**options, "exif": exif})
    frames = [face.resize((20, 20)), face.resize((20, 20)).rotate(90)]
    for format_ in ("PNG", "WEBP", "MPO"):
        found[f"animated-{format_}"] = _saved(
            frames[0], format_, {"save_all": True, "append_images": frames[1:]}
        )
    hostile = {name.replace(" ", "-"): make() for name, (_, make) in (FILES | ODD).items()}
    return found | {name: data for name, data in hostile.items() if len(data) <= LONGEST}


def messages() -> dict[str, bytes]:
    """Requests that use every field."""
    full = pb.ReconstructRequest(
        image=b"\xff\xd8\xff",
        boxes=[pb.BoundingBox(x=1, y=2, width=30, height=40)],
        max_faces=3,
        detail=pb.DETAIL_LEVEL_FINE,
        formats=[pb.MESH_FORMAT_GLB, pb.MESH_FORMAT_PLY],
        compressions=[pb.COMPRESSION_DRACO],
        appearance=pb.APPEARANCE_TEXTURE,
        preview_first=True,
        turn_to_front=True,
        max_texture_side=512,
    )
    many = pb.ReconstructManyRequest(request_id="1", request=full)
    return {"full": full.SerializeToString(), "many": many.SerializeToString(), "empty": b""}


def write(kind: str, folder: Path) -> None:
    """Put the seeds of a fuzzer, ``photo`` or ``message``, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (pictures() if kind == "photo" else messages()).items():
        (folder / name).write_bytes(data)


def _saved(picture: Image.Image, format_: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))

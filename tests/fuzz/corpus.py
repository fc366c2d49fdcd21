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


POST: Final = b"POST /v1/reconstruct%s HTTP/1.1\r\nhost: x\r\n%scontent-length: %d\r\n\r\n%s"
QUERY: Final = b"?detail=fine&formats=ply,glb&boxes=1,2,30,40&max_faces=2&timeout=9&preview_first=1"
REQUESTS: Final[dict[str, tuple[bytes, bytes, bytes]]] = {
    "plain": (b"", b"", b"photo"),
    "options": (QUERY, b"accept: application/json\r\n", b"photo"),
    "events": (b"?preview_first=true", b"accept: text/event-stream;q=0.9\r\n", b"photo."),
    "parts": (b"?compressions=draco", b"accept: multipart/*\r\n", b"a photo"),
    "ids": (b"", b"x-request-id: 1\r\ntraceparent: 00-%s-%s-01\r\n", b"photo"),
    "late": (b"?max_texture_side=512", b"accept: text/event-stream\r\n", b"\4."),
    "waiting": (b"?turn_to_front=1", b"expect: 100-continue\r\n", b"photo"),
    "unknown": (b"?detial=fine", b"authorization: Bearer secret\r\n", b"photo"),
    "mistyped": (b"?max_triangles=-5&detail=%ff", b"accept: */*;q=x\r\n", b"photo"),
}


def requests() -> dict[str, bytes]:
    """Texts of HTTP requests, each for the application (even) and for the listener (odd)."""
    texts = {
        name: POST % (query, headers.replace(b"%s", b"ab" * 8), len(body), body)
        for name, (query, headers, body) in REQUESTS.items()
    }
    texts |= {f"failure-{i}": POST % (b"", b"", 2, bytes((i, 46))) for i in range(11)}
    for path in ("/", "/v1/info", "/openapi.json", "/docs", "/app.js", "/sample.jpg", "/none"):
        headers = "host: x\r\naccept-encoding: gzip\r\nif-none-match: x\r\n\r\n"
        texts[f"get{path.replace('/', '-')}"] = f"GET {path} HTTP/1.1\r\n{headers}".encode()
    texts["head"] = b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"
    texts["options-method"] = b"OPTIONS /v1/reconstruct HTTP/1.1\r\nhost: x\r\norigin: y\r\n\r\n"
    chunked = b"transfer-encoding: chunked\r\n\r\n3\r\npho\r\n2;x\r\nto\r\n0\r\n\r\n"
    texts["chunked"] = b"POST /v1/reconstruct HTTP/1.1\r\nhost: x\r\n" + chunked
    texts["pipelined"] = texts["plain"] + texts["options"] + texts["get-v1-info"]
    texts["upgrade"] = b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"
    texts["old"] = b"GET / HTTP/1.0\r\n\r\n"
    texts["large"] = POST % (b"", b"", 5000, b"x" * 5000)
    texts["http2"] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    texts["tls"] = b"\x16\x03\x01\0\x05\1\0\0\1\0"
    return {f"{name}-{way}": bytes((way,)) + text for name, text in texts.items() for way in (0, 1)}


SEEDS: Final = {"photo": pictures, "message": messages, "http": requests}


def write(kind: str, folder: Path) -> None:
    """Put the seeds of a fuzzer, ``photo``, ``message`` or ``http``, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS[kind]().items():
        (folder / name).write_bytes(data)


def _saved(picture: Image.Image, format_: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))

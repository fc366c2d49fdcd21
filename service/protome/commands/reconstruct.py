"""Turn photos into meshes: ``protome reconstruct``."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from protome.client import Client, CorruptAnswer, Face, ReconstructionError, requests
from protome.extras import require_server

from .connect import add_server_flags, connect

# Photos sent at a time, enough to keep every stage of a server busy.
PARALLEL_PHOTOS: Final = 8


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Result of one photo, as a line of text, and whether it counts as a success."""

    line: str
    success: bool


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``protome reconstruct``."""
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    add_server_flags(parser)
    for flag, kind, default, help_ in (
        ("--detail", requests.Level, "standard", "level of detail"),
        ("--format", requests.Format, "glb", "mesh format"),
        ("--compression", requests.Compression, "none", "compression of GLB files"),
        ("--appearance", requests.Appearance, "texture", "how meshes are coloured"),
    ):
        parser.add_argument(
            flag, choices=get_args(kind), default=default, help=f"{help_} (default: {default})"
        )
    for flag, help_ in (
        ("--vertex-quality", "add to each vertex whether the photo shows it, and a confidence"),
        ("--turn-to-front", "turn the heads so that they look straight into the camera"),
        ("--preview", "draw each mesh beside its photo, into a PNG file"),
        ("--strict", "exit with 1 if a photo has no mesh that is free of concerns"),
    ):
        parser.add_argument(flag, action="store_true", help=help_)
    for flag, help_ in (
        ("--max-faces", "largest number of faces; 0: the server's limit"),
        ("--max-triangles", "simplify each mesh to N triangles; 0: do not simplify"),
        ("--max-mesh-bytes", "reduce texture and mesh until the file has N bytes; 0: no limit"),
        ("--max-texture-side", "largest width and height of a texture, 256 to 2048; 0: no limit"),
    ):
        parser.add_argument(flag, type=count, default=0, metavar="N", help=help_)


def count(text: str) -> int:
    """Parse a number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Reconstruct the photos and print a line for each; return 1 if one failed."""
    if args.preview:
        require_server("--preview")
        if args.compression == "meshopt":
            print("protome: --preview cannot draw meshes of --compression meshopt", file=sys.stderr)
            return 2
    args.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    with contextlib.ExitStack() as stack:
        client = connect(args, stack, None)
        threads = ThreadPoolExecutor(PARALLEL_PHOTOS)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        answers = [
            threads.submit(_reconstruct, client, photo, stem, args)
            for photo, stem in zip(args.photos, _stems(args.photos), strict=True)
        ]
        for done, (photo, answer) in enumerate(zip(args.photos, answers, strict=True), 1):
            try:
                outcome = answer.result()
            except (ReconstructionError, CorruptAnswer, OSError, ValueError) as error:
                outcome = _Outcome(str(error), success=False)
            failed += not outcome.success
            print(f"[{done}/{len(answers)}] {photo}: {outcome.line}", flush=True)
    if failed:
        wanted = "a mesh free of concerns" if args.strict else "a mesh"
        print(f"protome: {failed} of {len(answers)} photos without {wanted}", file=sys.stderr)
    return 1 if failed else 0


def _stems(photos: Sequence[Path]) -> list[str]:
    """Return a file name for the meshes of each photo; equal names get numbers."""
    stems: list[str] = []
    for photo in photos:
        names = (f"{photo.stem}-{n}" if n > 1 else photo.stem for n in itertools.count(1))
        stems.append(next(name for name in names if name not in stems))
    return stems


def _reconstruct(client: Client, photo: Path, stem: str, args: argparse.Namespace) -> _Outcome:
    """Reconstruct a photo and write its meshes, and a picture of each if wanted."""
    data = photo.read_bytes()
    result = client.reconstruct(
        data,
        max_faces=args.max_faces,
        detail=args.detail,
        formats=(args.format,),
        compressions=(args.compression,),
        appearance=args.appearance,
        max_triangles=args.max_triangles,
        max_mesh_bytes=args.max_mesh_bytes,
        max_texture_side=args.max_texture_side,
        turn_to_front=args.turn_to_front,
        vertex_quality=args.vertex_quality,
    )
    suffix = "zip" if args.format == "obj_zip" else args.format
    parts = []
    for face in result.faces:
        file = args.output / f"{stem}_{face.index}.{suffix}"
        if face.mesh:
            file.write_bytes(face.mesh)
            if args.preview:
                # Imported here: only this needs more than the client.
                from protome.demo.preview import preview, write_png

                write_png(file.with_suffix(".png"), preview(data, face.box, file))
        parts.append(_describe(face, file.name))
    faces = "1 face" if len(parts) == 1 else f"{len(parts)} faces"
    return _Outcome(
        f"{faces} in {result.summary.times.total_seconds:.2f} s: {', '.join(parts)}",
        any(face.reliable if args.strict else face.mesh for face in result.faces),
    )


def _describe(face: Face, name: str) -> str:
    """Describe a face: its file, confidence and concerns, or the outcome if it has no mesh."""
    if not face.mesh:
        return f"face {face.index} {face.outcome}"
    known = [] if face.confidence is None else [f"confidence {face.confidence:.2f}"]
    notes = ", ".join([*known, *face.concerns])
    return f"{name} ({notes})" if notes else name

"""The ``protome`` command."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

# The environment must be set before gRPC is imported.
from . import __version__, config, environment  # noqa: F401
from .client import Client, CorruptAnswer, Reconstruction, ReconstructionError, requests, tls
from .client.enums import short_name
from .embedded import EmbeddedError, EmbeddedServer
from .server.tokens import TokenFileError, append_entry, new_token
from .v1 import reconstruction_pb2 as pb

if TYPE_CHECKING:
    from .server.backend import Backend, Listener

# Photos sent at a time, enough to keep every stage of a server busy.
PARALLEL_PHOTOS: Final = 8
INFO_TIMEOUT_SECONDS: Final = 60.0
# Errors whose message is enough for the user.
EXPECTED_ERRORS: Final = (
    config.ConfigError, EmbeddedError, ReconstructionError, TokenFileError, OSError,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        status: int = args.run(args)
        return status
    except KeyboardInterrupt:
        return 130
    except EXPECTED_ERRORS as error:
        print(f"protome: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="protome", description="One photo of a face in, a 3D mesh of that face out."
    )
    parser.add_argument("--version", action="version", version=f"protome {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the server: gRPC, plain HTTP and the page")
    config.add_flags(serve)
    serve.add_argument(
        "--until-eof", action="store_true", help="stop when standard input is closed"
    )
    serve.set_defaults(run=_serve)

    reconstruct = commands.add_parser("reconstruct", help="turn photos into meshes")
    reconstruct.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    reconstruct.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    _add_server(reconstruct)
    for flag, kind, default, help_ in (
        ("--detail", requests.Level, "standard", "level of detail"),
        ("--format", requests.Format, "glb", "mesh format"),
        ("--compression", requests.Compression, "none", "compression of GLB files"),
        ("--appearance", requests.Appearance, "texture", "how meshes are coloured"),
    ):
        reconstruct.add_argument(
            flag, choices=get_args(kind), default=default, help=f"{help_} (default: {default})"
        )
    reconstruct.add_argument(
        "--vertex-quality",
        action="store_true",
        help="add to each vertex whether the photo shows it, and a confidence",
    )
    reconstruct.add_argument(
        "--turn-to-front",
        action="store_true",
        help="turn the heads so that they look straight into the camera",
    )
    for flag, help_ in (
        ("--max-faces", "largest number of faces; 0: the server's limit"),
        ("--max-triangles", "simplify each mesh to N triangles; 0: do not simplify"),
        ("--max-mesh-bytes", "reduce texture and mesh until the file has N bytes; 0: no limit"),
        ("--max-texture-side", "largest width and height of a texture, 256 to 2048; 0: no limit"),
    ):
        reconstruct.add_argument(flag, type=_count, default=0, metavar="N", help=help_)
    reconstruct.set_defaults(run=_reconstruct)

    show = commands.add_parser("demo", help="reconstruct the sample photo and draw the result")
    show.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    show.set_defaults(run=_demo)

    measure = commands.add_parser("bench", help="measure the speed of a server on this machine")
    measure.add_argument("--json", action="store_true", help="print everything as JSON")
    measure.add_argument("--quick", action="store_true", help="take one minute instead of several")
    measure.add_argument(
        "--requests", type=_count, metavar="N",
        help="photos of the memory test (default: 10000, with --quick 200); 0 skips it",
    )  # fmt: skip
    measure.set_defaults(run=_bench)

    info = commands.add_parser("info", help="print version, network and limits of a server")
    _add_server(info)
    info.set_defaults(run=_info)

    token = commands.add_parser(
        "token", help="print a new token for a client, and write its entry for the token file"
    )
    token.add_argument("name", metavar="CLIENT")
    token.add_argument(
        "--append",
        type=Path,
        metavar="FILE",
        help="token file of the server that gets the entry; default: standard error",
    )
    token.set_defaults(run=_token)
    return parser


def _add_server(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose a server and its credentials."""
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="server to call; default: start one for this command"
    )
    parser.add_argument("--tls", action="store_true", help="connect with TLS")
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="CA bundle that verifies the server; with --tls"
    )
    parser.add_argument(
        "--cert", type=Path, metavar="FILE", help="PEM file with the client certificate; with --tls"
    )
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="PEM file with the private key of --cert"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token")


def _client(args: argparse.Namespace, stack: contextlib.ExitStack, timeout: float | None) -> Client:
    address = args.address or stack.enter_context(EmbeddedServer()).address
    credentials = tls(args.ca, args.cert, args.key) if args.tls else None
    token = args.token_file.read_text().strip() if args.token_file else None
    return stack.enter_context(
        Client(address, credentials=credentials, token=token, timeout=timeout)
    )


def _count(text: str) -> int:
    """Parse a number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return int(text)


def _serve(args: argparse.Namespace) -> int:
    # Imported here: no other command needs the server in its own process.
    from .errors import ProtomeError
    from .model.card import ModelError
    from .server.listen import StartupError
    from .server.serve import serve

    flags = {name: getattr(args, name) for name in config.Config.__dataclass_fields__}
    settings = config.load(flags, os.environ, args.config)
    try:
        serve(settings, until_eof=args.until_eof, web=_open_web if settings.web else None)
    except (ModelError, StartupError, ProtomeError) as error:
        print(f"protome: {error}", file=sys.stderr)
        return 1
    return 0


async def _open_web(backend: Backend) -> Listener:
    from .web.listener import open_listener

    return await open_listener(backend)


def _reconstruct(args: argparse.Namespace) -> int:
    args.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    with contextlib.ExitStack() as stack:
        client = _client(args, stack, None)
        threads = ThreadPoolExecutor(PARALLEL_PHOTOS)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        answers = [
            threads.submit(_one, client, photo, stem, args)
            for photo, stem in zip(args.photos, _stems(args.photos), strict=True)
        ]
        for done, (photo, answer) in enumerate(zip(args.photos, answers, strict=True), 1):
            try:
                line, wrote = answer.result()
                failed += not wrote
            except (ReconstructionError, CorruptAnswer, OSError) as error:
                failed += 1
                line = str(error)
            print(f"[{done}/{len(answers)}] {photo}: {line}", flush=True)
    return 1 if failed else 0


def _stems(photos: Sequence[Path]) -> list[str]:
    """Return a file name for the meshes of each photo; equal names get numbers."""
    stems: list[str] = []
    for photo in photos:
        names = (f"{photo.stem}-{n}" if n > 1 else photo.stem for n in itertools.count(1))
        stems.append(next(name for name in names if name not in stems))
    return stems


def _one(client: Client, photo: Path, stem: str, args: argparse.Namespace) -> tuple[str, bool]:
    """Reconstruct a photo and write its meshes; return a summary and whether there is a mesh."""
    result = client.reconstruct(
        photo.read_bytes(),
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
    written = []
    for face in result.faces:
        if face.mesh:
            path = args.output / f"{stem}_{face.index}.{suffix}"
            path.write_bytes(face.mesh)
            written.append(path.name)
    left_out = [f"face {f.index} {f.outcome}" for f in result.faces if not f.mesh]
    seconds = result.summary.times.total_seconds
    return f"{', '.join(written + left_out)} in {seconds:.2f} s", bool(written)


def _demo(args: argparse.Namespace) -> int:
    from .demo.demo import demo

    result = demo(args.output)
    print(_times(result))
    print(f"wrote {args.output / 'face.glb'} and {args.output / 'preview.png'}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    from .bench.bench import QUICK, Plan, bench
    from .bench.report import table

    plan = QUICK if args.quick else Plan()
    if args.requests is not None:
        plan = dataclasses.replace(plan, requests=args.requests)
    report = bench(plan, lambda part: print(f"bench: {part}", file=sys.stderr, flush=True))
    print(json.dumps(report, indent=1) if args.json else table(report))
    return 0


def _times(result: Reconstruction) -> str:
    """Format the stage times of a photo's first face, one per line."""
    times, face = result.summary.times, result.summary.faces[0]
    mesh = face.meshes[-1]
    rows = (
        ("decode", times.decode_seconds),
        ("detect", times.detect_seconds),
        ("crop", times.crop_seconds),
        ("queue", face.queue_seconds),
        ("inference", face.inference_seconds),
        ("surface", mesh.surface_seconds),
        ("appearance", mesh.appearance_seconds),
        ("encode", mesh.encode_seconds),
        ("total", times.total_seconds),
    )
    lines = [f"{name:<12}{1e3 * seconds:8.1f} ms" for name, seconds in rows]
    lines.append(f"{mesh.vertices} vertices, {mesh.triangles} triangles, {mesh.size} bytes")
    return "\n".join(lines)


def _info(args: argparse.Namespace) -> int:
    with contextlib.ExitStack() as stack:
        info = _client(args, stack, INFO_TIMEOUT_SECONDS).server_info()
    limits = info.limits
    rows = (
        ("protome", info.version),
        ("model", f"{info.model.name} {info.model.version}"),
        ("digest", info.model.digest),
        ("licence", info.model_licence),
        ("training data", info.training_data),
        ("native levels", _names(pb.DetailLevel, info.native_levels)),
        ("formats", _names(pb.MeshFormat, info.formats)),
        ("compressions", _names(pb.Compression, info.compressions)),
        ("provider", info.execution_provider),
        ("surface", info.surface_backend),
        ("limits", f"{limits.max_image_bytes} bytes, {limits.max_image_pixels} pixels, "
                   f"{limits.max_faces} faces, chunks of {limits.chunk_bytes} bytes"),
    )  # fmt: skip
    for name, value in rows:
        print(f"{name:<15}{value}")
    return 0


def _token(args: argparse.Namespace) -> int:
    token, table = new_token(args.name)
    if args.append:
        append_entry(args.append, args.name, table)
    else:
        print(f"Add this entry to the server's token_file:\n\n{table}", file=sys.stderr)
    print("The client sends this token and keeps it secret:", file=sys.stderr, flush=True)
    print(token)
    return 0


def _names(enum: object, values: Sequence[int]) -> str:
    return ", ".join(short_name(enum, value) for value in values)

"""The ``protome`` command."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

# The environment must be set before gRPC is imported.
from protome import __version__, config, environment  # noqa: F401
from protome.client import Reconstruction, ReconstructionError
from protome.client.enums import short_name
from protome.embedded import EmbeddedError
from protome.extras import ServerMissing, require_server
from protome.server.access.tokens import TokenFileError, append_entry, new_token
from protome.v1 import reconstruction_pb2 as pb

from .commands import reconstruct
from .commands.connect import add_server_flags, connect
from .commands.reconstruct import count

if TYPE_CHECKING:
    from protome.server.backend import Backend, Listener

INFO_TIMEOUT_SECONDS: Final = 60.0
# Errors whose message is enough for the user.
EXPECTED_ERRORS: Final = (
    config.ConfigError,
    EmbeddedError,
    OSError,
    ReconstructionError,
    ServerMissing,
    TokenFileError,
)


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

    photos = commands.add_parser("reconstruct", help="turn photos into meshes")
    reconstruct.add_flags(photos)
    photos.set_defaults(run=reconstruct.run)

    view = commands.add_parser("view", help="draw a mesh from three sides and show the picture")
    view.add_argument("mesh", type=Path, metavar="MESH", help="a GLB, PLY, OBJ or STL file")
    view.add_argument(
        "-o", "--output", type=Path, metavar="PNG", help="write the picture here, do not show it"
    )
    view.set_defaults(run=_view)

    show = commands.add_parser("demo", help="reconstruct the sample photo and draw the result")
    show.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    show.set_defaults(run=_demo)

    measure = commands.add_parser("bench", help="measure the speed of a server on this machine")
    measure.add_argument("--json", action="store_true", help="print everything as JSON")
    measure.add_argument("--quick", action="store_true", help="take one minute instead of several")
    measure.add_argument(
        "--requests", type=count, metavar="N",
        help="photos of the memory test (default: 10000, with --quick 200); 0 skips it",
    )  # fmt: skip
    measure.set_defaults(run=_bench)

    info = commands.add_parser("info", help="print version, network and limits of a server")
    add_server_flags(info)
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


def _serve(args: argparse.Namespace) -> int:
    require_server("protome serve")
    # Imported here: no other command needs the server in its own process.
    from protome.errors import ProtomeError
    from protome.model.card import ModelError
    from protome.server.listen import StartupError
    from protome.server.serve import serve

    flags = {name: getattr(args, name) for name in config.Config.__dataclass_fields__}
    settings = config.load(flags, os.environ, args.config)
    try:
        serve(settings, until_eof=args.until_eof, web=_open_web if settings.web else None)
    except (ModelError, StartupError, ProtomeError) as error:
        print(f"protome: {error}", file=sys.stderr)
        return 1
    return 0


async def _open_web(backend: Backend) -> Listener:
    from protome.web.listener import open_listener

    return await open_listener(backend)


def _view(args: argparse.Namespace) -> int:
    require_server("protome view")
    from protome.demo.mesh_file import MeshFileError
    from protome.demo.view import show

    try:
        print(f"wrote {show(args.mesh, args.output)}")
    except MeshFileError as error:
        print(f"protome: {error}", file=sys.stderr)
        return 1
    return 0


def _demo(args: argparse.Namespace) -> int:
    require_server("protome demo")
    from protome.demo.demo import demo

    result = demo(args.output)
    print(_times(result))
    print(f"wrote {args.output / 'face.glb'} and {args.output / 'preview.png'}")
    return 0


def _bench(args: argparse.Namespace) -> int:
    require_server("protome bench")
    from protome.bench.bench import QUICK, Plan, bench
    from protome.bench.report import table

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
        info = connect(args, stack, INFO_TIMEOUT_SECONDS).server_info()
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

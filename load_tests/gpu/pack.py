"""Pack what the GPU machine needs into pieces, or join and install them there.

``python -m load_tests.gpu.pack pack OUT`` writes ``bundle.000`` ... and ``bundle.json`` with their
SHA-256: wheels of the project and of what the machine lacks, ONNX Runtime for CUDA among them, and
the data of the factory. ``python -m load_tests.gpu.pack unpack PIECES TARGET``, which needs only
Python, checks and joins them and installs the wheels into ``TARGET/site``.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = "3.12"
# What an image with PyTorch, numba, OpenCV, SciPy, Pillow and psutil lacks.
PACKAGES: Final = (
    "DracoPy", "fast-simplification", "googleapis-common-protos", "grpcio",
    "grpcio-health-checking", "grpcio-reflection", "grpcio-status", "meshopt", "protobuf",
    "PyMCubes", "prometheus-client",
)  # fmt: skip
RUNTIME: Final = "onnxruntime-gpu"
CUDA_LIBRARY: Final = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
_FATBIN_MAGIC, _CUBIN = 0xBA55ED50, 2


def download(package: str, folder: Path) -> None:
    """Download the wheel of the version that is installed here, for the other machine's Python."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", PYTHON, "--implementation", "cp", "-d", str(folder)]
    for glibc in (39, 35, 34, 31, 28, 27, 24, 17):
        command += ["--platform", f"manylinux_2_{glibc}_x86_64"]
    command += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux1_x86_64"]
    subprocess.run([*command, f"{package}=={metadata.version(package)}"], check=True)


def fatbin_entries(library: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Walk the device code of an ELF library: (kind, architecture, offset, size) of each entry.

    The layout is that of CUDA's ``fatbinary_section.h``: a header of magic, version, size, then
    entries with headers of their own.
    """
    (table,) = struct.unpack_from("<Q", library, 40)
    size, count, names = struct.unpack_from("<HHH", library, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", library, table + k * size) for k in range(count)]
    for section in sections:
        name = sections[names][4] + section[0]
        if library[name : library.index(0, name)] != b".nv_fatbin":
            continue
        at, end = section[4], section[4] + section[5]
        while at < end:
            magic, _, header, length = struct.unpack_from("<IHHQ", library, at)
            if magic != _FATBIN_MAGIC:
                at += 8
                continue
            entry, at = at + header, at + header + length
            while entry < at:
                kind, _, own, bytes_ = struct.unpack_from("<HHIQ", library, entry)
                (architecture,) = struct.unpack_from("<I", library, entry + 28)
                yield kind, architecture, entry + own, bytes_
                entry += own + bytes_


def keep_architecture(library: bytes, architecture: int) -> bytes:
    """Blank the device code of all other architectures: zeros compress to nothing."""
    out = bytearray(library)
    for kind, own, offset, size in fatbin_entries(library):
        if kind != _CUBIN or own != architecture:
            out[offset : offset + size] = bytes(size)
    return bytes(out)


def slim_runtime(wheel: Path, architecture: int) -> None:
    """Rewrite ONNX Runtime's wheel with device code for one architecture."""
    scratch = wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename == CUDA_LIBRARY:
                data = keep_architecture(data, architecture)
            # Not checked by pip when it installs; kept for what else reads the wheel.
            new.writestr(item, data)
    scratch.rename(wheel)


def pack(out: Path, data: list[Path], piece: int, architecture: int) -> None:
    """Write the pieces of at most ``piece`` bytes."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheels = Path(scratch) / "wheels"
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(wheels)]
        subprocess.run([*command, str(ROOT)], check=True)
        for package in (*PACKAGES, RUNTIME):
            download(package, wheels)
        if architecture:
            slim_runtime(next(wheels.glob("onnxruntime_gpu-*.whl")), architecture)
        bundle = Path(scratch) / "bundle.tar"
        with tarfile.open(bundle, "w") as tar:
            tar.add(wheels, "wheels")
            for path in data:
                tar.add(path, f"data/{path.name}")
        raw = bundle.read_bytes()
    print(f"{len(raw)} bytes in {split(raw, out, piece)} pieces")


def split(raw: bytes, out: Path, piece: int) -> int:
    """Write pieces of at most ``piece`` bytes and their digests; returns how many."""
    digests = {}
    for number, start in enumerate(range(0, len(raw), piece)):
        part = raw[start : start + piece]
        (out / f"bundle.{number:03}").write_bytes(part)
        digests[f"bundle.{number:03}"] = hashlib.sha256(part).hexdigest()
    (out / "bundle.json").write_text(json.dumps(digests, indent=1) + "\n")
    return len(digests)


def unpack(pieces: Path, target: Path) -> None:
    """Join the pieces and install the wheels.

    Raises:
        ValueError: a piece is missing or broken.
    """
    raw = bytearray()
    for name, digest in json.loads((pieces / "bundle.json").read_text()).items():
        part = (pieces / name).read_bytes() if (pieces / name).exists() else b""
        if hashlib.sha256(part).hexdigest() != digest:
            raise ValueError(f"{name} is missing or broken")
        raw += part
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        tar.extractall(target, filter="data")
    wheels = sorted(map(str, (target / "wheels").glob("*.whl")))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    command += ["--no-compile", "--no-cache-dir", "--upgrade", "--target", str(target / "site")]
    subprocess.run([*command, *wheels], check=True)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m load_tests.gpu.pack", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    p = commands.add_parser("pack")
    p.add_argument("out", type=Path)
    p.add_argument("--data", type=Path, nargs="*", default=[], help="files and folders to add")
    p.add_argument("--megabytes", type=int, default=60, help="of the largest piece")
    p.add_argument("--architecture", type=int, default=90, help="of the GPU; 0: keep all")
    p = commands.add_parser("unpack")
    p.add_argument("pieces", type=Path)
    p.add_argument("target", type=Path)
    args = parser.parse_args(argv)
    if args.command == "pack":
        pack(args.out, args.data, args.megabytes * 10**6, args.architecture)
    else:
        unpack(args.pieces, args.target)


if __name__ == "__main__":
    main()

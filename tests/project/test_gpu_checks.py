"""The checks of load_tests/gpu: they run on the CPU, and their bundle can be split."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from load_tests.gpu import pack, report
from load_tests.gpu.__main__ import PARTS

RUN: Final = Path(__file__).parents[2] / "load_tests" / "gpu" / "run"
CUBIN, PTX = 2, 1


@pytest.mark.parametrize(
    "part",
    # The service's part measures it.
    [
        pytest.param(p, marks=getattr(pytest.mark, "alone" if p == "service" else "slow"))
        for p in PARTS
    ],
)
def test_a_dry_run_of_a_part_succeeds(part: str, tmp_path: Path) -> None:
    command = [str(RUN), "--out", str(tmp_path), "--dry", part]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + (tmp_path / f"{part}.log").read_text()
    assert json.loads((tmp_path / "status.json").read_text()) == {part: 0}
    assert "failed" not in json.loads((tmp_path / f"{part}.json").read_text())


def wheel(folder: Path) -> None:
    """Write a wheel of one module, ``hello``."""
    info = "hello-1.0.dist-info"
    files = {
        "hello.py": "WORLD = 1\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / "hello-1.0-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """A bundle of one wheel and one file of data, in pieces of a kilobyte."""
    bundle, out = tmp_path / "bundle", tmp_path / "pieces"
    for folder in (bundle / "wheels", bundle / "data", out):
        folder.mkdir(parents=True)
    wheel(bundle / "wheels")
    (bundle / "data" / "light.bin").write_bytes(bytes(range(256)) * 5)
    with tarfile.open(tmp_path / "bundle.tar", "w") as tar:
        tar.add(bundle, ".")
    raw = (tmp_path / "bundle.tar").read_bytes()
    count = pack.split(raw, out, 1000)
    assert count == -(-len(raw) // 1000) > 2
    return out


def test_pieces_are_joined_and_installed(pieces: Path, tmp_path: Path) -> None:
    assert all(file.stat().st_size <= 1000 for file in pieces.glob("bundle.[0-9]*"))
    pack.unpack(pieces, tmp_path / "target")
    assert (tmp_path / "target" / "site" / "hello.py").read_text() == "WORLD = 1\n"
    assert (tmp_path / "target" / "data" / "light.bin").read_bytes() == bytes(range(256)) * 5


def test_a_missing_piece_is_refused(pieces: Path, tmp_path: Path) -> None:
    (pieces / "bundle.001").unlink()
    with pytest.raises(ValueError, match=r"bundle\.001 is missing or broken"):
        pack.unpack(pieces, tmp_path / "target")


def test_a_broken_piece_is_refused(pieces: Path, tmp_path: Path) -> None:
    data = bytearray((pieces / "bundle.002").read_bytes())
    data[7] ^= 1
    (pieces / "bundle.002").write_bytes(data)
    with pytest.raises(ValueError, match=r"bundle\.002 is missing or broken"):
        pack.unpack(pieces, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def fatbin(entries: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A fat binary of (kind, architecture, code), with headers of 64 bytes as CUDA writes them."""
    body = b""
    for kind, architecture, code in entries:
        header = struct.pack("<HHIQ", kind, 0x101, 64, len(code)).ljust(28, b"\0")
        body += (header + struct.pack("<I", architecture)).ljust(64, b"\0") + code
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def library(*sections: tuple[bytes, bytes]) -> bytes:
    """An ELF file of these sections (name, content), as far as pack.py reads it."""
    names = b"\0".join((b"", *(name for name, _ in sections), b".shstrtab", b""))
    contents = [*sections, (b".shstrtab", names)]
    data, headers = bytes(64), bytes(64)
    for name, content in contents:
        at = names.index(name)
        headers += struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, len(data), len(content), 0, 0, 8, 0)
        data += content
    elf = bytearray(data + headers)
    struct.pack_into("<Q", elf, 40, len(data))
    struct.pack_into("<HHH", elf, 58, 64, len(contents) + 1, len(contents))
    return bytes(elf)


def test_device_code_of_other_architectures_is_blanked() -> None:
    first = fatbin([(CUBIN, 80, b"eighty" * 4), (CUBIN, 90, b"ninety" * 4), (PTX, 90, b"ptx" * 8)])
    second = fatbin([(CUBIN, 90, b"NINETY" * 4)])
    # Fat binaries are aligned: there are zeros between them.
    elf = library((b".text", b"code" * 8), (b".nv_fatbin", first + bytes(16) + second))
    found = [(kind, own, elf[at : at + n]) for kind, own, at, n in pack.fatbin_entries(elf)]
    assert found == [
        (CUBIN, 80, b"eighty" * 4),
        (CUBIN, 90, b"ninety" * 4),
        (PTX, 90, b"ptx" * 8),
        (CUBIN, 90, b"NINETY" * 4),
    ]
    expected = elf.replace(b"eighty" * 4, bytes(24)).replace(b"ptx" * 8, bytes(24))
    assert pack.keep_architecture(elf, 90) == expected


def test_a_library_without_device_code_is_kept() -> None:
    elf = library((b".text", b"code" * 8))
    assert pack.keep_architecture(elf, 90) == elf


def test_the_gpu_report_has_the_tables_of_its_figures(tmp_path: Path) -> None:
    page = (report.FIGURES.parent / "gpu.md").read_text()
    figures = json.loads(report.FIGURES.read_text())
    tables = report.tables(figures)
    assert len(tables) == 6
    assert all(text in page for text in tables.values())
    # Rounded once, figures stay as they are.
    assert report.rounded(figures) == figures

"""Describe the machine of a measurement, for reports."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from protome.config import cores

PACKAGES: Final = ("protome", "onnxruntime", "onnxruntime-gpu", "grpcio", "numpy")


def cpu_model() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_gib() -> float:
    """Return the memory of the machine in GiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def load_average() -> str:
    """Return the load averages over 1 and 5 minutes as text."""
    one, five, _ = os.getloadavg()
    return f"{one:.1f} over 1 minute, {five:.1f} over 5"


def versions(more: Sequence[str] = ()) -> str:
    """Return the versions of Python and of the installed packages among those of interest."""
    found = [f"Python {platform.python_version()}"]
    for name in (*PACKAGES, *more):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def describe(before: str, packages: Sequence[str] = (), programs: Sequence[str] = ()) -> str:
    """Return a Markdown list of processor, memory, versions and load.

    Args:
        before: load average when the measurement began.
        packages: further packages whose versions to list.
        programs: further programs with their versions, as text.
    """
    lines = [
        f"{cpu_model()}, {cores()} cores, {memory_gib():.0f} GiB, Linux {platform.release()}",
        ", ".join([versions(packages), *programs]),
        f"load average before: {before}; after: {load_average()}",
    ]
    return "\n".join(f"* {line}" for line in lines)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port that was free on all loopback addresses a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port

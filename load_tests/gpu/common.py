"""What the parts share: their arguments, and results written as they come."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def arguments(description: str | None) -> argparse.Namespace:
    """Parse the arguments of a part."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--data", type=Path)
    return parser.parse_args()


class Results:
    """A dictionary of figures that is written to a file each time one is added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = {}

    def add(self, name: str, value: Any) -> None:
        """Add a figure, or whatever JSON can hold."""
        self._values[name] = value
        self._path.write_text(json.dumps(self._values, indent=1) + "\n")
        print(name, json.dumps(value)[:600], flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step whose failure is noted and does not stop the part."""
        began = time.perf_counter()
        try:
            yield
        except Exception as error:
            self._values.setdefault("failed", {})[name] = f"{type(error).__name__}: {error}"[:2000]
            self.add(f"failed after {name}", time.perf_counter() - began)
            traceback.print_exc()

    @property
    def failed(self) -> int:
        """Exit status: 1 if a step failed."""
        return int("failed" in self._values)


def gpu_memory_mib() -> int | None:
    """Return the memory in use on the first GPU, MiB, or None without NVIDIA's driver."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def per_second(run: Callable[[], object], count: int, seconds: float) -> dict[str, float]:
    """Time ``run``, which does ``count`` items, for about so many seconds.

    Two runs that are not counted come first.

    Returns:
        items per second, median and worst milliseconds of a run.
    """
    run()
    run()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    times.sort()
    return {
        "per_second": count * len(times) / sum(times),
        "median_ms": 1e3 * times[len(times) // 2],
        "worst_ms": 1e3 * times[-1],
        "runs": len(times),
    }

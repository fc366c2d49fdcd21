"""Fuzz the C kernel under AddressSanitizer and UndefinedBehaviorSanitizer.

    python -m tests.fuzz.fuzz_kernel -max_total_time=28800 -seed=1

Arguments are drawn by rule instead of mutated: nearly all bytes are no arrays. ``-runs=N`` ends
after N calls. The last line has a digest of all results: it must not depend on what fresh memory
holds (``ASAN_OPTIONS=malloc_fill_byte=N``). The kernel is built in a folder of its own, unless
``-library=FILE`` is what `built` made before; leaks are looked for at the end. Needs a compiler
with the sanitizers, such as GCC.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Final

import numpy as np

from .kernel_arguments import draw_call
from .kernel_results import WRITING, check, results

ROOT: Final = Path(__file__).parents[2]
KERNEL: Final = ROOT / "service" / "protome" / "mesh" / "kernel"
CHECKS: Final = "address,undefined,float-cast-overflow"
COMPILER: Final = shutil.which("cc")
# What a call may end with.
ERRORS: Final = (TypeError, ValueError, OverflowError)
LIBRARY: Final = "PROTOME_FUZZED_KERNEL"


def built(folder: Path) -> Path:
    """The kernel with the sanitizers, as a module of Python."""
    assert COMPILER is not None
    config = subprocess.run(
        [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('include'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    library = folder / "_kernel.so"
    flags = ["-shared", "-fPIC", "-g", "-O1", f"-fsanitize={CHECKS}", "-fno-sanitize-recover=all"]
    flags += ["-DPy_LIMITED_API=0x030B0000", f"-I{config.stdout.strip()}"]
    sources = map(str, sorted(KERNEL.rglob("*.c")))
    subprocess.run([COMPILER, *flags, *sources, "-o", str(library), "-lm"], check=True)
    return library


def loaded(library: Path) -> ModuleType:
    """The module in a file."""
    loader = importlib.machinery.ExtensionFileLoader("_kernel", str(library))
    spec = importlib.util.spec_from_loader("_kernel", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def sanitized(arguments: list[str], library: Path | None) -> int:
    """Run this program again with the sanitized kernel and the sanitizer's library."""
    with tempfile.TemporaryDirectory() as folder:
        library = library or built(Path(folder))
        runtime = subprocess.run(
            [str(COMPILER), "-print-file-name=libasan.so"],
            capture_output=True,
            text=True,
            check=True,
        )
        environment = {
            **os.environ,
            "LD_PRELOAD": runtime.stdout.strip(),
            # Python's own allocator would hide what lies beside an array.
            "PYTHONMALLOC": "malloc",
            "OPENBLAS_NUM_THREADS": "1",
            LIBRARY: str(library),
            "ASAN_OPTIONS": "detect_leaks=1:max_malloc_fill_size=1073741824:"
            + os.environ.get("ASAN_OPTIONS", ""),
        }
        command = [sys.executable, "-m", "tests.fuzz.fuzz_kernel", *arguments]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    sys.stdout.write(ran.stdout.decode())
    errors = ran.stderr.decode(errors="replace")
    if b"Done" not in ran.stdout:
        sys.stderr.write(errors)
        return 1
    # Python and its packages do not free everything at their end, so the status says nothing.
    leaks = [part for part in errors.split("\n\n") if "leak of" in part and str(KERNEL) in part]
    sys.stderr.write("\n\n".join(leaks))
    return bool(leaks)


def fuzz(kernel: ModuleType, seed: int, runs: int, seconds: float) -> None:
    """Call the kernel's functions until the runs or the seconds are over."""
    rng = np.random.default_rng(seed)
    digest = hashlib.sha256()
    began, done, answered, slowest = time.monotonic(), 0, 0, 0.0
    while done < runs and time.monotonic() - began < seconds:
        name, arguments = draw_call(rng)
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        start = time.process_time()
        try:
            result = getattr(kernel, name)(*arguments)
        except ERRORS as error:
            digest.update(type(error).__name__.encode())
        else:
            check(name, arguments, result)
            for part in results(name, arguments, result):
                digest.update(part)
            answered += 1
        slowest = max(slowest, time.process_time() - start)
        done += 1
        for given, kept in zip(arguments, before, strict=True):
            written = name in WRITING and given is arguments[-1]
            if isinstance(given, np.ndarray) and not written:
                assert given.tobytes() == kept.tobytes(), f"{name} wrote to its arguments"
    print(f"Done {done} runs, {answered} answered, slowest {slowest:.2f} s, {digest.hexdigest()}")


def main(arguments: list[str]) -> int:
    """Fuzz in a process with the sanitizers; return its exit status."""
    parser = argparse.ArgumentParser(description="fuzz the C kernel under sanitizers")
    parser.add_argument("-seed", type=int, default=1)
    parser.add_argument("-runs", type=int, default=sys.maxsize)
    parser.add_argument("-max_total_time", type=float, default=float("inf"))
    parser.add_argument("-library", type=Path)
    options = parser.parse_args(arguments)
    library = os.environ.get(LIBRARY)
    if library is None:
        return sanitized(arguments, options.library)
    fuzz(loaded(Path(library)), options.seed, options.runs, options.max_total_time)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

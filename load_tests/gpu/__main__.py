"""Run the GPU checks, each part in a process of its own with its own limit.

``python -m load_tests.gpu --out DIR`` runs all parts; ``--dry`` runs them with tiny sizes on the
CPU. Each part writes ``DIR/PART.json`` as it goes and ``DIR/PART.log``; ``DIR/status.json`` has
the exit status of each. A part that ended with 0 is not run again unless it is named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

# Seconds each part may take; 12 minutes in all.
PARTS: Final = {"network": 180, "service": 200, "factory": 100, "train": 240}
TIMED_OUT: Final = 124


def run_part(part: str, out: Path, limit: float, flags: list[str]) -> int:
    """Run one part; returns its exit status, or 124 if it was ended at its limit."""
    command = [sys.executable, "-m", f"{__package__}.{part}", "--out", str(out), *flags]
    with (out / f"{part}.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return TIMED_OUT
        finally:
            # Servers and renderers that the part has left, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m load_tests.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--dry", action="store_true", help="tiny sizes, on the CPU")
    parser.add_argument("--data", type=Path, help="folder with ict_facekit.npz, skins and light")
    parser.add_argument("--minutes", type=float, default=12.0, help="for all parts together")
    args = parser.parse_args(argv)
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"unknown parts: {sorted(unknown)}")
    args.out.mkdir(parents=True, exist_ok=True)
    status_file = args.out / "status.json"
    status = json.loads(status_file.read_text()) if status_file.exists() else {}
    flags = ["--dry"] if args.dry else []
    flags += ["--data", str(args.data.resolve())] if args.data else []
    end = time.monotonic() + args.minutes * 60
    for part in args.parts or [part for part in PARTS if status.get(part) != 0]:
        began = time.monotonic()
        limit = min(PARTS[part], end - began)
        status[part] = run_part(part, args.out, limit, flags) if limit > 1 else TIMED_OUT
        status_file.write_text(json.dumps(status, indent=2) + "\n")
        print(f"{part}: status {status[part]}, {time.monotonic() - began:.0f} s", flush=True)
    return 0 if all(value == 0 for value in status.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

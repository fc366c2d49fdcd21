"""ghz against a real server: closed loops, open loops and rising load, as a Markdown table.

``ghz.json`` is the configuration; the built-in photo takes the place of ``PHOTO``. ghz times a call
to the end of its stream. It is not installed for you:
``go install github.com/bojand/ghz/cmd/ghz@v0.121.0``.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE

HERE: Final = Path(__file__).parent
# Flags of ghz; {n} stands for the calls of a scenario.
SCENARIOS: Final[Mapping[str, Sequence[str]]] = {
    "closed, 1 client": ("--concurrency=1", "--total={n}"),
    "closed, 8 clients": ("--concurrency=8", "--connections=2", "--total={n}"),
    "closed, 32 clients": ("--concurrency=32", "--connections=4", "--total={n}"),
    "open, 5/s": ("--async", "--rps=5", "--total={n}", "--concurrency=32"),
    "open, 100/s, deadline 1 s": (
        *("--async", "--rps=100", "--total={n}", "--concurrency=64", "--timeout=1s"),
    ),
    "steps, 2 to 10/s": (
        *("--async", "--load-schedule=step", "--load-start=2", "--load-step=4"),
        *("--load-end=10", "--load-step-duration=3s", "--total={n}", "--concurrency=32"),
    ),
}


def config(photo: bytes = b"PHOTO") -> dict[str, Any]:
    """ghz's configuration with a photo in it and paths that hold everywhere."""
    settings: dict[str, Any] = json.loads((HERE / "ghz.json").read_text(encoding="utf-8"))
    settings["data"]["image"] = base64.b64encode(photo).decode()
    root = HERE.parent
    settings["proto"] = str(root / settings["proto"])
    settings["import-paths"] = [str(root / path) for path in settings["import-paths"]]
    return settings


def find_ghz() -> str:
    """The ghz command.

    Raises:
        SystemExit: there is none.
    """
    found = shutil.which("ghz") or shutil.which("ghz", path=str(Path.home() / "go" / "bin"))
    if found is None:
        sys.exit("no ghz here: go install github.com/bojand/ghz/cmd/ghz@v0.121.0")
    return found


def run(ghz: str, file: Path, address: str, flags: Sequence[str]) -> dict[str, Any]:
    """One scenario; returns ghz's own report."""
    done = subprocess.run(
        [ghz, f"--config={file}", "--format=json", *flags, address],
        capture_output=True,
        text=True,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def row(name: str, report: Mapping[str, Any]) -> str:
    """A report as a row of the table."""
    codes: dict[str, int] = report["statusCodeDistribution"] or {}
    latencies = {p["percentage"]: p["latency"] / 1e6 for p in report["latencyDistribution"] or ()}
    good = codes.get("OK", 0) / (report["total"] / 1e9)
    cells = [f"{latencies.get(p, float('nan')):.0f}" for p in (50, 95, 99)]
    ends = ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))
    return f"| {name} | {report['count']} | {good:.1f} | {' | '.join(cells)} | {ends} |"


def main() -> None:
    """Run the scenarios against a server of their own, or one that runs already."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="HOST:PORT of a server; without it one is started")
    parser.add_argument("--calls", type=int, default=100, help="of each scenario")
    parser.add_argument("--only", help="scenarios with this in their name")
    args = parser.parse_args()
    ghz = find_ghz()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ghz.json"
        file.write_text(json.dumps(config(SAMPLE.read_bytes())), encoding="utf-8")
        print("| scenario | calls | OK/s | p50 ms | p95 ms | p99 ms | ended with |")
        print("|---|---|---|---|---|---|---|")
        if args.address:
            scenarios(ghz, file, args)
        else:
            with EmbeddedServer() as server:
                args.address = server.address
                scenarios(ghz, file, args)


def scenarios(ghz: str, file: Path, args: argparse.Namespace) -> None:
    """Print a row for each."""
    for name, flags in SCENARIOS.items():
        if not args.only or args.only in name:
            filled = [flag.format(n=args.calls) for flag in flags]
            print(row(name, run(ghz, file, args.address, filled)), flush=True)


if __name__ == "__main__":
    main()

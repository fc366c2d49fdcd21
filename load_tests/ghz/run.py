"""Run ghz against a real server: closed and open loops, rising load, streams of many photos.

Prints a table, or writes a report with ``--report FOLDER``. ``ghz.json`` is the configuration;
``PHOTO`` in it is replaced by the built-in photo. ghz measures calls to the end of their stream, so
``first_byte.py`` adds the time to the first byte of the mesh.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from load_tests import first_byte
from load_tests.machine import describe, load_average
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE

from .payload import delimited, many
from .report import TABLE, Result, markdown, plot, row
from .scenarios import CLOSED, OPEN, STREAM_PHOTOS, STREAMS, Scenario, closed, opened, steps, stream

HERE: Final = Path(__file__).parent
HOW: Final = "go install github.com/bojand/ghz/cmd/ghz@v0.121.0, or deploy/tools/install"
STREAM_CALL: Final = "protome.v1.ReconstructionService/ReconstructMany"


def config(photo: bytes = b"PHOTO") -> dict[str, Any]:
    """Return ghz's configuration with a photo and absolute paths."""
    settings: dict[str, Any] = json.loads((HERE / "ghz.json").read_text(encoding="utf-8"))
    settings["data"]["image"] = base64.b64encode(photo).decode()
    root = HERE.parents[1]
    settings["proto"] = str(root / settings["proto"])
    settings["import-paths"] = [str(root / path) for path in settings["import-paths"]]
    return settings


def places() -> Iterator[Path]:
    """Return the folders, besides PATH, where Go and deploy/tools/install put programs."""
    if folder := os.environ.get("GOBIN"):
        yield Path(folder)
    for folder in os.environ.get("GOPATH", "").split(os.pathsep):
        if folder:
            yield Path(folder) / "bin"
    yield Path.home() / "go" / "bin"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # The newest one whose installation was completed.
    done = sorted((cache / "protome-tools").glob("*/done"), key=lambda file: file.stat().st_mtime)
    yield from (file.parent / "bin" for file in reversed(done))


def find_ghz() -> str:
    """Find the ghz command.

    Raises:
        SystemExit: it is not installed; the message says how to install it.
    """
    found = shutil.which("ghz")
    for folder in places():
        found = found or shutil.which("ghz", path=str(folder))
    if found is None:
        sys.exit(f"ghz is not installed: {HOW}")
    return found


class Ghz:
    """Runs ghz against a server.

    Args:
        program: the ghz command.
        address: host:port of the server.
        folder: folder for its configuration.
    """

    def __init__(self, program: str, address: str, folder: Path) -> None:
        self._program = program
        self._address = address
        settings = config(SAMPLE.read_bytes())
        self._one = folder / "reconstruct.json"
        self._one.write_text(json.dumps(settings), encoding="utf-8")
        photos = folder / "photos.bin"
        photos.write_bytes(delimited(many([SAMPLE.read_bytes()], STREAM_PHOTOS)))
        del settings["data"]
        settings |= {"call": STREAM_CALL, "binary-file": str(photos)}
        self._many = folder / "reconstruct_many.json"
        self._many.write_text(json.dumps(settings), encoding="utf-8")

    def version(self) -> str:
        """Return the version of its Go module; ``ghz --version`` says "dev" for some builds."""
        if go := shutil.which("go"):
            done = subprocess.run(
                [go, "version", "-m", self._program], stdout=subprocess.PIPE, text=True
            )
            found = re.search(r"github\.com/bojand/ghz\s+(v\S+)", done.stdout)
            if found:
                return f"ghz {found[1]}"
        done = subprocess.run([self._program, "--version"], capture_output=True, text=True)
        return f"ghz {(done.stdout + done.stderr).strip()}"

    def run(self, scenario: Scenario) -> Result:
        """Run one scenario; return its results.

        Raises:
            CalledProcessError: ghz failed; its calls may without that.
        """
        file = self._many if scenario.kind == "stream" else self._one
        done = subprocess.run(
            [self._program, f"--config={file}", "--format=json", *scenario.flags, self._address],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return Result.of(scenario, json.loads(done.stdout))


def scenarios(ghz: Ghz, seconds: float, calls: int, only: str) -> Iterator[Result]:
    """Run the scenarios; the rate of the closed loops sets the rates of the others.

    Args:
        ghz: runs them.
        seconds: duration of each.
        calls: number of calls of closed loops; 0: limited by time.
        only: run those with this in their name.
    """
    # Wait for calls in flight at the end; cancelled calls would count as failed.
    stop = (f"--total={calls}",) if calls else (f"--duration={seconds}s", "--duration-stop=wait")
    capacity = 0.0
    for clients, connections in CLOSED:
        scenario = closed(clients, connections, stop)
        if only in scenario.name:
            result = ghz.run(scenario)
            capacity = max(capacity, result.rate)
            yield result
    later = [stream(streams, stop) for streams in STREAMS]
    if capacity and not calls:
        later += [opened(part, capacity, seconds) for part in OPEN]
        later.append(steps(capacity, seconds / 2))
    yield from (ghz.run(scenario) for scenario in later if only in scenario.name)


@contextlib.contextmanager
def server(address: str | None) -> Iterator[str]:
    """Yield the address of a running server, or start one for the duration of the block."""
    if address:
        yield address
    else:
        with EmbeddedServer(["--log-level", "error"]) as embedded:
            yield embedded.address


def main() -> None:
    """Run the scenarios against a running server or one started here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", help="HOST:PORT of a server; without it one is started")
    parser.add_argument("--seconds", type=float, default=6.0, help="duration of each scenario")
    parser.add_argument(
        "--calls", type=int, default=0, help="calls of closed loops, instead of seconds"
    )
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    parser.add_argument("--report", type=Path, help="folder to write README.md and ghz.png to")
    args = parser.parse_args()
    program, before, results = find_ghz(), load_average(), []
    with tempfile.TemporaryDirectory() as folder, server(args.address) as address:
        ghz = Ghz(program, address, Path(folder))
        print(TABLE, end="")
        for result in scenarios(ghz, args.seconds, args.calls, args.only):
            results.append(result)
            print(row(result), flush=True)
        if args.report:
            first = first_byte.table(address, args.seconds)
            args.report.mkdir(parents=True, exist_ok=True)
            drawn = plot(results, args.report / "ghz.png")
            machine = describe(before, programs=[ghz.version()])
            text = markdown(results, first, machine, drawn=drawn)
            (args.report / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Load from ghz, the gRPC benchmark: a client of its own that shares no code with ours."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Final

from protome.client import make_request
from protome.sample import SAMPLE

ROOT: Final = Path(__file__).parents[2]
CALL: Final = "protome.v1.ReconstructionService/Reconstruct"


def tools() -> Path:
    """The folder of programs that deploy/tools/install makes."""
    install = ROOT / "deploy" / "tools" / "install"
    done = subprocess.run([install], stdout=subprocess.PIPE, check=True, text=True)
    return Path(done.stdout.strip()) / "bin"


class Load:
    """ghz in the background, asking for small meshes of the sample photo.

    Args:
        ghz: the program.
        target: host:port or a gRPC target.
        folder: for its request and its report.
        parallel: calls at a time.
        stop: ghz's flags for when to end: ``("-n", "200")`` or ``("-z", "20s")``.
        rate: calls a second; 0: as many as are answered.
    """

    def __init__(
        self,
        ghz: Path,
        target: str,
        folder: Path,
        *,
        parallel: int,
        stop: tuple[str, str],
        rate: int = 0,
    ) -> None:
        request = make_request(SAMPLE.read_bytes(), detail="preview", appearance="none")
        (folder / "request.bin").write_bytes(request.SerializeToString())
        self._report = folder / "report.json"
        command: list[str | Path] = [
            *(ghz, "--insecure", "--import-paths", ROOT / "proto"),
            *("--proto", "protome/v1/reconstruction.proto", "--call", CALL),
            *("-B", folder / "request.bin", "-c", str(parallel), *stop),
            *("--lb-strategy", "round_robin", "--timeout", "30s"),
            # Let what is in flight at the end finish: it is not a failure.
            *("--duration-stop", "wait", "-O", "json", "-o", self._report),
        ]
        command += ["--rps", str(rate)] if rate else []
        # Balancing and retries as the name service says, which newer gRPC for Go ignores otherwise.
        env = {**os.environ, "GRPC_ENABLE_TXT_SERVICE_CONFIG": "true"}
        self._process = subprocess.Popen([*command, target], env=env)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether calls are still being made."""
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """Wait for the end; ghz's report."""
        assert self._process.wait(600) == 0
        report: dict[str, Any] = json.loads(self._report.read_text())
        return report

    def interrupt(self) -> None:
        """Make no more calls."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()


def failed(report: dict[str, Any]) -> dict[str, int]:
    """Failed calls of a report, by status."""
    codes: dict[str, int] = report["statusCodeDistribution"]
    return {code: count for code, count in codes.items() if code != "OK"}


def lost(report: dict[str, Any]) -> list[tuple[float, str]]:
    """(when it ended, status and message) of each failed call; seconds of time.time()."""
    return [
        (_seconds(call["timestamp"]), f"{call['status']} {call['error']}")
        for call in report["details"]
        if call["status"] != "OK"
    ]


def _seconds(timestamp: str) -> float:
    # Nanoseconds, of which Python takes six digits.
    whole, _, rest = timestamp.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return datetime.datetime.fromisoformat(
        f"{whole}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    ).timestamp()

"""Generate load with ghz, a gRPC benchmark tool that shares no code with Protome's client."""

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
    """Return the folder of programs that deploy/tools/install creates."""
    install = ROOT / "deploy" / "tools" / "install"
    done = subprocess.run([install], stdout=subprocess.PIPE, check=True, text=True)
    return Path(done.stdout.strip()) / "bin"


class Load:
    """Runs ghz in the background, requesting small meshes of the sample photo.

    Args:
        ghz: the program.
        target: host:port or a gRPC target.
        folder: folder for its request and its report.
        parallel: calls in flight.
        stop: flags for when to end: ``("-n", "200")`` or ``("-z", "20s")``.
        rate: calls per second; 0: a closed loop.
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
            # Let calls in flight at the end finish, so that they do not count as failures.
            *("--duration-stop", "wait", "-O", "json", "-o", self._report),
        ]
        command += ["--rps", str(rate)] if rate else []
        # Use the service config from DNS, which newer versions of gRPC for Go ignore by default.
        env = {**os.environ, "GRPC_ENABLE_TXT_SERVICE_CONFIG": "true"}
        self._process = subprocess.Popen([*command, target], env=env)

    @property
    def pid(self) -> int:
        """Id of its process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether calls are still being made."""
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """Wait for the end; return ghz's report."""
        assert self._process.wait(600) == 0
        report: dict[str, Any] = json.loads(self._report.read_text())
        return report

    def interrupt(self) -> None:
        """Stop making calls."""
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


def failed(report: dict[str, Any]) -> dict[str, int]:
    """Return the number of failed calls of a report by status."""
    codes: dict[str, int] = report["statusCodeDistribution"]
    return {code: count for code, count in codes.items() if code != "OK"}


def lost(report: dict[str, Any]) -> list[tuple[float, str]]:
    """Return (end in seconds of ``time.time()``, status and message) of each failed call."""
    return [
        (_seconds(call["timestamp"]), f"{call['status']} {call['error']}")
        for call in report["details"]
        if call["status"] != "OK"
    ]


def _seconds(timestamp: str) -> float:
    # Nanoseconds, of which Python can parse six digits.
    whole, _, rest = timestamp.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return datetime.datetime.fromisoformat(
        f"{whole}.{rest[:digits][:6]:0<6}{rest[digits:]}"
    ).timestamp()

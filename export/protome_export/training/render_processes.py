"""Processes that render fresh samples while a network trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from .config import Config

_FIRST_SEED = 2_000_000_000  # beyond the hold-out's
_PER_RUN = 100_000_000
_PER_PROCESS = 1_000_000


class Renderers:
    """Run ``config.renderers`` times `protome-export generate` into the run's shards.

    Their seeds follow from the run's. Leaving the context ends them; shards appear whole or not
    at all.
    """

    def __init__(self, config: Config, device: str) -> None:
        self.config, self.device = config, device
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Renderers:
        c = self.config
        Path(c.shards).mkdir(parents=True, exist_ok=True)
        share = -(-c.fresh // c.renderers) if c.renderers else 0
        for k in range(c.renderers):
            seed = _FIRST_SEED + c.seed * _PER_RUN + k * _PER_PROCESS
            command = [sys.executable, "-m", "protome_export.cli", "generate", "--head", c.head,
                       *(["--data", c.data] if c.data else []), "--seed", str(seed),
                       "--count", str(share), "--shard", str(c.shard), "--device", self.device,
                       c.shards]  # fmt: skip
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            self.processes.append(process)
        return self

    def check(self) -> None:
        """Check the processes.

        Raises:
            RuntimeError: one of them failed.
        """
        for process in self.processes:
            if process.poll():
                raise RuntimeError(f"a renderer ended with status {process.returncode}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()

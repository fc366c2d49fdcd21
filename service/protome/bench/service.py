"""Run a server under test with a load generator, and monitor its memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from prometheus_client.parser import text_string_to_metric_families

from protome.embedded import EmbeddedServer

from .load import Spec, Tally

SAMPLE_SECONDS: Final = 1.0


@dataclass
class Service:
    """A server under test and its load generator; a context manager that runs both.

    Attributes:
        flags: flags of ``protome serve``.
        peak: most bytes of memory that the server and its workers held, once entered.
    """

    flags: Sequence[str] = ()
    peak: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self.server = self._stack.enter_context(
            EmbeddedServer(["--log-level", "error", *self.flags])
        )
        self._generator = self._stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        self._stack.callback(self._generator.kill)
        watch = threading.Thread(target=self._watch, daemon=True)
        watch.start()
        self._stack.callback(watch.join)
        self._stack.callback(self._stop.set)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def load(self, photos: Sequence[str], options: Mapping[str, Any], **spec: Any) -> Tally:
        """Generate a load on the server; arguments as :class:`Spec`."""
        task = Spec(self.server.address, photos, dict(options), **spec)
        assert self._generator.stdin is not None
        assert self._generator.stdout is not None
        cpu, began = time.process_time(), time.monotonic()
        print(json.dumps(asdict(task)), file=self._generator.stdin, flush=True)
        tally = Tally(**json.loads(self._generator.stdout.readline()))
        # Monitoring the memory takes processor time too.
        tally.cpu_seconds += (time.process_time() - cpu) / (time.monotonic() - began)
        return tally

    def metrics(self) -> dict[str, float]:
        """Return the samples of /metrics by name, those of stages as ``NAME:STAGE``."""
        with urllib.request.urlopen(f"http://{self.server.http}/metrics", timeout=30) as page:
            text = page.read().decode()
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                stage = sample.labels.get("stage")
                name = f"{sample.name}:{stage}" if stage else sample.name
                found[name] = found.get(name, 0.0) + sample.value
        return found

    def memory(self) -> int:
        """Return the resident bytes of the server and its workers, shared pages counted once."""
        return sum(map(_resident, family(self.server.process.pid)))

    def cpu_seconds(self) -> float:
        """Return the processor seconds that the server and its workers have used."""
        return sum(map(cpu_seconds, family(self.server.process.pid)))

    def loop_seconds(self) -> float:
        """Return the processor seconds of the server's event loop, which is its first thread."""
        return thread_seconds(self.server.process.pid)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.memory())


def family(pid: int) -> Iterator[int]:
    """Yield the ids of a process and of its running descendants."""
    yield pid
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in thread.read_text().split():
                yield from family(int(child))


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_seconds(pid: int) -> float:
    """Return the processor seconds of a process and its ended children; 0 if it has ended."""
    with contextlib.suppress(OSError):
        return _ticks(Path(f"/proc/{pid}/stat"), 4)
    return 0.0


def thread_seconds(pid: int) -> float:
    """Return the processor seconds of the first thread of a process."""
    return _ticks(Path(f"/proc/{pid}/task/{pid}/stat"), 2)


def _ticks(stat: Path, count: int) -> float:
    """Return the sum of the first ``count`` times in a ``stat`` file of /proc, seconds.

    They are user and system time of the process, then those of its children.
    """
    # They are fields 12 to 15 after the name, which may contain any characters.
    after = stat.read_text().rpartition(")")[2].split()
    return sum(map(int, after[11 : 11 + count])) / os.sysconf("SC_CLK_TCK")

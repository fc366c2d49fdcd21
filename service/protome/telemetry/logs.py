"""Logs: a line of text or of JSON for each record, with the ids of the call it is about."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from typing import Final

from .context import CURRENT

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s%(call)s"
STANDARD_ERROR: Final = 2
# Lines that may wait to be written, and how long the end waits for them, seconds.
ROOM: Final = 10_000
LAST_SECONDS: Final = 1.0
# Keys of a record's ``extra`` that are logged.
EXTRA: Final = ("method", "code", "reason", "seconds", "faces")


def set_up(level: str, format_: str) -> None:
    """Log to standard error."""
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_text)
    # Its warnings quote the metadata of calls.
    logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
    # Where it was closed, what is opened next must not take its place.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(spare)
    known = sys.stderr is not None
    handler = PatientHandler(STANDARD_ERROR) if known else logging.NullHandler()
    handler.setFormatter(JsonFormatter() if format_ == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_text(record: logging.LogRecord) -> bool:
    """Not what gRPC logs of methods and metadata that are no UTF-8: it quotes them, line breaks and
    all, with a traceback for each."""
    return not (record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError))


def finish() -> None:
    """See to it that what was logged is written before anything else is said."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class PatientHandler(logging.Handler):
    """Leaves the writing to a thread: nothing waits for a reader that does not read. What does not
    find room meanwhile is left out, and how many lines those were is said once there is.

    Args:
        target: descriptor to write to.
        room: lines that may wait.
    """

    def __init__(self, target: int, room: int = ROOM) -> None:
        super().__init__()
        self._target = target
        self._lines: queue.Queue[str] = queue.Queue(room)
        self._lost = 0
        threading.Thread(target=self._write, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Format it here, where the call is known."""
        try:
            self._lines.put_nowait(self.format(record))
        except Exception:
            # Full, or it cannot be formatted, which logging would print, and wait.
            self._lost += 1

    def flush(self) -> None:
        """Wait a little for what is left to be written."""
        limit = time.monotonic() + LAST_SECONDS
        while self._lines.unfinished_tasks and time.monotonic() < limit:
            time.sleep(0.01)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if lost := self._lost:
                self._lost -= lost
                about = ("", 0, f"{lost} lines of the log were lost", None, None)
                line += "\n" + self.format(logging.LogRecord(__name__, logging.ERROR, *about))
            data = memoryview(f"{line}\n".encode(errors="backslashreplace"))
            # A full disk, or a pipe that was closed: there is nowhere to say it.
            with contextlib.suppress(OSError):
                while data:
                    data = data[os.write(self._target, data) :]
            self._lines.task_done()


class TextFormatter(logging.Formatter):
    """Adds the request's id."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text; one line unless there is a traceback."""
        call = CURRENT.get()
        ids = () if call is None else (call.request_id, call.photo)
        # Escaped: what a client calls its photos must not look like another line.
        record.call = "".join(f" [{ascii(name)[1:-1]}]" for name in ids if name)
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, times in UTC (RFC 3339)."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        entry: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = CURRENT.get()
        if call is not None:
            entry["request_id"] = call.request_id
            entry["trace_id"] = call.span.trace_id
            entry["span_id"] = call.span.span_id
            if call.photo:
                entry["photo"] = call.photo
            if call.tenant is not None:
                entry["client"] = call.tenant.name
        entry.update({key: getattr(record, key) for key in EXTRA if hasattr(record, key)})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # ASCII: no terminal obeys, and no reader breaks a line at, what a client calls its photos.
        return json.dumps(entry)

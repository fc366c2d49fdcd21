"""Log a line of text or of JSON for each record, with the ids of the current call."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import sys
import time
from logging.handlers import QueueHandler, QueueListener
from typing import Final

from .context import CURRENT

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s%(call)s"
STANDARD_ERROR: Final = 2
# Lines that may wait to be written, and how long the shutdown waits for them.
MAX_QUEUED_LINES: Final = 10_000
FLUSH_SECONDS: Final = 1.0
# Keys of a record's ``extra`` that are logged.
EXTRA: Final = ("protocol", "method", "code", "reason", "facts", "seconds", "faces")


def set_up(level: str, format_: str) -> None:
    """Log to standard error.

    Args:
        level: lowest severity, such as ``info``.
        format_: ``text`` or ``json``.
    """
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_decode_error)
    # Its warnings quote the metadata of calls.
    logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
    # If standard error is closed, the next file that is opened must not take its descriptor.
    while (spare := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(spare)
    is_open = sys.stderr is not None
    handler = BackgroundHandler(STANDARD_ERROR) if is_open else logging.NullHandler()
    handler.setFormatter(JsonFormatter() if format_ == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _is_no_decode_error(record: logging.LogRecord) -> bool:
    """Filter out what gRPC logs about methods and metadata that are not UTF-8.

    It quotes them, line breaks included, with a traceback for each.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError))


def finish() -> None:
    """Wait until the queued lines are written, but at most FLUSH_SECONDS."""
    for handler in logging.getLogger().handlers:
        handler.flush()


class BackgroundHandler(QueueHandler):
    """Write lines in a thread, so that a reader that does not read blocks no caller.

    Records are formatted by the caller, where the current call is known. Lines that find the queue
    full are dropped; their number is logged once there is room.

    Args:
        target: file descriptor to write to.
        capacity: number of lines that may wait.
    """

    queue: queue.Queue[logging.LogRecord]

    def __init__(self, target: int, capacity: int = MAX_QUEUED_LINES) -> None:
        super().__init__(queue.Queue(capacity))
        self.dropped = 0
        QueueListener(self.queue, _Writer(target, self)).start()

    def handleError(self, record: logging.LogRecord) -> None:
        """Count a line that cannot be queued or formatted; logging would print that, and block."""
        self.dropped += 1

    def flush(self) -> None:
        """Wait until the queued lines are written, but at most FLUSH_SECONDS."""
        limit = time.monotonic() + FLUSH_SECONDS
        while self.queue.unfinished_tasks and time.monotonic() < limit:
            time.sleep(0.01)


class _Writer(logging.Handler):
    def __init__(self, target: int, source: BackgroundHandler) -> None:
        super().__init__()
        self._target = target
        self._source = source

    def emit(self, record: logging.LogRecord) -> None:
        lines = [record.getMessage()]
        if dropped := self._source.dropped:
            self._source.dropped -= dropped
            about = ("", 0, f"{dropped} log lines were dropped", None, None)
            lines.append(self._source.format(logging.LogRecord(__name__, logging.ERROR, *about)))
        data = memoryview("\n".join([*lines, ""]).encode(errors="backslashreplace"))
        # A full disk or a closed pipe: there is no other place to report it.
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._target, data) :]


class TextFormatter(logging.Formatter):
    """Format a record as text, followed by the ids of the current call."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text: one line unless there is a traceback."""
        call = CURRENT.get()
        ids = () if call is None else (call.request_id, call.photo)
        # Escape the ids, which clients choose, so that they cannot look like another line.
        record.call = "".join(f" [{ascii(name)[1:-1]}]" for name in ids if name)
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """Format a record as a JSON object in one line, with its time in UTC (RFC 3339)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
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
        # ASCII only, so that ids chosen by clients hold no line breaks or terminal commands.
        return json.dumps(entry)

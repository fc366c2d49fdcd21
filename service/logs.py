"""Logs: a line of text or of JSON for each record, with the ids of the call it is about."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

from .call import CURRENT

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s%(call)s"
# Keys of a record's ``extra`` that are logged.
EXTRA: Final = ("method", "code", "reason", "seconds", "faces")


def set_up(level: str, format_: str) -> None:
    """Log to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format_ == "json" else TextFormatter(TEXT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


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
            context = call.span.context
            entry["request_id"] = call.request_id
            entry["trace_id"] = context.trace_id
            entry["span_id"] = context.span_id
            if call.photo:
                entry["photo"] = call.photo
            if call.client is not None:
                entry["client"] = call.client.name
        entry.update({key: getattr(record, key) for key in EXTRA if hasattr(record, key)})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)

"""Logs in text and JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

from protome.telemetry.context import Call, running
from protome.telemetry.logs import TEXT, BackgroundHandler, JsonFormatter, TextFormatter


def record(message: str = "hello %s", **extra: object) -> logging.LogRecord:
    return logging.getLogger("protome.test").makeRecord(
        "protome.test", logging.INFO, __file__, 1, message, ("you",), None, extra=extra
    )


def test_json_has_the_call_and_the_facts() -> None:
    call = Call("order-7", photo="p\n1")
    with running(call):
        line = JsonFormatter().format(record(method="Reconstruct", seconds=0.5, image=b"secret"))
    assert "\n" not in line
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "logger": "protome.test",
        "message": "hello you",
        "request_id": "order-7",
        "trace_id": call.span.trace_id,
        "span_id": call.span.span_id,
        "photo": "p\n1",
        "method": "Reconstruct",
        "seconds": 0.5,
    }


def test_json_has_no_control_characters() -> None:
    photo = "\x1b[2J \x9b2J \x7f \u2028 \u202e"
    with running(Call("id", photo=photo)):
        line = JsonFormatter().format(record())
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["photo"] == photo


def test_json_outside_of_a_call_has_no_ids() -> None:
    entry = json.loads(JsonFormatter().format(record()))
    assert set(entry) == {"time", "level", "logger", "message"}


def test_json_holds_a_traceback_in_one_line() -> None:
    made = record()
    try:
        raise ValueError("broken")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_id_of_a_photo_cannot_forge_a_line_of_text() -> None:
    with running(Call("id", photo="a\n2026-01-01 ERROR forged")):
        line = TextFormatter(TEXT).format(record())
    assert "\n" not in line
    assert line.endswith("hello you [id] [a\\n2026-01-01 ERROR forged]")


def test_a_reader_that_does_not_read_blocks_no_caller() -> None:
    reader, writer = os.pipe()
    handler = BackgroundHandler(writer, capacity=100)
    handler.setFormatter(logging.Formatter("%(message)s"))
    began = time.monotonic()
    for number in range(3000):
        handler.emit(record("line %s " + str(number) + " of some length" * 8))
    handler.flush()
    assert time.monotonic() - began < 20
    seen = b""
    dropped: list[int] = []
    # Those that found no room are counted, in one line or in several.
    while sum(dropped) <= 1000:
        seen += os.read(reader, 1 << 16)
        lines = seen.decode().split("\n")[:-1]
        dropped = [int(line.split()[0]) for line in lines if "were dropped" in line]
    kept = [int(line.split()[2]) for line in lines if "were dropped" not in line]
    assert kept == sorted(set(kept)), "in order"
    assert len(kept) >= 100
    os.close(reader)
    # A pipe that was closed is like a full disk.
    handler.emit(record())
    handler.flush()
    os.close(writer)

"""The HTTP listener: bytes that are not HTTP."""

from __future__ import annotations

import asyncio
import logging
import re
import socket

import pytest

from protome.web.listener import HttpListener
from tests.support.instant import create_backend

CHUNKED = b"host: x\r\ntransfer-encoding: chunked\r\n\r\n"
POST = b"POST /v1/reconstruct%s HTTP/1.1\r\n" + CHUNKED
WHOLE = b"5\r\nphoto\r\n0\r\n\r\n"
GARBAGE = b"no chunk\r\n\r\n"


def exchange(*parts: bytes) -> tuple[bytes, bool]:
    """Send parts over one connection; return what comes back, and whether no photo is left."""

    async def run() -> tuple[bytes, bool]:
        backend, photos = create_backend()
        listener = HttpListener(backend, socket.create_server(("127.0.0.1", 0)))
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        answer = b""
        for number, part in enumerate(parts):
            if number:
                answer += await reader.readuntil(b"\r\n\r\n")
            writer.write(part)
        answer += await reader.read()
        writer.close()
        await listener.stop(1.0)
        return answer, photos.idle

    return asyncio.run(asyncio.wait_for(run(), 60))


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        # Where a request is expected.
        ((GARBAGE,), [b"400"]),
        # Together with the head of its request, which the application begins to answer.
        ((POST % b"" + GARBAGE,), [b"400"]),
        ((POST % b"" + b"5\r\nphoto\r\n" + GARBAGE,), [b"400"]),
        ((b"GET /none HTTP/1.1\r\n" + CHUNKED + GARBAGE,), [b"400"]),
        ((b"HEAD /none HTTP/1.1\r\n" + CHUNKED + GARBAGE,), []),
        # Behind a whole request, with it and after its answer.
        ((POST % b"" + WHOLE + GARBAGE,), [b"200", b"400"]),
        # After the application has refused the options of a photo that is on its way.
        ((POST % b"?detial=fine", GARBAGE), [b"400"]),
    ],
)
def test_bytes_that_are_not_http_get_one_answer_and_no_traceback(
    parts: tuple[bytes, ...], statuses: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    answer, idle = exchange(*parts)
    assert re.findall(rb"HTTP/1\.1 (\d{3})", answer) == statuses
    assert idle
    wrong = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not wrong

"""The servers that Protome is compared with, where the [peers] extra is installed."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path

import grpc
import psutil
import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("mosec")
pytest.importorskip("litserve")
pytest.importorskip("bentoml")
pytest.importorskip("ray")

from aiohttp import web

from load_tests.peers.__main__ import CALL_TIMEOUT_SECONDS, serving
from load_tests.peers.http import caller, mesh
from load_tests.peers.systems import SYSTEMS, System
from protome.bench.load import Load, Spec
from protome.client import ReconstructionError, make_request
from protome.sample import SAMPLE


@pytest.mark.parametrize("system", SYSTEMS[1:], ids=lambda system: system.name)
def test_a_peer_answers_with_the_same_mesh(system: System, tmp_path: Path) -> None:
    # Entering waits for the answer and compares it.
    with serving(system, CALL_TIMEOUT_SECONDS, 64, tmp_path) as server:
        point = server.load("1 client", clients=1, calls=3)
        processes = [psutil.Process(pid) for pid in server.pids()]
        exposed = [address for process in processes for address in listening(process)]
    assert not point.failed
    assert 0 < point.first_p50 <= point.p50 <= point.p99
    assert point.cpu_seconds > 0
    assert not [address for address in exposed if not address.is_loopback]
    # Nothing outlives it.
    assert not psutil.wait_procs(processes, 10)[1]


def listening(process: psutil.Process) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses that a process accepts connections on."""
    addresses = [
        ipaddress.ip_address(connection.laddr.ip)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    return [getattr(address, "ipv4_mapped", None) or address for address in addresses]


async def against(status: int, seconds: float = 0.0) -> tuple[dict[str, int], int]:
    """What the generator makes of a server that answers so; statuses and good answers."""

    async def answer(request: web.Request) -> web.Response:
        assert await request.read() == SAMPLE.read_bytes()
        await asyncio.sleep(seconds)
        return web.Response(body=b"mesh", status=status)

    async def health(request: web.Request) -> web.Response:
        del request
        return web.Response()

    app = web.Application()
    app.router.add_post("/mesh", answer)
    app.router.add_get("/", health)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address = "{}:{}".format(*runner.addresses[0])
        spec = Spec(address, [str(SAMPLE)], {}, clients=1, calls=2, deadline=0.5)
        tally = await Load(spec, caller(path="/mesh")).run()
    finally:
        await runner.cleanup()
    return tally.codes, tally.good


@pytest.mark.parametrize(
    ("status", "codes"),
    [
        (200, {}),
        (429, {"RESOURCE_EXHAUSTED": 2}),
        (503, {"RESOURCE_EXHAUSTED": 2}),
        (408, {"DEADLINE_EXCEEDED": 2}),
        (504, {"DEADLINE_EXCEEDED": 2}),
        (500, {"INTERNAL": 2}),
    ],
)
def test_statuses_of_http_are_counted_as_those_of_grpc(status: int, codes: dict[str, int]) -> None:
    assert asyncio.run(against(status)) == (codes, 0 if codes else 2)


def test_an_answer_that_comes_too_late_is_a_deadline() -> None:
    assert asyncio.run(against(200, 2.0)) == ({"DEADLINE_EXCEEDED": 2}, 0)


def test_an_unreachable_peer_is_unavailable() -> None:
    request = make_request(b"")
    with pytest.raises(ReconstructionError) as caught:
        mesh("mosec", "127.0.0.1:1", request, 5.0)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE

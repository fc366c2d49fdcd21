"""Compare the event loop of the service with that of a bare gRPC server.

The bare server parses the same request and writes the same header, chunk and summary, and nothing
else. Run: ``python -m load_tests.micro.event_loop`` (two cores); prints a Markdown table.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import grpc

from protome.bench.bench import OPTIONS
from protome.bench.load import Spec
from protome.bench.service import thread_seconds
from protome.client import Client, make_request
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE
from protome.v1 import reconstruction_pb2 as pb

ROUNDS: Final = 6
SECONDS: Final = 4.0
CLIENTS: Final = 8
METADATA: Final = (("x-request-id", 32 * "a"), ("traceparent", f"00-{32 * 'b'}-{16 * 'c'}-00"))


def main() -> None:
    """Print the table."""
    with EmbeddedServer(["--log-level", "error"]) as ours, tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        with Client(ours.address) as client:
            request = make_request(SAMPLE.read_bytes(), **OPTIONS)
            events = [event.SerializeToString() for event in client.events(request)]
        answer.write_bytes(pickle.dumps(events))
        program = [sys.executable, "-m", __spec__.name, str(answer)]
        with (
            subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as bare,
            subprocess.Popen(
                [sys.executable, "-m", "protome.bench.load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as generator,
        ):
            assert bare.stdout is not None
            servers = {
                "service": (ours.address, ours.process.pid),
                "bare server": (f"localhost:{int(bare.stdout.readline())}", bare.pid),
            }
            spent: dict[str, list[float]] = {name: [] for name in servers}
            for _ in range(ROUNDS):
                for name, (address, pid) in servers.items():
                    spent[name].append(measure(generator, address, pid))
            bare.kill()
            generator.kill()
    print("| server | event loop, ms of a core per photo |\n|---|---|")
    for name, values in spent.items():
        print(f"| {name} | {1e3 * statistics.median(values):.2f} |")


def measure(generator: subprocess.Popen[str], address: str, pid: int) -> float:
    """Return the processor seconds per photo of a server's event loop under load."""
    assert generator.stdin is not None
    assert generator.stdout is not None
    load = Spec(address, [str(SAMPLE)], dict(OPTIONS), seconds=SECONDS, ramp=0.0, clients=CLIENTS)
    before = thread_seconds(pid)
    print(json.dumps(asdict(load)), file=generator.stdin, flush=True)
    good: int = json.loads(generator.stdout.readline())["good"]
    return (thread_seconds(pid) - before) / max(1, good)


async def serve(messages: Sequence[pb.ReconstructResponse]) -> None:
    """Serve the bare server, which answers with these messages, on a port that is printed."""

    async def reconstruct(requests: object, context: Any) -> None:
        del requests
        pb.ReconstructRequest.FromString(await context.read())
        await context.send_initial_metadata(METADATA)
        context.set_trailing_metadata(METADATA)
        for message in messages:
            await context.write(message)

    async def info(request: bytes, context: Any) -> pb.GetServerInfoResponse:
        del request, context
        return pb.GetServerInfoResponse()

    handlers = {
        "Reconstruct": grpc.stream_stream_rpc_method_handler(
            reconstruct, None, pb.ReconstructResponse.SerializeToString
        ),
        "GetServerInfo": grpc.unary_unary_rpc_method_handler(
            info, None, pb.GetServerInfoResponse.SerializeToString
        ),
    }
    service = pb.DESCRIPTOR.services_by_name["ReconstructionService"].full_name
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 32 << 20)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    print(server.add_insecure_port("localhost:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        parts = pickle.loads(Path(sys.argv[1]).read_bytes())
        asyncio.run(serve([pb.ReconstructResponse.FromString(part) for part in parts]))
    else:
        main()

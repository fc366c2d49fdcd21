"""Serve the stages with Ray Serve as its documentation recommends.

A deployment has one replica per core and ``serve.batch`` in front of its stages.

With ``--batch 1`` there are no batches, which suits a CPU, where they gain nothing. Photos and
meshes are HTTP bodies. Ray runs on this machine only, without its dashboard.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import tempfile
from typing import Any

import ray
from ray import serve
from ray.serve._private import replica
from starlette.requests import Request
from starlette.responses import Response

from .stages import MAX_BATCH, Stages

# Ray's default, seconds.
BATCH_TIMEOUT = 0.01
LOGGING = {"log_level": "ERROR", "enable_access_log": False}
# Memory for photos and meshes that are passed on between processes, bytes.
STORE = 256 << 20


def add_local_port(server: Any, address: str) -> Any:
    """Let a replica's gRPC server, which HTTP does not use, listen on 127.0.0.1.

    Ray has no setting for it, and would listen on all addresses.
    """
    return server.add_insecure_port(address.replace("[::]", "127.0.0.1"))


class Whole:
    """Turns a photo into a mesh."""

    def __init__(self) -> None:
        """Load the network in a replica."""
        replica.add_port_to_grpc_server = add_local_port
        self._stages = Stages()

    async def __call__(self, request: Request) -> Response:
        """Answer one call."""
        mesh = await self.reconstruct(await request.body())
        return Response(mesh, media_type="model/gltf-binary")

    async def reconstruct(self, photo: bytes) -> bytes:
        """Process one photo."""
        return self._stages.build(self._stages.infer([self._stages.prepare(photo)])[0])


class Batches(Whole):
    """Turns photos into meshes, in batches."""

    @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=BATCH_TIMEOUT)  # type: ignore[untyped-decorator]
    async def reconstruct(self, photos: list[bytes]) -> list[bytes]:
        """Process one batch."""
        faces = [self._stages.prepare(photo) for photo in photos]
        return [self._stages.build(face) for face in self._stages.infer(faces)]


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True, help="replicas")
    parser.add_argument("--timeout", type=float, default=60.0, help="timeout of a call, seconds")
    parser.add_argument("--queue", type=int, default=1024, help="calls that may wait")
    parser.add_argument("--batch", type=int, choices=(1, MAX_BATCH), default=MAX_BATCH)
    args = parser.parse_args()
    # Without it Ray would write one to the home folder.
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    deployment = serve.deployment(
        Batches if args.batch > 1 else Whole,
        num_replicas=args.cores,
        # As many again as are in work, so that a replica need not wait for its next calls.
        max_ongoing_requests=2 * args.batch,
        max_queued_requests=args.queue,
        ray_actor_options={"num_cpus": 1},
        logging_config=LOGGING,
    )
    # In /tmp, because the path of a socket must be short.
    temporary = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
    with temporary as folder:
        ray.init(
            address="local",
            num_cpus=args.cores,
            include_dashboard=False,
            object_store_memory=STORE,
            _temp_dir=folder,
        )
        # After Ray has set its own handler, which ends the process at once.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            serve.start(
                proxy_location="HeadOnly",
                http_options={
                    "host": "127.0.0.1",
                    "port": args.port,
                    "request_timeout_s": args.timeout,
                },
                logging_config=LOGGING,
            )
            serve.run(deployment.bind(), logging_config=LOGGING)
            signal.pause()
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()

"""The stages behind LitServe, as its documentation has it: ``decode_request``, ``predict`` on a
batch and ``encode_response``, in as many worker processes as there are cores.

With ``--batch 1`` there are no batches, which suits a CPU, where they gain nothing. Photos come as
a file of a form, which LitServe takes without turning it into text; meshes go back as they are.
``fast_queue`` is left alone: 0.2.19 passes it on under a wrong name, so it has no effect, and with
the queue it stands for put in by hand no answer comes.
"""

import argparse

import litserve
from fastapi import Request, Response

from .stages import MAX_BATCH, Face, Stages

# What its guides have, seconds; with 0 the workers would spin.
BATCH_TIMEOUT = 0.01


class Reconstruct(litserve.LitAPI):  # type: ignore[misc]
    """Photo in, mesh out."""

    def setup(self, device: str) -> None:
        """Load the network in a worker process."""
        del device
        self._stages = Stages()

    def decode_request(self, request: Request) -> Face:
        """Bytes → crop."""
        return self._stages.prepare(request["photo"].file.read())

    def batch(self, inputs: list[Face]) -> list[Face]:
        """The engine puts crops together itself."""
        return inputs

    def unbatch(self, output: list[Face]) -> list[Face]:
        """One a photo already."""
        return output

    def predict(self, x: Face | list[Face]) -> Face | list[Face]:
        """Crops → volumes."""
        return self._stages.infer(x) if isinstance(x, list) else self._stages.infer([x])[0]

    def encode_response(self, output: Face) -> Response:
        """Volume → mesh."""
        return Response(self._stages.build(output), media_type="model/gltf-binary")


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True, help="worker processes")
    parser.add_argument("--timeout", type=float, default=60.0, help="of a call, seconds")
    parser.add_argument("--batch", type=int, default=MAX_BATCH)
    args = parser.parse_args()
    api = Reconstruct(
        max_batch_size=args.batch, batch_timeout=BATCH_TIMEOUT if args.batch > 1 else 0.0
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=args.cores,
        timeout=args.timeout,
    )
    server.run(host="127.0.0.1", port=args.port, generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()

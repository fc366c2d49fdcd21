"""Serve the stages with LitServe as its documentation recommends.

``decode_request``, ``predict`` on a batch and ``encode_response`` run in one worker process per
core.

With ``--batch 1`` there are no batches, which suits a CPU, where they gain nothing. Photos are sent
as a file of a form, which LitServe does not convert to text; meshes are sent as bytes.
``fast_queue`` is not used: version 0.2.19 passes it on under a wrong name, so that it has no
effect, and with that queue set by hand no answer is sent.
"""

import argparse

import litserve
from fastapi import Request, Response

from protome.pipeline.photo_run import FaceTask

from .stages import MAX_BATCH, Predicted, Stages

# Value of LitServe's guides, seconds; with 0 the workers would busy-wait.
BATCH_TIMEOUT = 0.01


class Reconstruct(litserve.LitAPI):  # type: ignore[misc]
    """Turns a photo into a mesh."""

    def setup(self, device: str) -> None:
        """Load the network in a worker process."""
        del device
        self._stages = Stages()

    def decode_request(self, request: Request) -> FaceTask:
        """Cut out the face."""
        return self._stages.prepare(request["photo"].file.read())

    def batch(self, inputs: list[FaceTask]) -> list[FaceTask]:
        """Return the list as it is, because the engine stacks the crops."""
        return inputs

    def unbatch(self, output: list[Predicted]) -> list[Predicted]:
        """Return the list as it is: one item per photo."""
        return output

    def predict(self, x: FaceTask | list[FaceTask]) -> Predicted | list[Predicted]:
        """Run the network on a batch or a single face."""
        return self._stages.infer(x) if isinstance(x, list) else self._stages.infer([x])[0]

    def encode_response(self, output: Predicted) -> Response:
        """Build the mesh."""
        return Response(self._stages.build(output), media_type="model/gltf-binary")


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True, help="worker processes")
    parser.add_argument("--timeout", type=float, default=60.0, help="timeout of a call, seconds")
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

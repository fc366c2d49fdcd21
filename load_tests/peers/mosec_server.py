"""Serve the stages with Mosec as its documentation recommends.

A pipeline of worker processes has dynamic batching in front of the network; with ``--stages 1``
each process runs all stages.

On a CPU one thread runs one batch, so one process per core runs the network. Photos and meshes are
HTTP bodies; between stages Mosec pickles.
"""

from __future__ import annotations

import argparse

from mosec import Server, Worker

from protome.pipeline.photo_run import FaceTask

from .stages import MAX_BATCH, Predicted, Stages

# Least possible wait for a batch, milliseconds; a longer wait gains nothing on a CPU.
BATCH_WAIT = 1
# A worker that takes longer for a task is killed, seconds; the default is a call's timeout.
TASK_SECONDS = 20


class Raw(Worker):  # type: ignore[misc]
    """Reads and writes bytes instead of JSON."""

    resp_mime_type = "model/gltf-binary"

    def deserialize(self, data: bytes) -> bytes:
        """Return the photo."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """Return the mesh."""
        return data


class Prepare(Raw):
    """Cuts out the face."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages(network=False)

    def forward(self, data: bytes) -> FaceTask:
        """Process one photo."""
        return self._stages.prepare(data)


class Infer(Worker):  # type: ignore[misc]
    """Runs the network."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages()

    def forward(self, data: list[FaceTask]) -> list[Predicted]:
        """Process one batch."""
        return self._stages.infer(data)


class Build(Raw):
    """Builds the mesh."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages(network=False)

    def forward(self, data: Predicted) -> bytes:
        """Process one face."""
        return self._stages.build(data)


class Whole(Raw):
    """Runs all stages."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages()

    def forward(self, data: bytes) -> bytes:
        """Process one photo."""
        return self._stages.build(self._stages.infer([self._stages.prepare(data)])[0])


def main() -> None:
    """Serve until ended; Mosec reads further arguments (``--port``, ``--timeout``) itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, required=True, help="processes of each stage")
    parser.add_argument("--stages", type=int, choices=(1, 3), default=3)
    args, _ = parser.parse_known_args()
    server = Server()
    if args.stages == 1:
        server.append_worker(Whole, num=args.cores, timeout=TASK_SECONDS)
    else:
        server.append_worker(Prepare, num=args.cores, timeout=TASK_SECONDS)
        server.append_worker(
            Infer,
            num=args.cores,
            max_batch_size=MAX_BATCH,
            max_wait_time=BATCH_WAIT,
            timeout=TASK_SECONDS,
        )
        server.append_worker(Build, num=args.cores, timeout=TASK_SECONDS)
    server.run()


if __name__ == "__main__":
    main()

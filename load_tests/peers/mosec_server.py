"""The stages behind Mosec, as its documentation has it: a pipeline of worker processes with
dynamic batching in front of the network, or, with ``--stages 1``, processes that do all of it.

On a CPU one thread runs one batch, so as many processes as cores run the network. Photos come as
the body of a POST and meshes go back as one; between stages Mosec pickles.
"""

from __future__ import annotations

import argparse

from mosec import Server, Worker

from .stages import MAX_BATCH, Face, Stages

# The least there is, milliseconds: a batch that waits longer gains nothing on a CPU.
BATCH_WAIT = 1
# Of one task, seconds: a worker that takes longer is killed. Otherwise that is a call's timeout.
TASK_SECONDS = 20


class Raw(Worker):  # type: ignore[misc]
    """Bytes in and bytes out of the pipeline, not JSON."""

    resp_mime_type = "model/gltf-binary"

    def deserialize(self, data: bytes) -> bytes:
        """The photo."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """The mesh."""
        return data


class Prepare(Raw):
    """Bytes → crop."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages(network=False)

    def forward(self, data: bytes) -> Face:
        """One photo."""
        return self._stages.prepare(data)


class Infer(Worker):  # type: ignore[misc]
    """Crops → volumes."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages()

    def forward(self, data: list[Face]) -> list[Face]:
        """One batch."""
        return self._stages.infer(data)


class Build(Raw):
    """Volume → mesh."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages(network=False)

    def forward(self, data: Face) -> bytes:
        """One face."""
        return self._stages.build(data)


class Whole(Raw):
    """Bytes → mesh."""

    def __init__(self) -> None:
        super().__init__()
        self._stages = Stages()

    def forward(self, data: bytes) -> bytes:
        """One photo."""
        return self._stages.build(self._stages.infer([self._stages.prepare(data)])[0])


def main() -> None:
    """Serve; Mosec reads further arguments (``--port``, ``--timeout``) itself."""
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

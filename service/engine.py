"""Crops → volumes: the network in ONNX Runtime. Knows nothing of queues or requests."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .grid import CROP_SIDE, F32, GRIDS, U8, Level
from .model import Model, ModelError
from .session import CPU, Choice, Session, Setup, out_of_memory

log = logging.getLogger(__name__)

BUCKETS: Final = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of a face.

    Attributes:
        volumes: occupancy, (depth, height, width) uint8, by level.
        landmarks: (68, 3) float32 in crop coordinates, or None.
        pose: (3, 4) float32 from the head's own frame to crop coordinates, or None.
        landmark_error: (68,) float32 expected error of each landmark, crop pixels, or None.
        sound: whether all that it says are numbers.
    """

    volumes: Mapping[Level, U8]
    landmarks: F32 | None = None
    pose: F32 | None = None
    landmark_error: F32 | None = None
    sound: bool = True


class Engine:
    """A loaded network.

    Args:
        model: what to load.
        provider: see :class:`session.Setup`.
        threads: of the CPU provider.
        max_batch: faces in one run; 0 picks 32 on a GPU, 4 on the CPU.
        in_flight: runs at a time; 0 picks 2 on a GPU, so that copies overlap with computing, and
            as many as the cores have threads for on the CPU.
        cores: of the CPU.
        engine_cache: see :class:`session.Setup`.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: Model,
        *,
        provider: Choice = "auto",
        threads: int = 1,
        max_batch: int = 0,
        in_flight: int = 0,
        cores: int = 1,
        engine_cache: str = "",
    ) -> None:
        self.model = model
        self._session = Session(model.onnx, Setup(provider, threads, engine_cache), model.input)
        self.provider = self._session.provider
        on_cpu = self.provider == CPU
        # On the CPU larger batches gain nothing but memory.
        self.max_batch = max_batch or (4 if on_cpu else 32)
        self.in_flight = in_flight or (max(1, cores // threads) if on_cpu else 2)
        # Runs on a CPU have cores of their own; those on a GPU take turns.
        self.lanes = self.in_flight if on_cpu else 1
        # Lowered when the device's memory is not enough for more.
        self._most = self.max_batch

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes the engine is warmed for."""
        return (*(b for b in BUCKETS if b < self.max_batch), self.max_batch)

    def rows(self, count: int) -> int:
        """Rows computed for ``count`` faces."""
        # On the CPU an empty row costs as much as a face; on a GPU a new shape costs more.
        if self.provider == CPU:
            return count
        return next(bucket for bucket in self.buckets if bucket >= count)

    def run(self, crops: Sequence[U8], levels: Sequence[Level]) -> list[Prediction]:
        """Run the network: once, or in parts where the device has no memory for all of them.

        Args:
            crops: 1 to ``max_batch`` pictures, (192, 192, 3) uint8 RGB.
            levels: the predicted levels wanted; see :meth:`Model.source`.

        Returns:
            For each crop what the network says of it.

        Raises:
            ModelError: the network gave something else than its card says.
        """
        if len(crops) > self._most:
            half = len(crops) // 2
            return self.run(crops[:half], levels) + self.run(crops[half:], levels)
        try:
            return self._run(crops, levels)
        except Exception as error:
            if len(crops) == 1 or not out_of_memory(error):
                raise
            self._most = min(self._most, len(crops) // 2)
            log.warning("no memory for %d faces, now at most %d: %s", len(crops), self._most, error)
            return self.run(crops, levels)

    def _run(self, crops: Sequence[U8], levels: Sequence[Level]) -> list[Prediction]:
        model = self.model
        batch = np.zeros((self.rows(len(crops)), CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for row, crop in zip(batch, crops, strict=False):
            row[...] = crop
        names = [model.outputs[level] for level in levels]
        extras = (model.landmarks, model.pose, model.landmark_error)
        names += [name for name in extras if name is not None]
        values = self._session.run(batch, names)
        for level in levels:
            volumes = values[model.outputs[level]]
            if volumes.shape != (len(batch), *GRIDS[level].shape) or volumes.dtype != np.uint8:
                raise ModelError(f"the network gave {volumes.dtype} {volumes.shape}")
        return [
            _prediction(
                # Copies: a view would keep the whole batch in memory for its slowest face.
                {level: values[model.outputs[level]][row].copy() for level in levels},
                [None if name is None else values[name][row] for name in extras],
            )
            for row in range(len(crops))
        ]

    def warm_up(self) -> None:
        """Run every bucket once, so that no request pays for a first time."""
        crop = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for bucket in self.buckets:
            self.run([crop] * bucket, self.model.levels)


def _prediction(volumes: Mapping[Level, U8], extras: Sequence[F32 | None]) -> Prediction:
    landmarks, pose, error = extras
    sound = all(value is None or bool(np.isfinite(value).all()) for value in extras)
    return Prediction(volumes, landmarks, pose, error, sound)

"""Crops → volumes: the network in ONNX Runtime. Knows nothing of queues or requests."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protome.geometry import CROP_SIDE, F32, GRIDS, U8, Level

from .cap import Cap
from .card import Model, ModelError
from .session import CPU, Choice, Runner, Session, Setup, out_of_memory

log = logging.getLogger(__name__)

BUCKETS: Final = (1, 2, 4, 8, 16, 32)
# Crop pixels beyond which nothing the network says of a face is about that face.
ABSURD: Final = 1e5


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of a face.

    Attributes:
        volumes: occupancy, (depth, height, width) uint8, by level.
        landmarks: (68, 3) float32 in crop coordinates, or None.
        pose: (3, 4) float32 from the head's own frame to crop coordinates, or None.
        landmark_error: (68,) float32 expected error of each landmark, crop pixels, or None.
        sound: whether all that it says are numbers that can be meant: finite, no axis of length 0,
            no negative error.
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
        max_batch: faces in one run; 0 picks 32 on a GPU, 2 on the CPU.
        in_flight: runs at a time; 0 picks 2 on a GPU, so that copies overlap with computing, and
            as many as the cores have threads for on the CPU.
        cores: of the CPU.
        engine_cache: see :class:`session.Setup`.
        session: what runs the network; None loads ``model.onnx``.

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
        session: Runner | None = None,
    ) -> None:
        self.model = model
        self.session = session or Session(model.onnx, Setup(provider, threads, engine_cache))
        self.provider = self.session.provider
        on_cpu = self.provider == CPU
        # On the CPU larger batches gain nothing: each face in them waits for all.
        self.max_batch = max_batch or (2 if on_cpu else 32)
        self.in_flight = in_flight or (max(1, cores // threads) if on_cpu else 2)
        # Runs on a CPU have cores of their own; those on a GPU take turns.
        self.lanes = self.in_flight if on_cpu else 1
        self._cap = Cap(self.max_batch)
        # ONNX Runtime keeps what its runs took at the same time: 120 MB for each large volume.
        self._large: AbstractContextManager[object] = (
            threading.Lock() if on_cpu else contextlib.nullcontext()
        )

    @property
    def cap(self) -> int:
        """Faces run at a time: fewer than ``max_batch`` for a while after memory was not enough."""
        return self._cap.value

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

    def run(self, crops: Sequence[U8], wanted: Sequence[Collection[Level]]) -> list[Prediction]:
        """Run the network: once, or in parts where there is no memory for all of them.

        Args:
            crops: 1 to ``max_batch`` pictures, (192, 192, 3) uint8 RGB.
            wanted: of each the predicted levels; see :meth:`Model.source`.

        Returns:
            For each crop what the network says of it.

        Raises:
            ModelError: the network gave something else than its card says.
        """
        if len(crops) > self._cap.value or self._heavy(wanted):
            half = len(crops) // 2
            return self.run(crops[:half], wanted[:half]) + self.run(crops[half:], wanted[half:])
        try:
            predictions = self._run(crops, wanted)
        except Exception as error:
            if len(crops) == 1 or not out_of_memory(error):
                raise
            self._cap.failed(len(crops))
            log.warning("no memory for %d faces, now at most %d: %s", len(crops), self.cap, error)
            return self.run(crops, wanted)
        self._cap.worked()
        return predictions

    def _heavy(self, wanted: Sequence[Collection[Level]]) -> bool:
        """Whether a run would have large volumes of several faces: batches gain nothing on the
        CPU."""
        return self.provider == CPU and sum(map(self.model.large, wanted)) > 1

    def _feeds(
        self, crops: Sequence[U8], wanted: Sequence[Collection[Level]]
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[Level, Sequence[int]]]:
        """What the network is given, and of which rows of the batch it has volumes of a level."""
        model = self.model
        count = self.rows(len(crops))
        if count == 1:
            batch = crops[0][None]
        else:
            batch = np.zeros((count, CROP_SIDE, CROP_SIDE, 3), np.uint8)
            for row, crop in zip(batch, crops, strict=False):
                row[...] = crop
        feeds: dict[str, npt.NDArray[Any]] = {model.input: batch}
        rows: dict[Level, Sequence[int]] = {}
        for level in model.levels:
            rows[level] = range(count)
            if level in model.rows:
                rows[level] = [row for row, own in enumerate(wanted) if level in own]
                feeds[model.rows[level]] = np.array(rows[level], np.int64)
        return feeds, rows

    def _run(self, crops: Sequence[U8], wanted: Sequence[Collection[Level]]) -> list[Prediction]:
        model = self.model
        feeds, rows = self._feeds(crops, wanted)
        count = len(feeds[model.input])
        levels = sorted({level for own in wanted for level in own})
        if not model.outputs.keys() >= set(levels):
            raise ModelError(f"the network gives {model.levels}, not {levels}")
        names = [model.outputs[level] for level in levels]
        extras = (
            (model.landmarks, (68, 3)),
            (model.pose, (3, 4)),
            (model.landmark_error, (68,)),
        )
        names += [name for name, _ in extras if name is not None]
        turn = self._large if any(map(model.large, wanted)) else contextlib.nullcontext()
        with turn:
            values = self.session.run(feeds, names)
        for name, shape in extras:
            if name is not None and values[name].shape != (count, *shape):
                raise ModelError(f"the network gave {name} of {values[name].shape}")
        for level in levels:
            volumes = values[model.outputs[level]]
            if (
                volumes.shape != (len(rows[level]), *GRIDS[level].shape)
                or volumes.dtype != np.uint8
            ):
                raise ModelError(f"the network gave {volumes.dtype} {volumes.shape}")
        return [
            _prediction(
                {
                    level: _row(values[model.outputs[level]], rows[level].index(row))
                    for level in wanted[row]
                },
                [None if name is None else values[name][row] for name, _ in extras],
            )
            for row in range(len(crops))
        ]

    def warm_up(self) -> None:
        """Run every bucket once, and a face of all levels, so that no request pays for a first
        time."""
        crop, levels = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8), self.model.levels
        usual = [level for level in levels if level not in self.model.rows]
        for bucket in self.buckets:
            self.run([crop] * bucket, [levels if bucket == 1 else usual] * bucket)


def _row(batch: U8, row: int) -> U8:
    """A face's part, in memory of its own: a view would keep the others' too."""
    own: U8 = batch[0] if len(batch) == 1 else batch[row].copy()
    return own


def _prediction(volumes: Mapping[Level, U8], extras: Sequence[F32 | None]) -> Prediction:
    landmarks, pose, error = extras
    # Written so that NaN fails.
    sound = all(value is None or bool((np.abs(value) < ABSURD).all()) for value in extras)
    if pose is not None:
        sound = sound and bool(np.abs(pose[:, :3]).max(axis=0).min() > 0)
    if error is not None:
        sound = sound and bool((error >= 0).all())
    return Prediction(volumes, landmarks, pose, error, sound)

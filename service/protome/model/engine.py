"""Run the network on crops in ONNX Runtime. Knows nothing of queues or requests."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from protome.geometry import CROP_SIDE, F32, HAIR_SHAPE, U8

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
        vertices: (N, 3) float32, the posed head's vertices in crop coordinates.
        hair: (42, 52, 52) uint8 by z, y and x: the probability, times 255, that a cell is hair,
            headgear or another part of the person's head outside the skin.
        landmarks: (68, 3) float32 in crop coordinates, or None.
        pose: (3, 4) float32 from the head's own frame to crop coordinates, or None.
        landmark_error: (68,) float32 expected error of each landmark, crop pixels, or None.
        covered: (3,) float32 shares of eyes, nose, and mouth with chin that something hides, or
            None.
        sound: whether all that it says are numbers that can be meant: finite, no axis of length 0,
            no negative error.
    """

    vertices: F32
    hair: U8
    landmarks: F32 | None = None
    pose: F32 | None = None
    landmark_error: F32 | None = None
    covered: F32 | None = None
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

    @property
    def cap(self) -> int:
        """Faces run at a time: fewer than ``max_batch`` for a while after memory was not enough."""
        return self._cap.value

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes the engine is warmed for."""
        return (*(b for b in BUCKETS if b < self.max_batch), self.max_batch)

    def rows(self, count: int) -> int:
        """Return the rows that are computed for ``count`` faces."""
        # On the CPU an empty row costs as much as a face; on a GPU a new shape costs more.
        if self.provider == CPU:
            return count
        return next(bucket for bucket in self.buckets if bucket >= count)

    def run(self, crops: Sequence[U8]) -> list[Prediction]:
        """Run the network: once, or in parts where there is no memory for all of them.

        Args:
            crops: 1 to ``max_batch`` pictures, (208, 208, 3) uint8 RGB.

        Returns:
            For each crop what the network says of it.

        Raises:
            ModelError: the network gave something else than its card says.
        """
        if len(crops) > self._cap.value:
            half = len(crops) // 2
            return self.run(crops[:half]) + self.run(crops[half:])
        try:
            predictions = self._run(crops)
        except Exception as error:
            if len(crops) == 1 or not out_of_memory(error):
                raise
            self._cap.failed(len(crops))
            log.warning("no memory for %d faces, now at most %d: %s", len(crops), self.cap, error)
            return self.run(crops)
        self._cap.worked()
        return predictions

    def _run(self, crops: Sequence[U8]) -> list[Prediction]:
        count = self.rows(len(crops))
        outputs = self._outputs()
        names = [name for name, _, _ in outputs.values()]
        values = self.session.run({self.model.input: _batch(crops, count)}, names)
        for name, shape, dtype in outputs.values():
            value = values[name]
            if value.shape != (count, *shape) or value.dtype != dtype:
                raise ModelError(f"the network gave {name} as {value.dtype} {value.shape}")
        return [
            _prediction({part: _row(values[name], row) for part, (name, _, _) in outputs.items()})
            for row in range(len(crops))
        ]

    def _outputs(self) -> dict[str, tuple[str, tuple[int, ...], type[np.generic]]]:
        """Return name, shape for a face and type of the output for each part of a prediction."""
        model = self.model
        outputs: dict[str, tuple[str | None, tuple[int, ...], type[np.generic]]] = {
            "vertices": (model.vertices, (model.vertex_count, 3), np.float32),
            "hair": (model.hair, HAIR_SHAPE, np.uint8),
            "landmarks": (model.landmarks, (68, 3), np.float32),
            "pose": (model.pose, (3, 4), np.float32),
            "landmark_error": (model.landmark_error, (68,), np.float32),
            "covered": (model.covered, (3,), np.float32),
        }
        return {
            part: (name, shape, dtype)
            for part, (name, shape, dtype) in outputs.items()
            if name is not None
        }

    def warm_up(self) -> None:
        """Run every bucket once, so that no request pays for a first time."""
        crop = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for bucket in self.buckets:
            self.run([crop] * bucket)


def _batch(crops: Sequence[U8], count: int) -> U8:
    """Stack crops; rows up to ``count`` that are left are black."""
    if count == 1:
        return crops[0][None]
    batch = np.zeros((count, CROP_SIDE, CROP_SIDE, 3), np.uint8)
    for row, crop in zip(batch, crops, strict=False):
        row[...] = crop
    return batch


def _row(values: npt.NDArray[Any], row: int) -> npt.NDArray[Any]:
    """Return a face's part in memory of its own: a view would keep the others' too."""
    own: npt.NDArray[Any] = values[0] if len(values) == 1 else values[row].copy()
    return own


def _prediction(parts: Mapping[str, npt.NDArray[Any]]) -> Prediction:
    # Written so that NaN fails.
    sound = all(bool((np.abs(parts[name]) < ABSURD).all()) for name in parts if name != "hair")
    if "pose" in parts:
        sound = sound and bool(np.abs(parts["pose"][:, :3]).max(axis=0).min() > 0)
    if "landmark_error" in parts:
        sound = sound and bool((parts["landmark_error"] >= 0).all())
    return Prediction(**parts, sound=sound)

"""Crops → volumes: the network in ONNX Runtime. Knows nothing of queues or requests."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import onnxruntime as ort

from .grid import CROP_SIDE, F32, GRIDS, U8, Level
from .model import Model, ModelError

log = logging.getLogger(__name__)

CUDA: Final = "CUDAExecutionProvider"
CPU: Final = "CPUExecutionProvider"
BUCKETS: Final = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says of a face.

    Attributes:
        volumes: occupancy, (depth, height, width) uint8, by level.
        landmarks: (68, 3) float32 in crop coordinates, or None.
        pose: (3, 4) float32 from the head's own frame to crop coordinates, or None.
    """

    volumes: Mapping[Level, U8]
    landmarks: F32 | None = None
    pose: F32 | None = None


class Engine:
    """A loaded network.

    Args:
        model: what to load.
        provider: "cuda" insists on it, "auto" takes it where it works.
        threads: of the CPU provider.
        max_batch: faces in one run; 0 picks 32 on CUDA, 4 on the CPU.

    Raises:
        ModelError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: Model,
        *,
        provider: Literal["auto", "cpu", "cuda"] = "auto",
        threads: int = 1,
        max_batch: int = 0,
    ) -> None:
        self.model = model
        self._session = _session(model, provider, threads)
        self.provider: str = self._session.get_providers()[0]
        # On the CPU larger batches gain nothing but memory.
        self.max_batch = max_batch or (32 if self.provider == CUDA else 4)

    @property
    def buckets(self) -> tuple[int, ...]:
        """Batch sizes the engine is warmed for."""
        return (*(b for b in BUCKETS if b < self.max_batch), self.max_batch)

    def run(self, crops: Sequence[U8], levels: Sequence[Level]) -> list[Prediction]:
        """Run the network once.

        Args:
            crops: 1 to ``max_batch`` pictures, (192, 192, 3) uint8 RGB.
            levels: the predicted levels wanted; see :meth:`Model.source`.

        Returns:
            For each crop what the network says of it.

        Raises:
            ModelError: the network gave something else than its card says.
        """
        model = self.model
        batch = np.zeros((self._padded(len(crops)), CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for row, crop in zip(batch, crops, strict=False):
            row[...] = crop
        names = [model.outputs[level] for level in levels]
        names += [name for name in (model.landmarks, model.pose) if name is not None]
        # Levels nobody asked for are not computed.
        options = ort.RunOptions()
        options.only_execute_path_to_fetches = True
        results = self._session.run(names, {model.input: batch}, options)
        values = dict(zip(names, results, strict=True))
        for level in levels:
            volumes = values[model.outputs[level]]
            if volumes.shape[1:] != GRIDS[level].shape or volumes.dtype != np.uint8:
                raise ModelError(f"the network gave {volumes.dtype} {volumes.shape}")
        return [
            Prediction(
                # Copies: a view would keep the whole batch in memory for its slowest face.
                {level: values[model.outputs[level]][row].copy() for level in levels},
                None if model.landmarks is None else values[model.landmarks][row],
                None if model.pose is None else values[model.pose][row],
            )
            for row in range(len(crops))
        ]

    def warm_up(self) -> None:
        """Run every bucket once, so that no request pays for a first time."""
        crop = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for bucket in self.buckets:
            self.run([crop] * bucket, self.model.levels)

    def _padded(self, count: int) -> int:
        # On the CPU an empty row costs as much as a face; on CUDA a new shape costs more.
        if self.provider == CPU:
            return count
        return next(bucket for bucket in self.buckets if bucket >= count)


def _session(model: Model, provider: str, threads: int) -> ort.InferenceSession:
    wanted = provider == "cuda" or (provider == "auto" and _has_gpu())
    if wanted and CUDA in ort.get_available_providers():
        with contextlib.suppress(Exception):
            # CUDA and cuDNN from wheels (the [cuda] extra) are not on the loader's path.
            ort.preload_dlls()
        try:
            session = ort.InferenceSession(
                model.onnx, _options(1), providers=[(CUDA, {"cudnn_conv_algo_search": "HEURISTIC"})]
            )
        except Exception as error:
            if provider == "cuda":
                raise ModelError(f"the CUDA provider does not work: {error}") from None
            log.info("no CUDA here: %s", error)
        else:
            if session.get_providers()[0] == CUDA:
                return session
    if provider == "cuda":
        raise ModelError("the CUDA provider does not work on this machine")
    try:
        return ort.InferenceSession(model.onnx, _options(threads), providers=[CPU])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {error}") from None


def _has_gpu() -> bool:
    """Whether an NVIDIA driver is there: asking CUDA itself is slow and loud where it is not."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Spinning threads would take the cores from the workers between runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options

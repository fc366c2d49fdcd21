"""Compare an exported model with the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

_BUCKETS = (1, 2, 4, 8)


@dataclass
class Parity:
    """Agreement of the exported model with the network on a set of crops.

    Attributes:
        batch: of the exported model's runs.
        vertices: mean distance of its vertices, px.
        worst: that of the worst crop.
        hair: share of the cells, of the worst crop, that are hair in one only.
        landmarks: mean distance, px.
    """

    batch: int
    vertices: float
    worst: float
    hair: float
    landmarks: float


def parity(network: nn.Module, path: Path, crops: NDArray[np.uint8]) -> Iterator[Parity]:
    """Compare the model, as the service runs it on the CPU, with the network.

    Args:
        network: the ``ServedNet``.
        path: the ONNX file.
        crops: (n, 208, 208, 3) uint8 RGB.

    Yields:
        The agreement per batch size.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        outputs = [network(torch.from_numpy(crop[None]))[:3] for crop in crops]
    want = [torch.cat(part).numpy() for part in zip(*outputs, strict=True)]
    for batch in _BUCKETS:
        parts = [
            session.run(["vertices", "hair", "landmarks"], {"crops": crops[i : i + batch]})
            for i in range(0, len(crops), batch)
        ]
        got = [np.concatenate(part) for part in zip(*parts, strict=True)]
        off = np.linalg.norm(got[0] - want[0], axis=-1).mean(1)
        cells = ((got[1] > 127) != (want[1] > 127)).mean((1, 2, 3))
        far = np.linalg.norm(got[2] - want[2], axis=-1)
        figures = off.mean(), off.max(), cells.max(), far.mean()
        yield Parity(batch, *map(float, figures))

"""Compare an exported model, in FP16 and widened to FP32, with the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from torch import nn

from protome_export.training.geometry import DEPTH

_BUCKETS = (1, 2, 4, 8)
# The input with the crops (rows) of which FINE is computed.
ROWS = "fine_rows"


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the FP16 model in FP32, as the service runs it on the CPU.

    Initialisers are widened, and casts to FP16 become casts to FP32.
    """
    out = onnx.ModelProto()
    out.CopyFrom(model)
    for tensor in out.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            wide = numpy_helper.from_array(
                numpy_helper.to_array(tensor).astype(np.float32), tensor.name
            )
            tensor.CopyFrom(wide)
    half = TensorProto.FLOAT16
    for node in out.graph.node:
        for attribute in node.attribute:
            to = node.op_type == "Cast" and attribute.name == "to"
            if to and attribute.i == half:
                attribute.i = TensorProto.FLOAT
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == half:
                value = numpy_helper.to_array(attribute.t).astype(np.float32)
                attribute.t.CopyFrom(numpy_helper.from_array(value))
    del out.graph.value_info[:]
    return out


@dataclass
class Parity:
    """Agreement of the exported model with the float32 network on a set of crops; px."""

    batch: int
    precision: str
    level: str
    iou: float
    distance: float
    landmarks: float


def front_depth(occupancy: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the depth of the first surface along z, (n, h, w) px; NaN if a column is empty."""
    inside = occupancy > 127
    k = inside.argmax(1)
    at = np.take_along_axis(occupancy, k[:, None], 1)[:, 0] / np.float32(255)
    before = np.take_along_axis(occupancy, np.maximum(k - 1, 0)[:, None], 1)[:, 0] / np.float32(255)
    before = np.where(k == 0, 0, before)
    depth = k - 0.5 + (0.5 - before) / np.maximum(at - before, 1e-6)
    slices = DEPTH / occupancy.shape[1]
    return np.where(inside.any(1), depth * slices, np.nan).astype(np.float32)


def compare(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float, float]:
    """Compare two stacks of occupancy.

    Returns:
        Smallest IoU, and mean distance of the front surfaces, px.
    """
    inside_a, inside_b = a > 127, b > 127
    union = (inside_a | inside_b).sum((1, 2, 3))
    iou = (inside_a & inside_b).sum((1, 2, 3)) / np.maximum(union, 1)
    gap = np.abs(front_depth(a) - front_depth(b))
    return float(iou.min()), float(np.nanmean(np.minimum(gap, 20)))


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def parity(network: nn.Module, path: Path, crops: NDArray[np.uint8]) -> Iterator[Parity]:
    """Compare the model, as stored and widened to FP32, with a float32 ``ServedNet``.

    Args:
        network: the float32 ``ServedNet``.
        path: the ONNX file.
        crops: (n, 192, 192, 3) uint8 RGB.

    Yields:
        The agreement per precision and batch size. FINE, which is large, is compared on the last
        crop of each batch only.
    """
    model = onnx.load(str(path))
    sessions = {"fp16": _session(model), "fp32": _session(widen(model))}
    names = ["occupancy", "fine", "landmarks"]
    with torch.no_grad():
        wants = [network(torch.from_numpy(crop[None]), torch.tensor([0])) for crop in crops]
    for batch in _BUCKETS:
        for precision, session in sessions.items():
            agreed: dict[str, list[tuple[float, float]]] = {"STANDARD": [], "FINE": []}
            far = []
            for i in range(0, len(crops), batch):
                part, want = crops[i : i + batch], wants[i : i + batch]
                row = np.array([len(part) - 1])
                standard, fine, landmarks = session.run(names, {"crops": part, ROWS: row})
                agreed["STANDARD"].append(
                    compare(standard, torch.cat([w[0] for w in want]).numpy())
                )
                agreed["FINE"].append(compare(fine, want[-1][1].numpy()))
                apart = landmarks - torch.cat([w[2] for w in want]).numpy()
                far.append(np.linalg.norm(apart, axis=-1).mean(1))
            gap = float(np.concatenate(far).mean())
            for level, pairs in agreed.items():
                iou, distance = min(p[0] for p in pairs), float(np.mean([p[1] for p in pairs]))
                yield Parity(batch, precision, level, iou, distance, gap)

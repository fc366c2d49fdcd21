"""FP16 models on the CPU: float32 throughout, the same answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
from onnx import GraphProto, TensorProto, helper, numpy_helper

from protome.model import Model
from protome.precision import widen

from .shapes import seeded


def small_network() -> onnx.ModelProto:
    """float32 in, a convolution and a branch in float16, float32 out."""
    rng = seeded(1)
    kernel = numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float16), "kernel")
    half = numpy_helper.from_array(np.array(0.5, np.float16), "half")
    branches = [
        helper.make_graph(
            [
                helper.make_node("Constant", [], ["c"], value=helper.make_tensor(
                    "v", TensorProto.FLOAT16, [1], np.array([value], np.float16).tobytes(), raw=True
                )),
                helper.make_node("Add", ["conv", "c"], ["sum"]),
            ],
            name,
            [],
            [helper.make_tensor_value_info("sum", TensorProto.FLOAT16, None)],
        )
        for name, value in (("yes", 1.0), ("no", -1.0))
    ]  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["x16"], to=TensorProto.FLOAT16),
        helper.make_node("Conv", ["x16", "kernel"], ["conv"]),
        helper.make_node("ReduceMax", ["conv"], ["top"], keepdims=0),
        helper.make_node("Greater", ["top", "half"], ["high"]),
        helper.make_node(
            "If", ["high"], ["branch"], then_branch=branches[0], else_branch=branches[1]
        ),
        helper.make_node("Cast", ["branch"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 14, 14])],
        [kernel, half],
        value_info=[helper.make_tensor_value_info("conv", TensorProto.FLOAT16, [1, 4, 14, 14])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def element_types(graph: GraphProto) -> Iterator[int]:
    """Every element type that a graph names."""
    yield from (tensor.data_type for tensor in graph.initializer)
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.type.tensor_type.elem_type
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "to":
                yield attribute.i
            if attribute.HasField("t"):
                yield attribute.t.data_type
            if attribute.HasField("g"):
                yield from element_types(attribute.g)


def run(data: bytes, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def test_nothing_of_float16_is_left_not_even_in_branches() -> None:
    narrow = small_network()
    assert TensorProto.FLOAT16 in set(element_types(narrow.graph))
    wide = onnx.load_from_string(widen(narrow.SerializeToString()))
    onnx.checker.check_model(wide, full_check=True)
    assert TensorProto.FLOAT16 not in set(element_types(wide.graph))


def test_the_answer_is_the_same() -> None:
    narrow = small_network().SerializeToString()
    x = seeded(2).normal(size=(1, 3, 16, 16)).astype(np.float32)
    np.testing.assert_allclose(run(widen(narrow), x), run(narrow, x), atol=0.05)


def test_a_float32_model_is_left_as_it_is() -> None:
    wide = widen(small_network().SerializeToString())
    assert widen(wide) == wide


def test_the_shipped_network_gives_the_same_occupancy(model: Model) -> None:
    wide = widen(model.onnx)
    graph = onnx.load_from_string(wide).graph
    assert TensorProto.FLOAT16 not in set(element_types(graph))
    crop = seeded(3).integers(0, 256, (1, 192, 192, 3), dtype=np.uint8)
    apart = np.abs(run(wide, crop).astype(int) - run(model.onnx, crop))
    assert apart.mean() < 0.5
    assert np.quantile(apart, 0.999) <= 8

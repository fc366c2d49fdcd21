"""What can be known without a GPU about the shipped network on ONNX Runtime's CUDA provider."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, shape_inference

from load_tests.gpu.crops import sample_crops
from protome.model.card import SHIPPED

OPSET: Final = 18

# Types of the inputs that a kernel of the CUDA provider takes at opset 18, as far as the network
# needs them: from docs/OperatorKernels.md of ONNX Runtime, which is generated from its registry.
# These operators ran on an H100 with protome-guided 1.4.1 (load_tests/report/gpu.md), some of those
# with INT64, which compute shapes, on the CPU ...
RAN: Final = {
    "Abs": "FLOAT",
    "Add": "FLOAT FLOAT16",
    "AveragePool": "FLOAT16",
    "Cast": "FLOAT FLOAT16 UINT8",
    "Clip": "FLOAT",
    "Concat": "FLOAT FLOAT16 INT64",
    "ConstantOfShape": "INT64",
    "Conv": "FLOAT16",
    "Div": "FLOAT",
    "Expand": "FLOAT FLOAT16 INT64",
    "Flatten": "FLOAT FLOAT16",
    "Gather": "FLOAT INT64",
    "Gemm": "FLOAT FLOAT16",
    "MatMul": "FLOAT",
    "Max": "FLOAT",
    "Mul": "FLOAT FLOAT16 INT64",
    "Reciprocal": "FLOAT",
    "ReduceMin": "FLOAT INT64",
    "ReduceSum": "FLOAT INT64",
    "Relu": "FLOAT FLOAT16",
    "Reshape": "FLOAT FLOAT16 INT64",
    "Resize": "FLOAT FLOAT16",
    "Shape": "FLOAT FLOAT16 INT64",
    "Slice": "FLOAT INT64",
    "Softmax": "FLOAT",
    "Sqrt": "FLOAT",
    "Sub": "FLOAT FLOAT16",
    "Transpose": "FLOAT UINT8",
    "Unsqueeze": "FLOAT INT64",
}
# ... and these have not run on a GPU yet.
NOT_RAN: Final = {
    "AveragePool": "FLOAT",
    "Cast": "BOOL INT64",
    "Conv": "FLOAT",
    "Exp": "FLOAT",
    "Greater": "FLOAT",
    "GridSample": "FLOAT",
    "HardSwish": "FLOAT",
    "Log": "FLOAT",
    "MaxPool": "FLOAT",
    "Neg": "FLOAT",
    "Pad": "FLOAT INT64",
    "ReduceL2": "FLOAT INT64",
    "ReduceMean": "FLOAT INT64",
    "Sigmoid": "FLOAT",
    "Split": "FLOAT INT64",
    "Squeeze": "FLOAT INT64",
}
# Types of the results where the inputs do not say them.
RESULTS: Final = {
    "Cast": {"FLOAT", "FLOAT16", "INT64", "UINT8"},
    "Constant": {"FLOAT", "FLOAT16", "INT32", "INT64"},
    "ConstantOfShape": {"FLOAT", "INT64"},
}
# They run parts of the graph, or wait for the GPU to learn the shape of their own result.
WAITING: Final = {"If", "Loop", "Scan", "NonZero", "Compress", "Unique", "NonMaxSuppression"}
# Inputs that CUDA kernels read in the CPU's memory, by operator.
HOST: Final = {
    "Clip": (1, 2),
    "ConstantOfShape": (0,),
    "CumSum": (1,),
    "Expand": (1,),
    "Pad": (1,),
    "ReduceL2": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(str(SHIPPED / "model.onnx"))


@pytest.fixture(scope="module")
def kinds(model: onnx.ModelProto) -> dict[str, str]:
    """Element type of each tensor by name."""
    graph = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    return {name: TensorProto.DataType.Name(kind) for name, kind in found.items()}


def pairs(table: dict[str, str]) -> set[tuple[str, str]]:
    return {(name, kind) for name, types in table.items() for kind in types.split()}


def test_every_operator_and_type_has_a_cuda_kernel(
    model: onnx.ModelProto, kinds: dict[str, str]
) -> None:
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    nodes = model.graph.node
    used = {(node.op_type, kinds[name]) for node in nodes for name in node.input if name}
    known = pairs(RAN) | pairs(NOT_RAN)
    assert not used - known
    assert not pairs(NOT_RAN) - used, "no longer needed"
    assert not pairs(RAN) & pairs(NOT_RAN)
    for node in nodes:
        assert {kinds[name] for name in node.output} <= RESULTS.get(
            node.op_type, {kinds[name] for name in node.input if name} | {"BOOL", "INT64"}
        )


def cuda_library() -> Path:
    return Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"


@pytest.mark.skipif(not cuda_library().exists(), reason="ONNX Runtime without CUDA")
def test_the_wheel_has_the_kernels_that_keep_their_names() -> None:
    """The registry cannot be asked without a GPU; names of C++ templates are in the library."""
    kernels = {
        "GridSample": b"N11onnxruntime7contrib4cuda10GridSampleIfLb0EEE",
        "HardSwish": b"N11onnxruntime4cuda9HardSwishIfEE",
    }
    with cuda_library().open("rb") as file:
        library = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        missing = [name for name, symbol in kernels.items() if library.find(symbol) < 0]
        library.close()
    assert not missing


def test_only_the_first_dimension_depends_on_the_batch(model: onnx.ModelProto) -> None:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shapes = {value.name: value.shape for value in session.get_inputs()}
    assert shapes == {"crops": ["n", 208, 208, 3]}
    found = []
    for batch in (1, 3):
        feeds = {"crops": sample_crops(batch)}
        found.append([value.shape for value in session.run(None, feeds)])
    one, three = ([shape[1:] for shape in shapes] for shapes in found)
    assert one == three
    # What the file says about its outputs is true.
    for output, shape in zip(session.get_outputs(), found[1], strict=True):
        assert isinstance(output.shape[0], str)
        stated = zip(output.shape, shape, strict=True)
        assert all(isinstance(said, str) or said == is_ for said, is_ in stated)


def on_the_gpu(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the tensors computed from the inputs' values; shapes are known without them."""
    found = {value.name for value in graph.input}
    for node in graph.node:
        if node.op_type != "Shape" and found.intersection(node.input):
            found.update(node.output)
    return iter(found)


def test_nothing_makes_the_gpu_wait_for_the_cpu(model: onnx.ModelProto) -> None:
    """No control flow, no results whose shape depends on values, and no kernel that reads a value
    computed on the GPU in the CPU's memory: such a value would be copied in each run.

    Arithmetic of shapes may run on the CPU, and ONNX Runtime puts it there: the shapes are known
    there, a few integers cost less than a kernel's launch, and kernels read them there.
    """
    nodes = model.graph.node
    assert not {node.op_type for node in nodes} & WAITING
    computed = set(on_the_gpu(model.graph))
    read = {
        f"{node.op_type} reads {node.input[k]}"
        for node in nodes
        for k in HOST.get(node.op_type, ())
        if k < len(node.input) and node.input[k] in computed
    }
    assert not read

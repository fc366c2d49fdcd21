"""A small network in the form of Face Mesh's file, with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def write_small_mesh(path: Path, presence: float = 10.0) -> None:
    """Write a network whose maps and outputs have the shapes of Face Mesh's.

    Its landmarks are constants, all at the window's centre; presence: its score.
    """
    random = np.random.default_rng(0)
    steps: list[list[Any]] = []
    weights: dict[str, np.ndarray] = {}

    def conv(source: int, target: int, shape: tuple[int, ...], stride: int, same: bool) -> int:
        index = len(steps)
        weights[f"w{index}"] = random.normal(0, 0.1, shape).astype(np.float32)
        weights[f"b{index}"] = np.zeros(shape[0], np.float32)
        steps.append(["conv", index, source, target, stride, same, 1])
        return index

    conv(0, 1, (8, 3, 3, 3), 2, True)
    steps.append(["pad", len(steps), 1, 2, 24])
    steps.append(["pool", len(steps), 2, 3])
    weights[f"a{len(steps)}"] = np.full(32, 0.25, np.float32)
    steps.append(["prelu", len(steps), 3, 53])
    conv(53, 83, (64, 32, 3, 3), 2, True)
    conv(83, 112, (128, 64, 3, 3), 2, True)
    steps.append(["add", len(steps), 112, 113, 112])
    conv(113, 141, (128, 128, 3, 3), 2, True)
    score = conv(141, 210, (1, 128, 6, 6), 1, False)
    points = conv(141, 213, (1404, 128, 6, 6), 1, False)
    for index in (score, points):
        weights[f"w{index}"][:] = 0
    weights[f"b{score}"][:] = presence
    weights[f"b{points}"][:] = np.tile([96.0, 96.0, 0.0], 468)
    np.savez(path, steps=json.dumps(steps), **weights)  # type: ignore[arg-type]

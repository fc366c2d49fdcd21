"""What a run keeps in its folder: shape space and weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def averages(checkpoint: Path) -> tuple[dict[str, Tensor], int]:
    """Read the averaged weights of a checkpoint, as FP32, and its step."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    weights = {k: v.float() if v.is_floating_point() else v for k, v in state["ema"].items()}
    return weights, int(state["step"])


def write_checkpoint(state: dict[str, Any], run: Path) -> None:
    """Write a run's checkpoint.pt; a reader finds the old one or the new one."""
    scratch = run / ".checkpoint.pt"
    torch.save(state, scratch)
    scratch.rename(run / "checkpoint.pt")


def follow(average: Mapping[str, Tensor], weights: Mapping[str, Tensor], keep: float) -> None:
    """Move averaged weights, in place, to ``keep`` of themselves and the rest of the new ones.

    Counters are copied.
    """
    mine, theirs = [], []
    with torch.no_grad():
        for own, new in zip(average.values(), weights.values(), strict=True):
            if own.dtype.is_floating_point:
                mine.append(own)
                theirs.append(new)
            else:
                own.copy_(new)
        torch._foreach_lerp_(mine, theirs, 1 - keep)


def space_of(folder: Path) -> Path:
    """Return the path of the shape space of a folder's weights: there or, shared, one folder up."""
    own = folder / "space.npz"
    return own if own.exists() else folder.parent / "space.npz"

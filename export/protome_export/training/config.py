"""Every setting of a run, in one dataclass that reads and writes TOML."""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Config:
    """Settings of a run; paths are relative to the working directory."""

    head: str = "tiny"
    data: str = ""
    shards: str = "shards"
    holdout: str = "holdout"
    out: str = "run"
    renderers: int = 0  # processes that render into shards while the run trains
    fresh: int = 100_000  # samples they render in all, at most 1,000,000 each
    shard: int = 512
    init: str = ""  # checkout of weights to start from
    seed: int = 0
    modes: int = 64
    space_heads: int = 1200
    coarse: int = 96
    decoder: tuple[int, int, int] = (1, 2, 64)
    code: int = 256
    facemesh: str = ""  # file of the pretrained trunk that sees windows
    selfie: str = ""  # file of the pretrained trunk that the hair network decodes
    facemesh_rate: float = 0.2  # of the learning rate, for its weights; 0: frozen
    batch: int = 32
    steps: int = 100_000
    minutes: float = 1e9  # stop, and anneal, by whichever ends first
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 100
    ema: float = 0.9985
    threads: int = 1
    loaders: int = 1
    amp: bool = False
    landmark_weight: float = 10.0
    vertex_weight: float = 10.0
    depth_weight: float = 0.0  # of depth behind the mean head's nearest point, beside the vertices'
    shape_weight: float = 1.0
    save_every: int = 500
    dropout: float = 0.0  # of the shape head's input
    landmark_beta: float = 0.05  # of the smooth L1 loss, over 96 px: L1 beyond it
    rotate_degrees: float = 9.0
    any_roll: float = 0.0  # share of crops turned by anything up to 90 degrees
    zoom: float = 0.08
    move: float = 5.0
    borders: float = 0.25  # share of crops with black borders
    covered: float = 0.2  # share of crops with a piece of another over them
    shaded: float = 0.35  # share of crops under uneven light


def learning_rate(config: Config, step: int, seconds: float) -> float:
    """Return the rate of a step: a cosine after a linear warm-up.

    The cosine runs over whichever of steps and minutes ends first.
    """
    part = max(step / config.steps, seconds / (config.minutes * 60))
    warm = min(1.0, (step + 1) / config.warmup)
    return config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * part))


def load_config(path: Path) -> Config:
    """Read TOML.

    Raises:
        ValueError: unknown keys.
    """
    values = tomllib.loads(path.read_text())
    known = {f.name for f in dataclasses.fields(Config)}
    if unknown := set(values) - known:
        raise ValueError(f"{path}: unknown settings {sorted(unknown)}")
    settings: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
    }
    return Config(**settings)


def dump_config(config: Config, path: Path) -> None:
    """Write a config as `load_config` reads it."""
    lines = []
    for key, value in dataclasses.asdict(config).items():
        if isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, str):
            text = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        elif isinstance(value, tuple):
            text = "[" + ", ".join(str(v) for v in value) + "]"
        else:
            text = repr(value)
        lines.append(f"{key} = {text}")
    path.write_text("\n".join(lines) + "\n")

"""Measure the contribution of each part of the network, with an unguided baseline.

The baseline is the idea of VRN (Jackson et al., ICCV 2017) on our trunk: convolutions predict the
volume directly, without landmarks, pose or template.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor, nn

from protome_export.training.config import Config
from protome_export.training.dataset import Batch, Loader, Samples
from protome_export.training.geometry import DEPTH, umeyama
from protome_export.training.network import GuidedNet, Output
from protome_export.training.shape_space import Poser, ShapeSpace
from protome_export.training.shards import Shard
from protome_export.training.trunk import Trunk, Widths

from .holdout import held_out, iou
from .metrics import balanced, surface_nme
from .photos import labelled, to_photo, to_uint8
from .service import Served, surface_of

Volumes = Callable[[Tensor], Tensor]


class UnguidedNet(nn.Module):
    """Map crops (B, 3, 192, 192), 0 to 1, to logits of occupancy (B, 100, 96, 96)."""

    def __init__(self, trunk: Trunk, widths: Widths) -> None:
        super().__init__()
        c = widths.decoder[2]
        self.trunk = trunk
        self.head = nn.Sequential(
            nn.Conv2d(c, 64, 3, padding=1), nn.ReLU(inplace=True), nn.Upsample(scale_factor=2.0),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True), nn.Upsample(scale_factor=2.0),
            nn.Conv2d(64, DEPTH, 3, padding=1),
        )  # fmt: skip

    def forward(self, crops: Tensor) -> Tensor:
        features, _ = self.trunk(crops)
        out: Tensor = self.head(features)
        return out


def true_volumes(net: GuidedNet, batch: Batch) -> Tensor:
    """Return the occupancy of a batch's heads, (B, 100, 96, 96)."""
    r, s, t = umeyama(batch.landmarks, net.canonical68)
    width = batch.landmarks[..., 0] * 0
    truth = Output(batch.landmarks, r, s, t, batch.coefficients, width)
    vertices, _ = net.placed(truth)
    volume: Tensor = net.voxeliser(vertices)
    return volume


def train_unguided(
    guided: GuidedNet, config: Config, samples: Samples, minutes: float
) -> tuple[UnguidedNet, int]:
    """Train a baseline that starts from the guided network's trunk.

    Args:
        guided: the trained network.
        config: settings of its run.
        samples: training samples.
        minutes: time to train.

    Returns:
        The baseline, and the number of steps.
    """
    widths = Widths(config.encoder, config.blocks, config.decoder, config.code)
    trunk = Trunk(widths)
    trunk.load_state_dict(guided.trunk.state_dict())
    net = UnguidedNet(trunk, widths).train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=config.weight_decay)
    loader = Loader(samples, config, config.seed + 5000)
    began, steps = time.monotonic(), 0
    while (part := (time.monotonic() - began) / (60 * minutes)) < 1 or steps == 0:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (0.5 + 0.5 * float(np.cos(np.pi * min(part, 1.0)))) + 1e-6
        batch = loader.next()
        with torch.no_grad():
            want = true_volumes(guided, batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.amp):
            logits = net(batch.crops)
        loss = fn.binary_cross_entropy_with_logits(logits.float(), want)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        steps += 1
        if steps % 50 == 0:
            print(f"unguided: step {steps}, loss {float(loss.detach()):.4f}", flush=True)
    return net.eval(), steps


def variants(guided: GuidedNet, unguided: UnguidedNet) -> dict[str, Volumes]:
    """Return a function per row: crops (n, 3, 192, 192) to occupancy (n, 100, 96, 96)."""

    def solid(out: Output, bare: bool) -> Tensor:
        volume: Tensor = guided.voxeliser(guided.placed(out, bare)[0])
        return volume

    return {
        "unguided volume, same trunk": lambda x: torch.sigmoid(unguided(x)),
        "posed mean head": lambda x: solid(guided(x), True),
        "posed mean head + residual": lambda x: solid(guided(x), False),
    }


@dataclass(frozen=True)
class Row:
    """Results of a variant: IoU on the hold-out, surface NME 68 by bin of yaw and balanced."""

    name: str
    iou: float
    bins: Sequence[float]
    nme: float


def _volume(volumes: Volumes, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    x = torch.from_numpy(crop[None].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return to_uint8(volumes(x)[0].numpy())


def holdout_iou(
    volumes: Volumes, shard: Shard, poser: Poser, space: ShapeSpace, count: int
) -> float:
    """Return the mean IoU over the first ``count`` samples of a shard."""
    found = [
        iou(true > 0.5, _volume(volumes, crop) > 127)
        for crop, _, true in held_out(shard, poser, space, count)
    ]
    return float(np.mean(found))


def photos_nme(
    volumes: Volumes, served: Served, folder: Path, landmarks: Path
) -> tuple[Sequence[float], float]:
    """Return surface NME 68 (see `photos.evaluate_photos`) by bin of yaw, and balanced."""
    values, yaws = [], []
    for _, photo, points, yaw in labelled(folder, landmarks):
        face = served.faces(photo).main
        surface = None
        if face is not None:
            vertices, triangles = surface_of(_volume(volumes, face.crop))
            surface = to_photo(vertices, face.placement) if len(triangles) else None
        values.append(surface_nme(points, surface)[0])
        yaws.append(yaw)
    bins, mean = balanced(np.array(values), np.array(yaws))
    return [float(v) for v in bins], mean


def table(rows: Sequence[Row]) -> str:
    """Format the rows as a Markdown table."""
    lines = [
        "| network | hold-out IoU | 0-30 | 30-60 | 60-90 | surface NME 68, balanced |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        bins = " | ".join(f"{v:.4f}" for v in row.bins)
        lines.append(f"| {row.name} | {row.iou:.3f} | {bins} | {row.nme:.4f} |")
    return "\n".join(lines)

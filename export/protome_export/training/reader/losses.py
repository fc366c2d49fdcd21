"""Compute the losses of a step: landmarks, posed vertices, depth and shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from protome_export.training.config import Config
from protome_export.training.dataset import Batch
from protome_export.training.geometry import CROP, umeyama
from protome_export.training.shape_space import ShapeSpace

from .network import GuidedNet, Output

_HALF = CROP / 2


@dataclass
class Terms:
    """Hold the losses and figures of one step."""

    loss: Tensor
    landmark: Tensor
    vertex: Tensor
    shape: Tensor
    degrees: Tensor


def _pose(r: Tensor, s: Tensor, t: Tensor, vertices: Tensor) -> Tensor:
    return vertices @ (r * s[:, None, None]).transpose(1, 2) + t[:, None]


def probes(space: ShapeSpace) -> NDArray[np.int64]:
    """Return the vertex indices at which posed heads are compared: landmarks and every sixth."""
    return np.concatenate([space.landmarks, np.arange(0, len(space.mean), 6)]).astype(np.int64)


def losses(net: GuidedNet, out: Output, batch: Batch, probe: Tensor, c: Config) -> Terms:
    """Compute the losses; all distances are over 96 px.

    Args:
        net: the network.
        out: its output for the batch.
        batch: the truth.
        probe: vertex indices at which posed heads are compared.
        c: weights of the losses.
    """
    truth = umeyama(batch.landmarks, net.canonical68)
    modes = net.modes.view(len(net.modes), -1, 3)[:, probe]
    mean = net.mean[probe]

    def head(k: Tensor) -> Tensor:
        return mean + torch.einsum("bk,kmd->bmd", k, modes)

    goal = _pose(*truth, head(batch.coefficients))
    ours = _pose(out.rotation, out.scale, out.translation, head(out.coefficients))
    landmark = fn.smooth_l1_loss(
        out.landmarks / _HALF, batch.landmarks / _HALF, beta=c.landmark_beta
    )
    vertex = fn.smooth_l1_loss(ours / _HALF, goal / _HALF, beta=c.landmark_beta)
    # Where the volume has them: by the nearest point of the posed mean head.
    depth = fn.smooth_l1_loss(
        (ours[..., 2] - net.front(out.rotation, out.scale, out.translation)[:, None]) / _HALF,
        (goal[..., 2] - net.front(*truth)[:, None]) / _HALF,
        beta=c.landmark_beta,
    )
    # The residual on its own, in the re-posed target: it need not pay for the pose.
    own, true = head(out.coefficients), head(batch.coefficients)
    shape = fn.smooth_l1_loss(own * (6.2 / _HALF), true * (6.2 / _HALF), beta=0.05)
    total = c.landmark_weight * landmark + c.vertex_weight * (vertex + c.depth_weight * depth)
    total = total + c.vertex_weight * c.shape_weight * shape
    with torch.no_grad():
        cosine = ((out.rotation * truth[0]).sum((1, 2)) - 1) / 2
        degrees = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))).mean()
    return Terms(total, landmark, vertex, shape, degrees)

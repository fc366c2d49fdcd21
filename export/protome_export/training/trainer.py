"""Training: landmarks, pose and shape against synthetic heads; EMA, resumable, CSV log."""

from __future__ import annotations

import copy
import csv
import math
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as fn
from numpy.typing import NDArray
from torch import Tensor

from protome_export.heads.model import load_head

from .config import Config, dump_config
from .dataset import Batch, Loader, Samples, draw_batch
from .geometry import CROP, umeyama
from .network import GuidedNet, Output, Widths
from .render_processes import Renderers
from .shape_space import Poser, ShapeSpace, build_space

_HALF = CROP / 2
_COLUMNS = (
    "step", "seconds", "samples", "per_second", "loss", "landmark", "vertex", "shape", "degrees",
    "holdout_landmark_px", "holdout_degrees", "rate",
)  # fmt: skip


def open_space(config: Config) -> ShapeSpace:
    """The run's shape space, kept in its folder: built once, or that of the weights to start
    from, whose coefficients mean nothing in another.

    Raises:
        FileNotFoundError: ``init`` has no ``space.npz`` beside it.
    """
    path = Path(config.out) / "space.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if config.init:
            ShapeSpace.load(Path(config.init).parent / "space.npz").save(path)
        else:
            build_space(load_head(config.head), config.modes, config.space_heads).save(path)
    return ShapeSpace.load(path)


def make_network(config: Config, space: ShapeSpace) -> GuidedNet:
    widths = Widths(config.encoder, config.blocks, config.decoder, config.code)
    return GuidedNet(space, widths, config.amp, config.dropout)


def load_weights(network: GuidedNet, state: dict[str, Tensor]) -> None:
    """Loads weights; the voxeliser's tables come with the shape space, not the checkpoint."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = [k for k in missing if not k.startswith("voxeliser.")] + list(unexpected)
    if wrong:
        raise ValueError(f"checkpoint does not fit the network: {wrong[:4]}")


def _learned(network: GuidedNet) -> dict[str, Tensor]:
    return {k: v for k, v in network.state_dict().items() if not k.startswith("voxeliser.")}


def blend(run: Path, other: Path, out: Path, share: float = 0.5) -> None:
    """A run whose averaged weights lie between those of ``run`` and the checkpoint it started from
    (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022), to be exported."""
    first = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    second = torch.load(other, map_location="cpu", weights_only=True)["ema"]
    mixed = {
        k: torch.lerp(v.float(), second[k].float(), share) if v.dtype.is_floating_point else v
        for k, v in first["ema"].items()
    }
    out.mkdir(parents=True, exist_ok=True)
    torch.save({"ema": mixed, "step": first["step"]}, out / "checkpoint.pt")
    for name in ("config.toml", "space.npz"):
        shutil.copyfile(run / name, out / name)


@dataclass
class Terms:
    """Losses and figures of one step."""

    loss: Tensor
    landmark: Tensor
    vertex: Tensor
    shape: Tensor
    degrees: Tensor


def _pose(r: Tensor, s: Tensor, t: Tensor, vertices: Tensor) -> Tensor:
    return vertices @ (r * s[:, None, None]).transpose(1, 2) + t[:, None]


def probes(space: ShapeSpace) -> NDArray[np.int64]:
    """Vertex indices at which posed heads are compared: the landmarks and every sixth."""
    return np.concatenate([space.landmarks, np.arange(0, len(space.mean), 6)]).astype(np.int64)


def losses(net: GuidedNet, out: Output, batch: Batch, probe: Tensor, c: Config) -> Terms:
    """probe: vertex indices at which the posed head is compared; all distances over 96 px."""
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


def _groups(net: GuidedNet, c: Config) -> list[dict[str, Any]]:
    flat, decay, dense = [], [], []
    for name, p in net.named_parameters():
        if name == "landmarks.bias" or name.startswith(("trunk.code", "trunk.spread")):
            dense.append(p)
        elif p.ndim <= 1:
            flat.append(p)
        else:
            decay.append(p)
    return [
        {"params": decay, "weight_decay": c.weight_decay, "rate": 1.0},
        {"params": flat, "weight_decay": 0.0, "rate": 1.0},
        {"params": dense, "weight_decay": 0.01, "rate": 0.35},
    ]


class Trainer:
    """One run in config.out: checkpoint.pt (resumable), log.csv, config.toml, space.npz."""

    def __init__(self, config: Config) -> None:
        torch.set_num_threads(config.threads)
        cv2.setNumThreads(1)
        torch.manual_seed(config.seed)
        self.c, self.out = config, Path(config.out)
        self.space = open_space(config)
        dump_config(config, self.out / "config.toml")
        self.poser = Poser(load_head(config.head))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = make_network(config, self.space).to(self.device)
        self.net.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.AdamW(_groups(self.net, config), betas=(0.9, 0.98))
        self.step, self.spent = 0, 0.0
        self._stopped = False
        checkpoint = self.out / "checkpoint.pt"
        state = None
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=self.device, weights_only=True)
            load_weights(self.net, state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.spent = state["step"], state["spent"]
        elif config.init:
            start = torch.load(config.init, map_location=self.device, weights_only=True)
            load_weights(self.net, start["ema"])
        self.ema = copy.deepcopy(self.net).eval()
        if state is not None:
            load_weights(self.ema, state["ema"])

    def save(self) -> None:
        state = {
            "model": _learned(self.net),
            "ema": _learned(self.ema),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        scratch = self.out / ".checkpoint.pt"
        torch.save(state, scratch)
        scratch.rename(self.out / "checkpoint.pt")

    def stop(self) -> None:
        """Ends the run after the current step; its checkpoint is written."""
        self._stopped = True

    def _update_ema(self) -> None:
        keep = min(self.c.ema, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            for mine, theirs in zip(
                _learned(self.ema).values(), _learned(self.net).values(), strict=True
            ):
                if mine.dtype.is_floating_point:
                    mine.lerp_(theirs, 1 - keep)
                else:
                    mine.copy_(theirs)

    def _validate(self, batches: list[Batch]) -> tuple[float, float]:
        """Mean landmark error (px) and rotation error (degrees) of the EMA network."""
        error, degrees = [], []
        probe = torch.from_numpy(probes(self.space)).to(self.device)
        for b in batches:
            with torch.no_grad():
                out = self.ema(b.crops)
            terms = losses(self.ema, out, b, probe, self.c)
            error.append((out.landmarks - b.landmarks).norm(dim=-1).mean().item())
            degrees.append(terms.degrees.item())
        return float(np.mean(error)), float(np.mean(degrees))

    def _rate(self) -> float:
        """Cosine over whichever of steps and minutes ends first, after a linear warm-up."""
        c = self.c
        part = max(self.step / c.steps, self.spent / (c.minutes * 60))
        warm = min(1.0, (self.step + 1) / c.warmup)
        return c.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * part))

    def _advance(self, batch: Batch, probe: Tensor) -> Terms:
        for g in self.optimiser.param_groups:
            g["lr"] = self._rate() * g["rate"] + 1e-6
        x = batch.crops.contiguous(memory_format=torch.channels_last)
        terms = losses(self.net, self.net(x), batch, probe, self.c)
        self.optimiser.zero_grad(set_to_none=True)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._update_ema()
        return terms

    def run(self) -> None:
        """Trains until the run is over or `stop` is called; picks up shards as they appear.

        Raises:
            FileNotFoundError: there is nothing to train on, and nobody renders.
            RuntimeError: a renderer failed.
        """
        c = self.c
        samples = Samples(Path(c.shards), self.poser, self.space, self.device)
        held = Samples(Path(c.holdout), self.poser, self.space, self.device)
        held.refresh(1)
        generator = torch.Generator(self.device).manual_seed(5)
        still = Config(
            batch=c.batch,
            rotate_degrees=0.1,
            zoom=1e-3,
            move=0.1,
            borders=0.0,
            covered=0.0,
            shaded=0.0,
        )
        fixed = [draw_batch(held, generator, still) for _ in range(4)] if held.shards else []
        with Renderers(c, self.device.type) as renderers:
            self._await_first(samples, renderers)
            threading.Thread(target=self._watch, args=(samples,), daemon=True).start()
            loader = Loader(samples, c, c.seed + 1000 + self.step)
            self._train(loader, samples, fixed, renderers)
        self.save()

    def _train(
        self, loader: Loader, samples: Samples, fixed: list[Batch], renderers: Renderers
    ) -> None:
        c = self.c
        probe = torch.from_numpy(probes(self.space)).to(self.device)
        before, began, mark = self.spent, time.time(), time.time()
        seen: list[list[float]] = []
        with (self.out / "log.csv").open("a", newline="") as log:
            writer = csv.writer(log)
            if not log.tell():
                writer.writerow(_COLUMNS)
            while self.step < c.steps and self.spent < c.minutes * 60 and not self._stopped:
                terms = self._advance(loader.next(), probe)
                seen.append([float(v.detach()) for v in vars(terms).values()])
                self.spent = before + time.time() - began
                if self.step % 100 == 0 or self.step == c.steps:
                    renderers.check()
                    speed = len(seen) * c.batch / (time.time() - mark)
                    due = fixed and self.step % c.save_every == 0
                    check = self._validate(fixed) if due else (math.nan, math.nan)
                    record: list[object] = [self.step, round(self.spent), len(samples)]
                    record += [f"{speed:.1f}"]
                    record += [f"{v:.4f}" for v in (*np.mean(seen, 0), *check, self._rate())]
                    writer.writerow(record)
                    log.flush()
                    print(*record, flush=True)
                    mark, seen = time.time(), []
                if self.step % c.save_every == 0:
                    self.save()

    def _await_first(self, samples: Samples, renderers: Renderers) -> None:
        while not samples.refresh(2) and not self._stopped:
            if not renderers.processes:
                raise FileNotFoundError(f"no shards in {samples.folder}")
            renderers.check()
            time.sleep(0.5)

    def _watch(self, samples: Samples) -> None:
        while True:
            samples.refresh()
            time.sleep(20)

"""Training: landmarks, pose and shape against synthetic heads; EMA, resumable, CSV log."""

from __future__ import annotations

import copy
import csv
import math
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from protome_export.heads.load import load_head
from protome_export.training.checkpoint import follow, write_checkpoint
from protome_export.training.config import Config, dump_config, learning_rate
from protome_export.training.dataset import Batch, Loader, Samples, draw_batch
from protome_export.training.render_processes import Renderers
from protome_export.training.shape_space import Poser

from .losses import Terms, losses, probes
from .network import GuidedNet
from .run import learned, load_weights, make_network, open_space

_LONGEST_STEP = 5.0  # seconds
_COLUMNS = (
    "step", "seconds", "samples", "per_second", "loss", "landmark", "vertex", "shape", "degrees",
    "holdout_landmark_px", "holdout_degrees", "rate",
)  # fmt: skip


def _groups(net: GuidedNet, c: Config) -> list[dict[str, Any]]:
    flat, decay, dense, pretrained = [], [], [], []
    for name, p in net.named_parameters():
        if name.startswith("trunk.mesh."):
            pretrained.append(p)
        elif name == "landmarks.bias" or name.startswith(("trunk.code", "trunk.spread")):
            dense.append(p)
        elif p.ndim <= 1:
            flat.append(p)
        else:
            decay.append(p)
    return [
        {"params": decay, "weight_decay": c.weight_decay, "rate": 1.0},
        {"params": flat, "weight_decay": 0.0, "rate": 1.0},
        {"params": dense, "weight_decay": 0.01, "rate": 0.35},
        {"params": pretrained, "weight_decay": 0.0, "rate": c.facemesh_rate},
    ]


class Trainer:
    """Train one run in config.out: checkpoint.pt (resumable), log.csv, config.toml, space.npz."""

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
        torch.backends.cudnn.benchmark = True
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
            "model": learned(self.net),
            "ema": learned(self.ema),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        write_checkpoint(state, self.out)

    def stop(self) -> None:
        """End the run after the current step and write its checkpoint."""
        self._stopped = True

    def _update_ema(self) -> None:
        keep = min(self.c.ema, (1 + self.step) / (20 + self.step))
        follow(learned(self.ema), learned(self.net), keep)

    def _validate(self, batches: list[Batch]) -> tuple[float, float]:
        """Return the mean landmark error (px) and rotation error (degrees) of the EMA network."""
        error, degrees = [], []
        probe = torch.from_numpy(probes(self.space)).to(self.device)
        for b in batches:
            with torch.no_grad():
                out = self.ema(b.windows)
            terms = losses(self.ema, out, b, probe, self.c)
            error.append((out.landmarks - b.landmarks).norm(dim=-1).mean().item())
            degrees.append(terms.degrees.item())
        return float(np.mean(error)), float(np.mean(degrees))

    def _rate(self) -> float:
        return learning_rate(self.c, self.step, self.spent)

    def _advance(self, batch: Batch, probe: Tensor) -> Terms:
        for g in self.optimiser.param_groups:
            g["lr"] = self._rate() * g["rate"] + 1e-6
        x = batch.windows.contiguous(memory_format=torch.channels_last)
        terms = losses(self.net, self.net(x), batch, probe, self.c)
        self.optimiser.zero_grad(set_to_none=True)
        terms.loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._update_ema()
        return terms

    def run(self) -> None:
        """Train until the run is over or `stop` is called; picks up shards as they appear.

        Raises:
            FileNotFoundError: there are no shards, and no process renders any.
            RuntimeError: a renderer failed.
        """
        c = self.c
        samples = Samples(Path(c.shards), self.poser, self.space, self.device)
        held = Samples(Path(c.holdout), self.poser, self.space, self.device)
        held.refresh(1)
        generator = torch.Generator(self.device).manual_seed(5)
        still = replace(
            c,
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
        last = mark = time.time()
        seen: list[Tensor] = []
        with (self.out / "log.csv").open("a", newline="") as log:
            writer = csv.writer(log)
            if not log.tell():
                writer.writerow(_COLUMNS)
            while self.step < c.steps and self.spent < c.minutes * 60 and not self._stopped:
                terms = self._advance(loader.next(), probe)
                # Kept on the device: reading them each step would wait for it.
                seen.append(torch.stack([v.detach().float() for v in vars(terms).values()]))
                # A process that was suspended has not trained meanwhile.
                now = time.time()
                self.spent += min(now - last, _LONGEST_STEP)
                last = now
                if self.step % 100 == 0 or self.step == c.steps:
                    renderers.check()
                    speed = len(seen) * c.batch / (time.time() - mark)
                    due = fixed and self.step % c.save_every == 0
                    check = self._validate(fixed) if due else (math.nan, math.nan)
                    means = torch.stack(seen).mean(0).tolist()
                    record: list[object] = [self.step, round(self.spent), len(samples)]
                    record += [f"{speed:.1f}"]
                    record += [f"{v:.4f}" for v in (*means, *check, self._rate())]
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

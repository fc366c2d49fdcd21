"""Train a network over frozen maps: what the runs of hair and cover have in common."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from .checkpoint import averages, follow, write_checkpoint
from .config import Config, dump_config, learning_rate

_LARGEST_GRADIENT = 1.0  # norm to which gradients are clipped
_Net = TypeVar("_Net", bound=nn.Module)


def begin_run(config: Config) -> Path:
    """Set threads and seed, write config.toml and return the folder of the run."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    dump_config(config, out / "config.toml")
    return out


class AveragedRun(Generic[_Net]):
    """A network, its optimiser and the running averages of its weights.

    Args:
        net: the network; its averages start from its weights.
        config: rates, steps, minutes, and the folder ``out``.
        shares: of the learning rate, by the beginning of a weight's name; others have the whole.

    Attributes:
        net: the network.
        ema: the same with averaged weights.
        step: steps made.
    """

    def __init__(
        self, net: _Net, config: Config, shares: Mapping[str, float] | None = None
    ) -> None:
        self.c = config
        self.net = net
        self.ema = copy.deepcopy(net)
        self.step = 0
        self._stopped = False
        groups: dict[float, list[Tensor]] = {}
        for name, weight in net.named_parameters():
            share = next((v for k, v in (shares or {}).items() if name.startswith(k)), 1.0)
            groups.setdefault(share, []).append(weight)
        self._optimiser = torch.optim.AdamW(
            [{"params": weights, "share": share} for share, weights in groups.items()],
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self._began = 0.0

    def stop(self) -> None:
        """End the run after the current step."""
        self._stopped = True

    def start(self) -> None:
        """Begin to count the minutes of the run."""
        self._began = time.monotonic()

    def begin_step(self) -> bool:
        """Set the learning rate of the next step; return False if the run is over."""
        spent = time.monotonic() - self._began
        if self.step >= self.c.steps or self._stopped or spent >= 60 * self.c.minutes:
            return False
        for group in self._optimiser.param_groups:
            group["lr"] = group["share"] * learning_rate(self.c, self.step, spent) + 1e-6
        return True

    def advance(self, loss: Tensor) -> None:
        """Make a step down the gradient of a loss, and update the averages."""
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        self.step += 1
        keep = min(self.c.ema, self.step / (20 + self.step))
        follow(self.ema.state_dict(), self.net.state_dict(), keep)

    def save(self) -> None:
        """Write checkpoint.pt: the averaged weights, as FP16."""
        full = self.ema.state_dict()
        state = {k: v.half() if v.dtype.is_floating_point else v for k, v in full.items()}
        write_checkpoint({"ema": state, "step": self.step}, Path(self.c.out))


def load_averages(net: _Net, run: Path) -> _Net:
    """Load a run's averaged weights into a network; return it in evaluation mode."""
    net.load_state_dict(averages(run / "checkpoint.pt")[0])
    return net.eval()

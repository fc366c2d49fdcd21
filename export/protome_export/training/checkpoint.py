"""What a run keeps in its folder: shape space and weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from protome_export.heads.load import load_head

from .config import Config
from .network import GuidedNet, Widths
from .shape_space import ShapeSpace, build_space


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
    """The network of a run, untrained."""
    widths = Widths(config.encoder, config.blocks, config.decoder, config.code)
    path = Path(config.facemesh) if config.facemesh else None
    return GuidedNet(
        space, widths, config.amp, config.dropout, path, frozen=not config.facemesh_rate
    )


def load_weights(network: GuidedNet, state: dict[str, Tensor]) -> None:
    """Loads weights; the voxeliser's tables come with the shape space, not the checkpoint."""
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = [k for k in missing if not k.startswith("voxeliser.")] + list(unexpected)
    if wrong:
        raise ValueError(f"checkpoint does not fit the network: {wrong[:4]}")


def learned(network: GuidedNet) -> dict[str, Tensor]:
    """What a checkpoint holds of a network."""
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

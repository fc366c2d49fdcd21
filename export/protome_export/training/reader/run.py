"""Load and store the network of a run: shape space and weights of its folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from protome_export.heads.load import load_head
from protome_export.training.checkpoint import averages, space_of
from protome_export.training.config import Config, load_config
from protome_export.training.shape_space import ShapeSpace, build_space
from protome_export.training.trunk import Widths

from .network import GuidedNet


def open_space(config: Config) -> ShapeSpace:
    """Return the run's shape space, kept in its folder.

    It is built once, or is that of the weights to start from, whose coefficients mean nothing in
    another.

    Raises:
        FileNotFoundError: ``init`` has no ``space.npz`` beside it.
    """
    path = Path(config.out) / "space.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if config.init:
            ShapeSpace.load(space_of(Path(config.init).parent)).save(path)
        else:
            build_space(load_head(config.head), config.modes, config.space_heads).save(path)
    return ShapeSpace.load(path)


def make_network(config: Config, space: ShapeSpace) -> GuidedNet:
    """Build the network of a run, untrained."""
    return GuidedNet(
        space,
        Widths(config.coarse, config.decoder, config.code),
        Path(config.facemesh),
        not config.facemesh_rate,
        config.amp,
        config.dropout,
    )


def load_weights(network: GuidedNet, state: dict[str, Tensor]) -> None:
    """Load what `learned` returned; the rest comes with the shape space and with Face Mesh.

    Raises:
        ValueError: the weights are those of another network.
    """
    missing, unexpected = network.load_state_dict(state, strict=False)
    frozen = _frozen(network)
    wrong = [k for k in missing if k not in frozen] + list(unexpected)
    if wrong:
        raise ValueError(f"checkpoint does not fit the network: {wrong[:4]}")


def learned(network: GuidedNet) -> dict[str, Tensor]:
    """Return what a checkpoint holds of a network."""
    frozen = _frozen(network)
    return {k: v for k, v in network.state_dict().items() if k not in frozen}


def _frozen(network: GuidedNet) -> set[str]:
    """Return the names of weights that are not trained."""
    return {name for name, p in network.named_parameters() if not p.requires_grad}


def load_run(run: Path, facemesh: Path | None = None) -> tuple[GuidedNet, Config, int]:
    """Load a run's averaged weights.

    Args:
        run: folder with config.toml and checkpoint.pt; space.npz lies there or one folder up.
        facemesh: overrides the path in the run's settings.

    Returns:
        The network in evaluation mode, the run's settings and its steps.
    """
    config = load_config(run / "config.toml")
    if facemesh:
        config = replace(config, facemesh=str(facemesh))
    network = make_network(config, ShapeSpace.load(space_of(run))).eval()
    weights, step = averages(run / "checkpoint.pt")
    load_weights(network, weights)
    network.amp = False
    return network, config, step

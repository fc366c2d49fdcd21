"""The sample photo taken through the line up to the network's volume."""

from __future__ import annotations

from dataclasses import dataclass

from protome.geometry import U8, Level, place
from protome.image.crop import cut
from protome.image.decode import ImageLimits, decode
from protome.image.faces import detect
from protome.model.card import load_model
from protome.model.engine import Engine
from protome.sample import SAMPLE


@dataclass(frozen=True, slots=True)
class SampleFace:
    """Crop (192, 192, 3), portrait (256, 256, 3) and STANDARD volume (100, 96, 96)."""

    crop: U8
    portrait: U8
    volume: U8


def sample_face() -> SampleFace:
    """Reconstruct it with the model that ships, on the CPU."""
    model = load_model()
    image = decode(SAMPLE.read_bytes(), ImageLimits(1 << 20, 1 << 20, 1 << 20), enough=1600)
    placement = place(detect(image, min_score=0.6)[0].box, model.rule)
    crop, portrait = cut(image, placement), cut(image, placement, 256)
    reconstructed = Engine(model, provider="cpu").run([crop], [[Level.STANDARD]])[0]
    return SampleFace(crop, portrait, reconstructed.volumes[Level.STANDARD])

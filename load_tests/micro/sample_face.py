"""The built-in photo, reconstructed in this process."""

from __future__ import annotations

from dataclasses import dataclass

from protome.geometry import U8, Level
from protome.mesh.colour.mesh import Appearance
from protome.mesh.files.encode import Compression, Encoding, Format
from protome.mesh.shape.surface import Surface, compose
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request
from protome.sample import SAMPLE


@dataclass(frozen=True, slots=True)
class SampleFace:
    """Crop (208, 208, 3), portrait (256, 256, 3) and STANDARD surface of the face."""

    crop: U8
    portrait: U8
    surface: Surface


def sample_face() -> SampleFace:
    """Cut out the face and run the shipped network on it, on the CPU."""
    encoding = Encoding(Format.GLB, Compression.NONE, Appearance.TEXTURE)
    pipeline = LocalPipeline()
    _, (task,) = pipeline.prepare(Request(SAMPLE.read_bytes(), encoding=encoding))
    (prediction,) = pipeline.infer([task.crop])
    surface = compose(pipeline.head, prediction.vertices, prediction.hair, Level.STANDARD)
    return SampleFace(task.crop, task.portrait, surface)

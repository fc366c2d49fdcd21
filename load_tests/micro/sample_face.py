"""The built-in photo, reconstructed in this process."""

from __future__ import annotations

from dataclasses import dataclass

from protome.geometry import U8, Level
from protome.mesh.encode import Compression, Encoding, Format
from protome.mesh.mesh import Appearance
from protome.pipeline.local import LocalPipeline
from protome.pipeline.request import Request
from protome.sample import SAMPLE


@dataclass(frozen=True, slots=True)
class SampleFace:
    """Crop (192, 192, 3), portrait (256, 256, 3) and STANDARD volume (100, 96, 96) of the face."""

    crop: U8
    portrait: U8
    volume: U8


def sample_face() -> SampleFace:
    """Cut out the face and run the shipped network on it, on the CPU."""
    encoding = Encoding(Format.GLB, Compression.NONE, Appearance.TEXTURE)
    pipeline = LocalPipeline()
    _, (task,) = pipeline.prepare(Request(SAMPLE.read_bytes(), encoding=encoding))
    (prediction,) = pipeline.infer([task.crop], [Level.STANDARD])
    return SampleFace(task.crop, task.portrait, prediction.volumes[Level.STANDARD])

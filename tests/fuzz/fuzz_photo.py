"""Fuzz decode → detect → crop: any bytes give a photo or one of our errors.

    python -m tests.fuzz.corpus photo CORPUS
    python -m tests.fuzz.fuzz_photo CORPUS -max_total_time=28800

Flags are libFuzzer's. Coverage is that of the Python code, Pillow's parsers included; its decoders
in C take part but do not guide it.
"""

from __future__ import annotations

import os
import sys
import zlib
from dataclasses import replace

import atheris

# As in a worker: the detector's threads would wait for each other.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

with atheris.instrument_imports(include=["PIL", "pillow_heif", "protome"]):
    import cv2
    import numpy as np

    from protome.errors import ProtomeError
    from protome.geometry import Box, CropRule
    from protome.image.container import PNG_MAGIC
    from protome.image.decode import ImageLimits, decode
    from protome.image.prepare import PhotoJob, prepare

# Small, so that an input costs little; the real limits are tested end to end.
JOB = PhotoJob(
    boxes=(),
    max_faces=4,
    min_face_pixels=8,
    min_score=0.3,
    limits=ImageLimits(1 << 16, 1 << 16, 1 << 16),
    rule=CropRule(2.0, 0.1, 100.0),
    textured=True,
)
BOXES = (Box(2, 3, 12, 11), Box(-5, 8, 40, 9))
cv2.setNumThreads(1)


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """LibFuzzer's mutations, of PNGs half of the time with right checksums: with wrong ones none
    gets past the first chunk."""
    changed: bytes = atheris.Mutate(data, max_size)
    return with_checksums(changed)[:max_size] if seed % 2 else changed


def with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks' checksums are right; what is no PNG as it is."""
    if not data.startswith(PNG_MAGIC):
        return data
    parts, at = [PNG_MAGIC], len(PNG_MAGIC)
    while at + 12 <= len(data):
        end = min(at + 8 + int.from_bytes(data[at : at + 4]), len(data) - 4)
        body = data[at + 4 : end]
        parts += [len(body[4:]).to_bytes(4), body, zlib.crc32(body).to_bytes(4)]
        at = end + 4
    return b"".join(parts)


def one_input(data: bytes) -> None:
    """Anything but our errors is a crash."""
    # Detection takes a hundred times as long and sees pixels only: few inputs get there.
    choice = zlib.crc32(data) % 128
    try:
        if choice > 1:
            image = decode(data, JOB.limits, enough=(64, 1600)[choice % 2])
            assert image.pixels.shape[0] * image.step >= image.height
            assert image.pixels.shape[1] * image.step >= image.width
            assert image.width * image.height <= JOB.limits.max_pixels
            return
        job = JOB if choice else replace(JOB, boxes=BOXES)
        photo, pictures = prepare(job, [np.frombuffer(data, np.uint8)])
    except ProtomeError:
        return
    placed = [face for face in photo.faces if face.placement is not None]
    assert len(pictures) == 2 * len(placed)
    assert photo.width * photo.height <= JOB.limits.max_pixels


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input, custom_mutator=mutated)
    atheris.Fuzz()

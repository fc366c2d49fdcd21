"""Reconstruct the sample photo with a real server and draw the result: ``protome demo``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from protome.client import Client, Reconstruction
from protome.embedded import EmbeddedServer
from protome.geometry import U8
from protome.sample import SAMPLE

from .render import read_glb, render

SIDE = 384


def demo(folder: Path) -> Reconstruction:
    """Write ``face.glb`` and ``preview.png`` to ``folder``; return the response."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = SAMPLE.read_bytes()
    with EmbeddedServer() as server, Client(server.address) as client:
        result = client.reconstruct(photo, max_faces=1)
    mesh = result.faces[0].mesh
    (folder / "face.glb").write_bytes(mesh)
    picture = preview(photo, mesh)
    cv2.imwrite(str(folder / "preview.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return result


def preview(photo: bytes, glb: bytes) -> U8:
    """Draw the photo, then the mesh shaded and textured, from the front and from the side.

    Args:
        photo: a picture file.
        glb: the mesh of one face, uncompressed, with texture.

    Returns:
        (384, 5 * 384, 3) uint8 RGB.
    """
    decoded = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the photo cannot be decoded")
    height, width = decoded.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 4, (width - side) // 2
    square = cv2.resize(
        decoded[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA
    )
    model = read_glb(glb)
    return np.concatenate(
        [
            np.asarray(cv2.cvtColor(square, cv2.COLOR_BGR2RGB), np.uint8),
            render(model, side=SIDE),
            render(model, side=SIDE, textured=True),
            render(model, yaw=75, side=SIDE),
            render(model, yaw=75, side=SIDE, textured=True),
        ],
        axis=1,
    )

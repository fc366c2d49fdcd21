"""Reconstruct the sample photo with a real server and draw the result: ``protome demo``."""

from __future__ import annotations

from pathlib import Path

from protome.client import Client, Reconstruction
from protome.embedded import EmbeddedServer
from protome.sample import SAMPLE

from .preview import preview, write_png


def demo(folder: Path) -> Reconstruction:
    """Write ``face.glb`` and ``preview.png`` to ``folder``; return the response."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = SAMPLE.read_bytes()
    with EmbeddedServer() as server, Client(server.address) as client:
        result = client.reconstruct(photo, max_faces=1)
    face, mesh = result.faces[0], folder / "face.glb"
    mesh.write_bytes(face.mesh)
    write_png(folder / "preview.png", preview(photo, face.box, mesh))
    return result

"""Show a mesh file: ``protome view``."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path

from .mesh_file import read_mesh
from .preview import sides, write_png


def show(mesh: Path, output: Path | None = None) -> Path:
    """Draw a mesh and open the picture in the user's viewer.

    Args:
        mesh: a GLB, PLY, OBJ or STL file.
        output: PNG file to write instead of opening a picture.

    Returns:
        the picture, which stays.

    Raises:
        MeshFileError: the mesh cannot be read.
        OSError: a file cannot be read or written.
    """
    picture = sides(read_mesh(mesh))
    file = output or Path(tempfile.mkdtemp(prefix="protome-")) / f"{mesh.stem}.png"
    write_png(file, picture)
    if output is None:
        webbrowser.open(file.as_uri())
    return file

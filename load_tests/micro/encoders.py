"""Measure time and size of every encoding of the sample face, full and simplified.

Run: ``python -m load_tests.micro.encoders`` (one core); prints Markdown tables.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from protome.mesh.colour.mesh import Appearance, Mesh, apply_appearance
from protome.mesh.files.encode import Compression, Encoding, Format, encode
from protome.mesh.shape.simplify import distance, simplify

from .sample_face import sample_face

ROUNDS = 9


SIMPLIFIED = 10_000


def main() -> None:
    """Print the table."""
    face = sample_face()
    full = face.surface
    began = time.thread_time()
    simple = simplify(full, SIMPLIFIED)
    print(
        f"{len(full.triangles):,} triangles; {len(simple.triangles):,} simplified in "
        f"{1e3 * (time.thread_time() - began):.0f} ms, {distance(full, simple):.2f} px off\n"
    )
    print("| encoding | appearance | bytes | time / GLB plain | simplified: bytes | time |")
    print("|---|---|---|---|---|---|")
    rows = [(Format.GLB, c, Appearance.TEXTURE) for c in Compression]
    rows += [(f, Compression.NONE, Appearance.VERTEX_COLOURS) for f in (Format.PLY, Format.OBJ)]
    rows.append((Format.STL, Compression.NONE, Appearance.NONE))
    base = 0.0
    for format_, compression, appearance in rows:
        encoding = Encoding(format_, compression, appearance)
        picture = face.portrait if appearance is Appearance.TEXTURE else face.crop
        cells = []
        for surface in (full, simple):
            size, seconds = measure(apply_appearance(surface, appearance, picture), encoding)
            base = base or seconds
            cells.append(f"{size:,} | {seconds / base:.1f} ({1e3 * seconds:.1f} ms)")
        name = format_.name if format_ is not Format.GLB else f"GLB {compression.name.lower()}"
        print(f"| {name} | {appearance.name.lower()} | {' | '.join(cells)} |")
    print("\n| appearance | full | simplified |\n|---|---|---|")
    for appearance in Appearance:
        picture = face.portrait if appearance is Appearance.TEXTURE else face.crop
        times = [
            best(partial(apply_appearance, surface, appearance, picture))
            for surface in (full, simple)
        ]
        cells = [f"{1e3 * seconds:.1f} ms" for seconds in times]
        print(f"| {appearance.name.lower()} | {' | '.join(cells)} |")


def measure(mesh: Mesh, encoding: Encoding) -> tuple[int, float]:
    """Return bytes and seconds of encoding a mesh."""
    return len(encode(mesh, encoding).data), best(partial(encode, mesh, encoding))


def best(run: Callable[[], object]) -> float:
    """Return the least processor time of several rounds, so that other load has little effect."""
    seconds = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        run()
        seconds.append(time.thread_time() - began)
    return min(seconds)


if __name__ == "__main__":
    main()

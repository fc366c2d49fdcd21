"""Time and size of every encoding of the sample face, as a Markdown table.

Run: ``python load_tests/encoders.py`` (one core, the real line up to the encoder).
"""

from __future__ import annotations

import statistics
import time

from protome.crops import cut, place
from protome.encode import Compression, Encoding, Format, encode
from protome.engine import Engine
from protome.faces import detect
from protome.grid import Level
from protome.image import ImageLimits, decode
from protome.mesh import Appearance, dress
from protome.model import load_model
from protome.sample import SAMPLE
from protome.surface import extract

ROUNDS = 9


def main() -> None:
    """Print the table."""
    model = load_model()
    engine = Engine(model, provider="cpu")
    image = decode(SAMPLE.read_bytes(), ImageLimits(1 << 20, 1 << 20, 1 << 20), enough=1600)
    placement = place(detect(image, min_score=0.6)[0].box, model.rule)
    crop, portrait = cut(image, placement), cut(image, placement, 256)
    surface = extract(engine.run([crop], [Level.STANDARD])[0].volumes[Level.STANDARD])
    mesh = dress(surface, Appearance.TEXTURE, portrait)
    coloured = dress(surface, Appearance.VERTEX_COLOURS, crop)
    rows = [(Format.GLB, c, Appearance.TEXTURE) for c in Compression]
    rows += [(f, Compression.NONE, Appearance.VERTEX_COLOURS) for f in (Format.PLY, Format.OBJ)]
    rows.append((Format.STL, Compression.NONE, Appearance.NONE))
    print("| encoding | appearance | bytes | time / GLB plain |\n|---|---|---|---|")
    base = 0.0
    for format_, compression, appearance in rows:
        what = mesh if appearance is Appearance.TEXTURE else coloured
        encoding = Encoding(format_, compression, appearance)
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            encoded = encode(what, encoding)
            seconds.append(time.perf_counter() - began)
        taken = statistics.median(seconds)
        base = base or taken
        name = format_.name if format_ is not Format.GLB else f"GLB {compression.name.lower()}"
        print(
            f"| {name} | {appearance.name.lower()} | {len(encoded.data):,} "
            f"| {taken / base:.1f} ({1e3 * taken:.1f} ms) |"
        )


if __name__ == "__main__":
    main()

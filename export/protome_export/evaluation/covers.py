"""Measure the concern for covered faces on photos: as they are, and covered by drawn things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .occlusions import KINDS, cover_photo
from .service import Served

_LARGE = 0.25  # hidden share of the inner face from which the concern is wanted
PLAIN = "as it is"


@dataclass(frozen=True)
class CoverRow:
    """One face.

    Attributes:
        name: of the photo.
        kind: of what was drawn, or PLAIN.
        hidden: share of the inner face that was covered.
        found: what the network says of it.
        concern: whether the service would give the concern.
    """

    name: str
    kind: str
    hidden: float
    found: float
    concern: bool


def evaluate_covers(served: Served, folder: Path, seed: int = 0) -> Iterator[CoverRow]:
    """Yield the results of the main face of each photo in a folder.

    The face is taken as it is, and with each of `occlusions.KINDS` drawn over its crop.
    """
    for number, path in enumerate(sorted(folder.iterdir())):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
            continue
        main = served.faces(path.read_bytes()).main
        if main is None:
            continue
        out = served.predict(main.crop)
        if out.covered is None or out.landmarks is None or out.pose is None:
            raise ValueError("the model does not tell covered faces")
        rule = served.model.is_covered
        yield CoverRow(path.stem, PLAIN, 0.0, float(out.covered.mean()), rule(out.covered))
        scale = float(np.sqrt(np.square(out.pose[:, :3]).sum() / 3))
        rng = np.random.default_rng([seed, number])
        for kind in KINDS:
            crop, hidden = cover_photo(main.crop, out.landmarks[:, :2], scale, kind, rng)
            found = served.predict(crop).covered
            assert found is not None
            yield CoverRow(path.stem, kind, hidden, float(found.mean()), rule(found))


def cover_table(rows: list[CoverRow]) -> str:
    """Return the share of faces with the concern.

    It is given for faces as they are, and by what covers more than a quarter of the inner face; the
    uncovered faces that have it are named.
    """
    lines = ["| covered by | faces | with the concern |", "|---|---|---|"]
    wanted = [row for row in rows if row.kind != PLAIN and row.hidden > _LARGE]
    kinds = {kind: [row for row in wanted if row.kind == kind] for kind in KINDS}
    plain = [row for row in rows if row.kind == PLAIN]
    for kind, some in {"nothing drawn": plain, **kinds, "any of these": wanted}.items():
        share = np.mean([row.concern for row in some]) if some else float("nan")
        lines.append(f"| {kind} | {len(some)} | {share:.3f} |")
    said = ", ".join(f"{row.name} ({row.found:.2f})" for row in plain if row.concern)
    return "\n".join([*lines, f"Nothing drawn, but with the concern: {said or 'none'}"])

"""Write reports: the synthetic hold-out, tables, plots, contact sheets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from protome_export.heads.model import Floats
from protome_export.render.drawing.images import write_image
from protome_export.training.shape_space import Poser, ShapeSpace
from protome_export.training.shards import find_shards

from .confidence import check
from .holdout import depth_gaps, hair_iou, held_out, surface_distance
from .metrics import balanced
from .photos import MEASURES, Face
from .service import Served, surface_of
from .sheets import sheet


def evaluate_holdout(
    served: Served, folder: Path, poser: Poser, space: ShapeSpace, count: int
) -> dict[str, float | None]:
    """Evaluate the first ``count`` samples of the synthetic hold-out.

    Returns:
        the means of: IoU of hair cells (None without hair); IoU of outlines, and distance along z
        of fronts and of backs, px, as the camera sees true and found surface; distance of the
        surfaces, of the heads' own vertices and of the landmarks, px.
    """
    rows = []
    for sample in held_out(find_shards(folder)[0], poser, space, count):
        out = served.predict(sample.crop)
        assert out.landmarks is not None
        true = surface_of(served.head, sample.vertices, sample.hair)
        found = served.surface(out)
        assert true is not None
        assert found is not None
        outline, front, back = depth_gaps(true, found)
        hair = hair_iou(sample.hair, out.hair, sample.skull)
        landmarks = sample.vertices[poser.solid.on_jaw]
        rows.append(
            {
                "hair_iou": np.nan if hair is None else hair,
                "outline_iou": outline,
                "front_depth_px": front,
                "back_depth_px": back,
                "surface_distance_px": surface_distance(true.vertices, found.vertices),
                "vertex_px": _apart(sample.vertices, out.vertices),
                "landmark_3d_px": _apart(landmarks, out.landmarks),
            }
        )
    means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    return means | {"count": float(len(rows))}


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(first - second, axis=1).mean())


def _mean(values: list[float]) -> float | None:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else None


def measured(faces: Sequence[Face]) -> list[str]:
    """Return the names of the measures there are: masks and a second annotation may be missing."""
    return [name for name in MEASURES if any(name in f.figures for f in faces)]


def _by_yaw(faces: Sequence[Face], name: str) -> tuple[Floats, float]:
    """Return a measure's means by bin of |yaw|, and balanced, over the faces that have it."""
    known = [f for f in faces if name in f.figures]
    values = np.array([f.figures[name] for f in known])
    return balanced(values, np.array([f.yaw for f in known]))


def table(faces: Sequence[Face]) -> str:
    """Format a Markdown table: each measure by bin of |yaw|, and balanced."""
    lines = ["| measure | 0-30 | 30-60 | 60-90 | balanced |", "|---|---|---|---|---|"]
    for name in measured(faces):
        rows, mean = _by_yaw(faces, name)
        digits = 2 if name.endswith(("_deg", "_mm", "_cm2")) else 4
        cells = " | ".join(f"{v:.{digits}f}" for v in (*rows, mean))
        lines.append(f"| {name} | {cells} |")
    failed = sum(f.surface is None for f in faces)
    lines += ["", "| group | photos | surface_nme_68 |", "|---|---|---|"]
    for group in sorted({f.group for f in faces}):
        values = [f.figures["surface_nme_68"] for f in faces if f.group == group]
        lines.append(f"| {group} | {len(values)} | {np.mean(values):.4f} |")
    return "\n".join([*lines, "", f"{len(faces)} photos, {failed} without a face found."])


def write_report(
    folder: Path,
    faces: Sequence[Face],
    synthetic: dict[str, float | None] | None,
    confidence: dict[str, float] | None,
    sheets: bool,
    groups: dict[str, dict[str, float]] | None = None,
) -> dict[str, Any]:
    """Write table.md, report.json, plots and a contact sheet of the worst twenty photos."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"synthetic": synthetic}
    if groups:
        report["groups"] = groups
    if faces:
        (folder / "table.md").write_text(table(faces) + "\n")
        yaw = np.array([f.yaw for f in faces])
        report["photos"] = {name: _figures(*_by_yaw(faces, name)) for name in measured(faces)}
        if confidence:
            report["confidence"] = confidence | {"photos": check(faces, confidence)}
        report["faces"] = [
            {"name": f.name, "yaw": f.yaw, "group": f.group, **f.figures} for f in faces
        ]
        figure, axes = plt.subplots()
        axes.scatter(yaw, _column(faces, "surface_nme_68"), s=12)
        axes.set_xlabel("yaw, degrees")
        axes.set_ylabel("surface NME 68")
        figure.savefig(folder / "error_by_yaw.png", dpi=120)
        plt.close(figure)
        if sheets:
            worst = sorted(faces, key=lambda f: -f.figures["surface_nme_68"])[:20]
            write_image(folder / "worst.png", sheet(worst))
            write_image(folder / "sample.png", sheet(faces[::8]))
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    return report


def _figures(rows: Floats, mean: float) -> dict[str, float | None]:
    named = dict(
        zip(("0-30", "30-60", "60-90", "balanced"), [*map(float, rows), mean], strict=True)
    )
    return {k: None if np.isnan(v) else v for k, v in named.items()}


def _column(faces: Sequence[Face], name: str) -> Floats:
    return np.array([f.figures[name] for f in faces], np.float32)

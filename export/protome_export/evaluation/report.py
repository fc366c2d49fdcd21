"""Write reports: the synthetic hold-out, tables, plots, contact sheets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from protome.geometry import Level
from protome_export.heads.model import Floats
from protome_export.release.parity import front_depth
from protome_export.render.images import write_image
from protome_export.training.shape_space import Poser, ShapeSpace
from protome_export.training.shards import find_shards, read_shard

from .confidence import check
from .holdout import held_out, iou, surface_distance
from .metrics import balanced
from .photos import MEASURES, Face, to_uint8
from .service import Served, surface_of
from .sheets import sheet


def evaluate_holdout(
    served: Served, folder: Path, poser: Poser, space: ShapeSpace, count: int
) -> dict[str, float]:
    """Evaluate the first ``count`` samples of the synthetic hold-out.

    Returns:
        IoU, front depth and surface distance (px), landmark error (px).
    """
    shard = read_shard(find_shards(folder)[0])
    rows = []
    for crop, head, true in held_out(shard, poser, space, count):
        out = served.predict(crop)
        assert out.landmarks is not None
        want, got = to_uint8(true), out.volumes[Level.STANDARD]
        gap = np.abs(front_depth(want[None]) - front_depth(got[None]))
        off = np.linalg.norm(head[poser.solid.on_jaw] - out.landmarks, axis=1).mean()
        distance = surface_distance(head, surface_of(got)[0])
        rows.append([iou(want > 127, got > 127), np.nanmean(gap), distance, off])
    mean = np.mean(rows, 0)
    names = ("iou", "front_depth_px", "surface_distance_px", "landmark_3d_px")
    return {n: float(v) for n, v in zip(names, mean, strict=True)} | {"count": float(len(rows))}


def measured(faces: Sequence[Face]) -> list[str]:
    """Names of the measures that every face has; a second annotation may be missing."""
    return [name for name in MEASURES if all(name in f.figures for f in faces)]


def table(faces: Sequence[Face]) -> str:
    """Format a Markdown table: each measure by bin of |yaw|, and balanced."""
    yaw = np.array([f.yaw for f in faces])
    lines = ["| measure | 0-30 | 30-60 | 60-90 | balanced |", "|---|---|---|---|---|"]
    for name in measured(faces):
        rows, mean = balanced(np.array([f.figures[name] for f in faces]), yaw)
        digits = 2 if name.endswith("_deg") else 4
        cells = " | ".join(f"{v:.{digits}f}" for v in (*rows, mean))
        lines.append(f"| {name} | {cells} |")
    failed = sum(f.volume is None for f in faces)
    lines += ["", "| group | photos | surface_nme_68 |", "|---|---|---|"]
    for group in sorted({f.group for f in faces}):
        values = [f.figures["surface_nme_68"] for f in faces if f.group == group]
        lines.append(f"| {group} | {len(values)} | {np.mean(values):.4f} |")
    return "\n".join([*lines, "", f"{len(faces)} photos, {failed} without a face found."])


def write_report(
    folder: Path,
    faces: Sequence[Face],
    synthetic: dict[str, float] | None,
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
        report["photos"] = {
            name: dict(
                zip(
                    ("0-30", "30-60", "60-90"),
                    (float(v) for v in balanced(_column(faces, name), yaw)[0]),
                    strict=True,
                ),
                balanced=balanced(_column(faces, name), yaw)[1],
            )
            for name in measured(faces)
        }
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


def _column(faces: Sequence[Face], name: str) -> Floats:
    return np.array([f.figures[name] for f in faces], np.float32)

"""Evaluation of an exported model: real photos with 3D landmarks, synthetic hold-out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from .faces import crop_matrix, cut, detect, main_face
from .groups import group_of
from .headmodel import Floats
from .identity import CENTRE, CROP, SCALE
from .metric import balanced, landmark_nme, surface_nme
from .pixels import read_image, write_image
from .raster import solid_occupancy
from .release import front_depth, widen
from .shapespace import Poser, ShapeSpace, similarity
from .shards import find_shards, read_shard
from .surface import extract, picture


class Model:
    """An exported model, run as the service runs it on the CPU (FP16 widened to FP32)."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        data = widen(onnx.load(str(path))).SerializeToString()
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self.outputs = [o.name for o in self._session.get_outputs()]

    def __call__(self, crops: NDArray[np.uint8]) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self._session.run(None, {"crops": crops}), strict=True))


@dataclass
class Face:
    """One evaluated photo; figures are None-free: a failure has 1.0 everywhere."""

    name: str
    yaw: float
    figures: dict[str, float] = field(default_factory=dict)
    crop: NDArray[np.uint8] | None = None
    truth: Floats | None = None
    found: Floats | None = None
    occupancy: NDArray[np.uint8] | None = None
    group: str = "unknown"


MEASURES = ("surface_nme_68", "surface_nme_51", "bare_nme_68", "landmark_2d_nme", "rotation_deg")


def to_photo(points: np.ndarray, matrix: np.ndarray) -> Floats:
    """Crop frame (N, 3) to photo px (x right, y down, z towards the camera)."""
    turn = np.linalg.inv(matrix[:, :2])
    scale = float(np.sqrt(abs(np.linalg.det(turn))))
    xy = (points[:, :2] - matrix[:, 2]) @ turn.T
    return np.concatenate([xy, -points[:, 2:] * scale], 1).astype(np.float32)


def recrop(landmarks: np.ndarray, pose: np.ndarray, matrix: np.ndarray) -> Floats:
    """The crop's matrix moved so that the predicted head is centred at the nominal scale."""
    k = SCALE / float(np.sqrt(np.square(pose[:, :3]).sum() / 3))
    middle = (landmarks[:, :2].max(0) + landmarks[:, :2].min(0)) / 2
    shift = np.array(CENTRE) - k * middle
    return np.concatenate([k * matrix[:, :2], (k * matrix[:, 2] + shift)[:, None]], 1).astype(
        np.float32
    )


def evaluate_photo(
    model: Model, photo: NDArray[np.uint8], face: Face, points: Floats, space: ShapeSpace,
    passes: int,
) -> None:  # fmt: skip
    """Fills in a face's figures; points (68, 3) photo px, z towards the camera."""
    face.figures = dict.fromkeys(MEASURES, 1.0) | {"rotation_deg": 180.0}
    box = main_face(detect(photo), (photo.shape[1], photo.shape[0]))
    if box is None:
        return
    matrix = crop_matrix(box)
    for k in range(passes):
        face.crop = cut(photo, matrix)
        out = model(face.crop[None])
        if k + 1 < passes:
            matrix = recrop(out["landmarks"][0], out["pose"][0], matrix)
    occupancy, pose = out["occupancy"][0], out["pose"][0]
    vertices, triangles = extract(occupancy)
    linear = pose[:, :3] * [1, -1, -1]  # from the canonical frame
    bare = space.mean @ linear.T + pose[:, 3]
    bare_surface, _ = extract(_to_uint8(solid_occupancy(bare, space.triangles)))
    truth = points * np.array([1, 1, -1], np.float32)
    # The inner 51: data sets place the jaw's points differently.
    right = similarity(truth[None, 17:], space.canonical68[17:])[0][0]
    scale = np.sqrt(np.square(linear).sum() / 3)
    cosine = (np.trace(right.T @ (linear / scale)) - 1) / 2
    whole, inner = surface_nme(points, to_photo(vertices, matrix) if len(triangles) else None)
    face.figures = {
        "surface_nme_68": whole,
        "surface_nme_51": inner,
        "bare_nme_68": surface_nme(points, to_photo(bare_surface, matrix))[0],
        "landmark_2d_nme": landmark_nme(points, to_photo(out["landmarks"][0], matrix)),
        "rotation_deg": float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))),
    }
    face.found, face.occupancy = out["landmarks"][0], occupancy
    crop_points = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    face.truth = crop_points.astype(np.float32)
    if face.crop is not None:
        face.group = group_of(face.crop, face.truth)


def _to_uint8(occupancy: Floats) -> NDArray[np.uint8]:
    return (occupancy * 255 + 0.5).astype(np.uint8)


def evaluate_photos(
    model: Model, folder: Path, landmarks: Path, space: ShapeSpace, passes: int = 1
) -> list[Face]:
    """Every photo named in landmarks (.npz: names, points, yaw_degrees) found in folder."""
    faces = []
    with np.load(landmarks) as z:
        rows = list(zip(z["names"], z["points"], z["yaw_degrees"], strict=True))
    for name, points, yaw in rows:
        path = next(p for p in sorted(folder.glob(f"{name}.*")) if p.suffix != ".mat")
        photo = read_image(path)
        face = Face(str(name), float(yaw))
        evaluate_photo(model, photo, face, np.asarray(points, np.float32), space, passes)
        faces.append(face)
    return faces


def evaluate_holdout(
    model: Model, folder: Path, poser: Poser, space: ShapeSpace, count: int
) -> dict[str, float]:
    """Synthetic hold-out: IoU, front depth and surface distance (px), landmark error (px)."""
    shard = read_shard(find_shards(folder)[0])
    index = np.arange(min(count, len(shard.images)))
    truth = poser.crop_frame(shard.labels, index)
    shift = 3.0 - truth[..., 2].min(1)
    truth[..., 2] += shift[:, None]
    rows = []
    for i in index:
        out = model(np.asarray(shard.images[i])[None])
        want = _to_uint8(solid_occupancy(truth[i], space.triangles))
        got = out["occupancy"][0]
        inside, found = want > 127, got > 127
        iou = (inside & found).sum() / max((inside | found).sum(), 1)
        gap = np.abs(front_depth(want[None]) - front_depth(got[None]))
        marks = truth[i, poser.solid.on_jaw]
        off = np.linalg.norm(marks - out["landmarks"][0], axis=1).mean()
        vertices, _ = extract(out["occupancy"][0])
        rows.append([iou, np.nanmean(gap), _surface_distance(truth[i], vertices), off])
    mean = np.mean(rows, 0)
    names = ("iou", "front_depth_px", "surface_distance_px", "landmark_3d_px")
    return {n: float(v) for n, v in zip(names, mean, strict=True)} | {"count": float(len(rows))}


def _surface_distance(truth: np.ndarray, found: np.ndarray) -> float:
    from scipy.spatial import cKDTree

    if not len(found):
        return float(CROP)
    inside = ((truth > 0) & (truth < [CROP, CROP, 99])).all(1)
    return float(np.mean(cKDTree(found).query(truth[inside])[0]))


def table(faces: Sequence[Face]) -> str:
    """Markdown: each convention by bin of |yaw|, balanced."""
    yaw = np.array([f.yaw for f in faces])
    lines = ["| measure | 0-30 | 30-60 | 60-90 | balanced |", "|---|---|---|---|---|"]
    for name in MEASURES:
        rows, mean = balanced(np.array([f.figures[name] for f in faces]), yaw)
        digits = 1 if name == "rotation_deg" else 4
        cells = " | ".join(f"{v:.{digits}f}" for v in (*rows, mean))
        lines.append(f"| {name} | {cells} |")
    failed = sum(f.occupancy is None for f in faces)
    lines += ["", "| group | photos | surface_nme_68 |", "|---|---|---|"]
    for group in sorted({f.group for f in faces}):
        values = [f.figures["surface_nme_68"] for f in faces if f.group == group]
        lines.append(f"| {group} | {len(values)} | {np.mean(values):.4f} |")
    return "\n".join([*lines, "", f"{len(faces)} photos, {failed} without a face found."])


def sheet(faces: Sequence[Face]) -> NDArray[np.uint8]:
    """Rows: photo with landmarks (green truth, red found), mesh from the front, turned, over."""
    rows = []
    for f in faces:
        if f.crop is None or f.occupancy is None or f.truth is None or f.found is None:
            continue
        marked = f.crop.copy()
        for points, colour in ((f.truth, (0, 255, 0)), (f.found, (255, 0, 0))):
            for p in points:
                cv2.circle(marked, (round(float(p[0])), round(float(p[1]))), 1, colour, -1)
        v, t = extract(f.occupancy)
        front = picture(v, t)
        over = np.where((front < 255).any(-1, keepdims=True), f.crop // 2 + front // 2, f.crop)
        side = -50.0 if f.yaw > 0 else 50.0
        rows.append(np.hstack([f.crop, marked, over, front, picture(v, t, side)]))
    return np.vstack(rows) if rows else np.zeros((1, 1, 3), np.uint8)


def show(model: Model, crops: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Rows for pictures without ground truth: crop, landmarks, overlay, mesh from three sides."""
    rows = []
    for crop in crops:
        out = model(crop[None])
        v, t = extract(out["occupancy"][0])
        marked, front = crop.copy(), picture(v, t)
        for p in out["landmarks"][0]:
            cv2.circle(marked, (round(float(p[0])), round(float(p[1]))), 1, (255, 0, 0), -1)
        over = np.where((front < 255).any(-1, keepdims=True), crop // 2 + front // 2, crop)
        turned = [picture(v, t, yaw) for yaw in (-50.0, 50.0)]
        rows.append(np.hstack([crop, marked, over, front, *turned]))
    return np.vstack(rows) if rows else np.zeros((1, 1, 3), np.uint8)


def write_report(
    folder: Path, faces: Sequence[Face], synthetic: dict[str, float] | None, sheets: bool
) -> dict[str, Any]:
    """table.md, report.json, plots and the contact sheet of the worst twenty."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"synthetic": synthetic}
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
            for name in MEASURES
        }
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

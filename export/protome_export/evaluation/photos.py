"""Evaluate on real photos with 3D landmarks, through the service's own stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from protome.geometry import Level, Placement, turned
from protome.mesh.shape.surface import Surface
from protome_export.heads.model import Floats
from protome_export.training.shape_space import ShapeSpace, similarity

from .metrics import MOUTH, box_size, inner_nme, landmark_nme, surface_errors
from .service import Served
from .skin_groups import group_of
from .surfaces import flat_area, roughness, silhouette

MEASURES = (
    "surface_nme_68", "surface_nme_51", "surface_nme_mouth",
    "fine_nme_68", "fine_nme_51", "fine_nme_mouth",
    "bare_nme_68", "bare_nme_51", "bare_nme_mouth",
    "landmark_2d_nme", "landmark_2d_nme_51", "bare_2d_nme_51", "rotation_deg",
    # Of photos with a mask of the person; of faces that were found.
    "silhouette_iou", "silhouette_outside", "silhouette_missing",
    "rough_p50_mm", "rough_p90_mm", "fine_rough_p50_mm", "fine_rough_p90_mm", "flat_cm2",
    # Against a second annotation, if there is one; about the axes of the head; and how far the
    # two annotations are from each other.
    "second_2d_nme", "second_2d_nme_51", "second_rotation_deg",
    "pitch_deg", "yaw_deg", "roll_deg",
    "annotations_apart_2d_nme_51", "annotations_apart_deg",
)  # fmt: skip


AXES = ("pitch", "yaw", "roll")
SILHOUETTE = ("silhouette_iou", "silhouette_outside", "silhouette_missing")
SECOND = MEASURES[MEASURES.index("second_2d_nme") :]
PARTS = {"68": slice(None), "51": slice(17, None), "mouth": MOUTH}


@dataclass
class Face:
    """Results of one photo; a failure has 1.0 everywhere.

    ``truth`` and ``found`` are landmarks, crop px; ``expected`` is their mean expected error over
    the size of their box.
    """

    name: str
    yaw: float
    figures: dict[str, float] = field(default_factory=dict)
    crop: NDArray[np.uint8] | None = None
    truth: Floats | None = None
    found: Floats | None = None
    surface: Surface | None = None
    expected: float | None = None
    group: str = "unknown"


def to_photo(points: np.ndarray, placement: Placement) -> Floats:
    """Map (N, 3) from crop frame to photo px (x right, y down, z towards the camera)."""
    left, top = placement.corner
    across, down = turned(points[:, 0], points[:, 1], placement.roll)
    scaled = np.stack([across, down, -points[:, 2]], axis=1) * placement.pixel
    return np.asarray(scaled + np.array([left, top, 0.0]), np.float32)


def to_crop(points: np.ndarray, placement: Placement) -> Floats:
    """Map (N, >=2) photo px to (N, 2) crop px."""
    left, top = placement.corner
    x, y = turned(points[:, 0] - left, points[:, 1] - top, -placement.roll)
    return np.asarray(np.stack([x, y], axis=1) / placement.pixel, np.float32)


def rotation_error(truth: np.ndarray, linear: np.ndarray, space: ShapeSpace) -> Floats:
    """(3,) rotation vector, degrees, about the head's x, y and z axes (pitch, yaw, roll).

    Args:
        truth: (68, 3) landmarks, x right, y down, z away.
        linear: (3, 3) scaled rotation of a pose from the canonical frame.
        space: has the mean head; its inner 51 landmarks are fitted, as data sets place those of
            the jaw differently.
    """
    right = similarity(truth[None, 17:], space.canonical68[17:])[0][0]
    scale = np.sqrt(np.square(linear).sum() / 3)
    error = Rotation.from_matrix(right.T @ (linear / scale)).as_rotvec(degrees=True)
    return np.asarray(error, np.float32)


def _second_figures(
    points: Floats, second: Floats, found: Floats, linear: np.ndarray, space: ShapeSpace
) -> dict[str, float]:
    """Figures against a second annotation (68, 2), whose depth is that of the first; photo px."""
    truth = np.concatenate([second, -points[:, 2:]], 1)
    error = rotation_error(truth, linear, space)
    other = similarity((points * [1, 1, -1])[None, 17:], space.canonical68[17:])[0][0]
    return {
        "second_2d_nme": landmark_nme(second, found),
        "second_2d_nme_51": inner_nme(second, found),
        "second_rotation_deg": float(np.linalg.norm(error)),
        **{f"{axis}_deg": abs(float(v)) for axis, v in zip(AXES, error, strict=True)},
        "annotations_apart_2d_nme_51": inner_nme(second, points),
        "annotations_apart_deg": float(np.linalg.norm(rotation_error(truth, other, space))),
    }


def evaluate_photo(
    served: Served,
    photo: bytes,
    face: Face,
    points: Floats,
    space: ShapeSpace,
    second: Floats | None = None,
    person: NDArray[np.bool_] | None = None,
) -> None:
    """Fill in a face's figures.

    Args:
        served: the exported network.
        photo: the file's bytes.
        face: filled in; a photo without a face found counts 1.0 and 180 degrees.
        points: (68, 3) photo px, z towards the camera.
        space: the network's shape space.
        second: (68, 2) another annotation, photo px.
        person: (h, w) mask of the person.
    """
    face.figures = {
        name: 180.0 if name.endswith("_deg") else 1.0
        for name in MEASURES
        if name.endswith(("_deg", "nme", "_51", "_68", "_mouth"))
        and (second is not None or name not in SECOND)
    }
    if person is not None:
        face.figures |= dict(zip(SILHOUETTE, (0.0, 0.0, 1.0), strict=True))
    cropped = served.faces(photo).main
    if cropped is None:
        return
    out = served.predict(cropped.crop)
    assert out.landmarks is not None
    assert out.pose is not None
    place = cropped.placement
    standard, fine = (served.surface(out, level) for level in (Level.STANDARD, Level.FINE))
    if standard is None or fine is None:
        return
    surfaces = {"surface": standard.vertices, "fine": fine.vertices}
    linear = out.pose[:, :3] * [1, -1, -1]  # from the canonical frame
    bare = space.mean @ linear.T + out.pose[:, 3]
    surfaces["bare"] = bare.astype(np.float32)
    found = to_photo(out.landmarks, place)
    # From here on in the photo's axes, like the annotations.
    linear = np.stack([*turned(linear[0], linear[1], place.roll), linear[2]])
    error = rotation_error(points * [1, 1, -1], linear, space)
    for kind, surface in surfaces.items():
        own = surface_errors(points, to_photo(surface, place))
        for part, rows in PARTS.items():
            face.figures[f"{kind}_nme_{part}"] = min(float(own[rows].mean()), 1.0)
    face.figures |= {
        "landmark_2d_nme": landmark_nme(points, found),
        "landmark_2d_nme_51": inner_nme(points, found),
        "bare_2d_nme_51": inner_nme(points, to_photo(bare[space.landmarks], place)),
        "rotation_deg": float(np.linalg.norm(error)),
    }
    if second is not None:
        face.figures |= _second_figures(points, second, found, linear, space)
    face.figures |= {
        **dict(zip(("rough_p50_mm", "rough_p90_mm"), roughness(standard), strict=True)),
        **dict(zip(("fine_rough_p50_mm", "fine_rough_p90_mm"), roughness(fine), strict=True)),
        "flat_cm2": flat_area(standard),
    }
    if person is not None:
        pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        shown = to_photo(standard.vertices, place)
        outline = silhouette(
            points, person, np.asarray(pixels, np.uint8), shown, standard.triangles
        )
        face.figures |= {f"silhouette_{k}": v for k, v in vars(outline).items()}
    face.crop, face.found, face.surface = cropped.crop, out.landmarks, standard
    if out.landmark_error is not None:
        face.expected = float(out.landmark_error.mean()) / box_size(out.landmarks)
    face.truth = to_crop(points, place)
    face.group = group_of(cropped.crop, face.truth)


def labelled(folder: Path, landmarks: Path) -> Iterator[tuple[str, bytes, Floats, float]]:
    """Read the photos of a data set.

    Args:
        folder: with the photos.
        landmarks: .npz with names, points, yaw_degrees.

    Yields:
        Name, encoded photo, points (68, 3) and yaw in degrees.
    """
    with np.load(landmarks) as z:
        rows = list(zip(z["names"], z["points"], z["yaw_degrees"], strict=True))
    for name, points, yaw in rows:
        path = next(p for p in sorted(folder.glob(f"{name}.*")) if p.suffix != ".mat")
        yield str(name), path.read_bytes(), np.asarray(points, np.float32), float(yaw)


def person_masks(path: Path) -> dict[str, NDArray[np.bool_]]:
    """Read the masks (h, w) of the persons by the photo's name."""
    with np.load(path) as z:
        height, width = int(z["height"]), int(z["width"])
        bits = np.unpackbits(z["packed"], axis=1, count=height * width).astype(bool)
        names = [str(name) for name in z["names"]]
    return dict(zip(names, bits.reshape(-1, height, width), strict=True))


def evaluate_photos(
    served: Served,
    folder: Path,
    landmarks: Path,
    space: ShapeSpace,
    second: Path | None = None,
    masks: Path | None = None,
) -> list[Face]:
    """Evaluate every photo of `labelled`.

    Args:
        served: see `evaluate_photo`.
        folder: see `labelled`.
        landmarks: see `labelled`.
        space: see `evaluate_photo`.
        second: another annotation (.npz: names, points).
        masks: of the persons (.npz: names, height, width, packed: a row of bits for each).
    """
    others: dict[str, Floats] = {}
    if second:
        with np.load(second) as z:
            others = {str(n): p for n, p in zip(z["names"], z["points"], strict=True)}
    people = person_masks(masks) if masks else {}
    faces = []
    for name, photo, points, yaw in labelled(folder, landmarks):
        face = Face(name, yaw)
        evaluate_photo(served, photo, face, points, space, others.get(name), people.get(name))
        faces.append(face)
    return faces

"""Evaluate on real photos with 3D landmarks, through the service's own stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from protome.geometry import Level, Placement, resample
from protome_export.heads.model import Floats
from protome_export.heads.pose import CENTRE, SCALE
from protome_export.training.geometry import Voxeliser
from protome_export.training.shape_space import ShapeSpace, similarity

from .metrics import MOUTH, box_size, inner_nme, landmark_nme, surface_errors
from .service import Cropped, Served, surface_of
from .skin_groups import group_of

MEASURES = (
    "surface_nme_68", "surface_nme_51", "surface_nme_mouth",
    "fine_nme_68", "fine_nme_51", "fine_nme_mouth",
    "bare_nme_68", "bare_nme_51", "bare_nme_mouth",
    "landmark_2d_nme", "landmark_2d_nme_51", "bare_2d_nme_51", "rotation_deg",
)  # fmt: skip


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
    volume: NDArray[np.uint8] | None = None
    expected: float | None = None
    group: str = "unknown"


def to_photo(points: np.ndarray, placement: Placement) -> Floats:
    """Map (N, 3) from crop frame to photo px (x right, y down, z towards the camera)."""
    corner = np.array([placement.left, placement.top, 0.0])
    scale = placement.pixel * np.array([1.0, 1.0, -1.0])
    return np.asarray(points * scale + corner, np.float32)


def to_crop(points: np.ndarray, placement: Placement) -> Floats:
    """Map (N, >=2) photo px to (N, 2) crop px."""
    corner = np.array([placement.left, placement.top])
    return np.asarray((points[:, :2] - corner) / placement.pixel, np.float32)


def recentre(landmarks: np.ndarray, pose: np.ndarray, placement: Placement) -> Placement:
    """Return the placement that centres the predicted head at the nominal scale."""
    k = float(np.sqrt(np.square(pose[:, :3]).sum() / 3)) / SCALE
    middle = (landmarks[:, :2].max(0) + landmarks[:, :2].min(0)) / 2
    pixel = placement.pixel * k
    at = np.array([placement.left, placement.top]) + placement.pixel * middle
    left, top = at - pixel * np.array(CENTRE)
    return Placement(float(left), float(top), pixel)


def to_uint8(occupancy: Floats) -> NDArray[np.uint8]:
    """Convert occupancy from 0..1 to uint8, as the service receives it."""
    return (occupancy * 255 + 0.5).astype(np.uint8)


def _refined(served: Served, photo: bytes, cropped: Cropped, passes: int) -> Cropped:
    for _ in range(passes - 1):
        out = served.predict(cropped.crop)
        assert out.landmarks is not None
        assert out.pose is not None
        cropped = served.crop(photo, recentre(out.landmarks, out.pose, cropped.placement))
    return cropped


def evaluate_photo(
    served: Served,
    photo: bytes,
    face: Face,
    points: Floats,
    space: ShapeSpace,
    voxeliser: Voxeliser,
    passes: int,
) -> None:
    """Fill in the results of a face.

    The bare head is voxelised like the network's own.

    Args:
        served: the model.
        photo: encoded photo.
        face: to fill in.
        points: (68, 3) true landmarks, photo px, z towards the camera.
        space: shape space of the network.
        voxeliser: of the network.
        passes: 2 crops again from the first result.
    """
    face.figures = dict.fromkeys(MEASURES, 1.0) | {"rotation_deg": 180.0}
    cropped = served.faces(photo).main
    if cropped is None:
        return
    cropped = _refined(served, photo, cropped, passes)
    finest = served.model.source(Level.FINE)
    out = served.predict(cropped.crop, Level.STANDARD, finest)
    assert out.landmarks is not None
    assert out.pose is not None
    volume, place = out.volumes[Level.STANDARD], cropped.placement
    vertices, _ = surface_of(volume)
    fine, _ = surface_of(resample(out.volumes[finest], Level.FINE))
    linear = out.pose[:, :3] * [1, -1, -1]  # from the canonical frame
    bare = space.mean @ linear.T + out.pose[:, 3]
    with torch.inference_mode():
        occupancy = voxeliser(torch.from_numpy(bare[None].astype(np.float32)))[0].numpy()
    bare_surface, _ = surface_of(to_uint8(occupancy))
    truth = points * np.array([1, 1, -1], np.float32)
    # The inner 51: data sets place the jaw's points differently.
    right = similarity(truth[None, 17:], space.canonical68[17:])[0][0]
    scale = np.sqrt(np.square(linear).sum() / 3)
    cosine = (np.trace(right.T @ (linear / scale)) - 1) / 2
    errors = {
        kind: surface_errors(points, to_photo(surface, place))
        for kind, surface in (("surface", vertices), ("fine", fine), ("bare", bare_surface))
    }
    parts = {"68": slice(None), "51": slice(17, None), "mouth": MOUTH}
    face.figures = {
        **{
            f"{kind}_nme_{k}": min(float(own[part].mean()), 1.0)
            for kind, own in errors.items()
            for k, part in parts.items()
        },
        "landmark_2d_nme": landmark_nme(points, to_photo(out.landmarks, place)),
        "landmark_2d_nme_51": inner_nme(points, to_photo(out.landmarks, place)),
        "bare_2d_nme_51": inner_nme(points, to_photo(bare[space.landmarks], place)),
        "rotation_deg": float(np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))),
    }
    face.crop, face.found, face.volume = cropped.crop, out.landmarks, volume
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


def evaluate_photos(
    served: Served, folder: Path, landmarks: Path, space: ShapeSpace, passes: int = 1
) -> list[Face]:
    """Evaluate each photo of `labelled`; arguments as there and `evaluate_photo`."""
    faces, voxeliser = [], Voxeliser(space.mean, space.triangles)
    for name, photo, points, yaw in labelled(folder, landmarks):
        face = Face(name, yaw)
        evaluate_photo(served, photo, face, points, space, voxeliser, passes)
        faces.append(face)
    return faces

"""Turn photos and compare each head with that of the upright photo.

Run: ``python -m load_tests.micro.roll [--step DEGREES] PHOTO...``; without photos, the sample.

Prints for each photo, of one face, and angle, counter-clockwise: the confidence; how far the roll
is from that of the upright head turned by the angle, degrees; and how far the landmarks and the
mesh are from those of the upright head once the turn is taken out, mean, mm at a head's nominal
size. The pose's roll is that of ``protome.v1.Pose``: for a head that does not look straight into
the camera it is not the angle in the picture, so the upright pose is turned as a rotation.
"""

from __future__ import annotations

import argparse
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from scipy.spatial import cKDTree

from protome.client import Client, ReconstructionError
from protome.embedded import EmbeddedServer
from protome.geometry import F64, about_z
from protome.sample import SAMPLE


@dataclass(frozen=True, slots=True)
class Head:
    """A head in its photo: photo coordinates with z towards the camera, relative to the middle.

    Attributes:
        vertices: (n, 3) pixels.
        normals: (n, 3) unit.
        landmarks: (68, 3) pixels.
        pose: (3, 3) rotation, about the mesh's axes.
        millimetres: of a pixel.
        confidence: 0 to 1.
    """

    vertices: F64
    normals: F64
    landmarks: F64
    pose: F64
    millimetres: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How far a head is from the one expected: degrees of roll, and mm."""

    roll: float
    landmarks: float
    mesh: float


def head(client: Client, photo: Image.Image, angle: float, face: int = 0) -> Head:
    """Reconstruct a face of a photo turned counter-clockwise about its middle.

    Raises:
        ReconstructionError: as of the client; no face was found, for one.
    """
    picture = photo.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=(127, 127, 127))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    answer = client.reconstruct(file.getvalue(), formats=["ply"], appearance="none")
    found, summary = answer.faces[face], answer.summary.faces[face]
    mesh = trimesh.load_mesh(io.BytesIO(found.mesh), file_type="ply")
    assert found.mesh_to_photo is not None
    matrix = np.array(found.mesh_to_photo)
    middle = np.array([picture.width / 2, picture.height / 2, 0.0])
    marks = np.array([(p.x, p.y, p.z) for p in summary.landmarks])
    return Head(
        mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3] - middle,
        mesh.vertex_normals * np.sign(np.diag(matrix)[:3]),
        marks - middle,
        _rotation(summary.pose.yaw_degrees, summary.pose.pitch_degrees, summary.pose.roll_degrees),
        1000 / abs(matrix[2, 2]),
        found.confidence or 0.0,
    )


def compare(upright: Head, turned: Head, angle: float) -> Difference:
    """Compare the head of a turned photo with that of the upright one."""
    rotation = about_z(angle)[:3, :3]
    expected, got = (_roll(pose) for pose in (rotation @ upright.pose, turned.pose))
    # From mesh axes, y up, to the photo's, y down.
    back = np.diag([1, -1, 1]) @ rotation.T @ np.diag([1, -1, 1])
    vertices, normals = turned.vertices @ back.T, turned.normals @ back.T
    apart = [
        _to_surface(vertices, upright.vertices, upright.normals),
        _to_surface(upright.vertices, vertices, normals),
    ]
    marks = np.linalg.norm(turned.landmarks @ back.T - upright.landmarks, axis=1)
    return Difference(
        abs((got - expected + 180) % 360 - 180),
        float(marks.mean()) * upright.millimetres,
        float(np.mean(apart)) * upright.millimetres,
    )


def _to_surface(points: F64, vertices: F64, normals: F64) -> float:
    """Mean distance of points to the planes of the nearest vertices."""
    _, nearest = cKDTree(vertices).query(points)
    off = np.einsum("ij,ij->i", points - vertices[nearest], normals[nearest])
    return float(np.abs(off).mean())


def _rotation(yaw: float, pitch: float, roll: float) -> F64:
    """Rotation of a pose of the contract, (3, 3)."""
    y, p = math.radians(yaw), math.radians(pitch)
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), math.sin(p)], [0, -math.sin(p), math.cos(p)]])
    return np.asarray(about_y @ about_x @ about_z(roll)[:3, :3], np.float64)


def _roll(pose: F64) -> float:
    return math.degrees(math.atan2(pose[1, 0], pose[1, 1]))


def main() -> None:
    """Print a line for each photo and angle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path, default=[SAMPLE])
    parser.add_argument("--step", type=int, default=30, help="degrees between the angles")
    arguments = parser.parse_args()
    with EmbeddedServer(["--log-level", "error"]) as server, Client(server.address) as client:
        for path in arguments.photos:
            photo = Image.open(path).convert("RGB")
            upright = head(client, photo, 0)
            print(path.name)
            print("angle  confidence  roll off  landmarks mm  mesh mm")
            for angle in range(0, 360, arguments.step):
                try:
                    turned = head(client, photo, angle)
                except ReconstructionError as error:
                    print(f"{angle:5d}  {error.reason}")
                    continue
                off = compare(upright, turned, angle)
                print(
                    f"{angle:5d}  {turned.confidence:10.2f}  {off.roll:8.1f}"
                    f"  {off.landmarks:12.1f}  {off.mesh:7.1f}"
                )


if __name__ == "__main__":
    main()

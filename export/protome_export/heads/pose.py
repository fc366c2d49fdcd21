"""Draw shape and pose of a synthetic head: identity, expression, rotation, camera distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from protome.geometry import CROP_SIDE, PIXELS_PER_CM

from .groups import draw_people
from .model import Floats, HeadModel

CROP, SCALE = CROP_SIDE, PIXELS_PER_CM
CENTRE = (104.0, 119.0)  # crop px of the centre of the 68 points' box
_CHILD_IDENTITY = 0.6  # of the modes of scanned adults in children


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Return the rotation (3, 3) by yaw, then pitch, then roll.

    Args:
        yaw: degrees; positive turns to the subject's left.
        pitch: degrees; positive turns down.
        roll: degrees; positive tilts to the subject's right.
    """
    y, p, r = np.deg2rad([yaw, pitch, roll])
    cy, sy, cp, sp, cr, sr = np.cos(y), np.sin(y), np.cos(p), np.sin(p), np.cos(r), np.sin(r)
    ry = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    rx = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    rz = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(rz @ rx @ ry, np.float32)


@dataclass
class Shape:
    """The parameters that place a head's vertices in the crop.

    Attributes:
        identity: (I,) sigmas.
        expression: (E,) weights, 0 to 1.
        stretch: (3,) factors per axis.
        angles: yaw, pitch, roll, degrees.
        distance: of the camera, cm; inf is orthographic.
        scale: crop px per cm.
        shift: (2,) crop px.
        age: of `groups.AGES`.
    """

    identity: Floats
    expression: Floats
    stretch: Floats
    angles: tuple[float, float, float]
    distance: float
    scale: float
    shift: tuple[float, float]
    age: str = "adult"


def _set_pair(weights: Floats, names: dict[str, int], stem: str, value: float) -> None:
    for side in ("_L", "_R"):
        k = names.get(stem + side)
        if k is not None:
            weights[k] = max(weights[k], value)


def _expression(rng: np.random.Generator, head: HeadModel) -> Floats:
    count = len(head.expression_names)
    names = {n: k for k, n in enumerate(head.expression_names)}
    w = np.zeros(count, np.float32)
    mode = rng.random()
    if 0.22 < mode < 0.75 and count:
        n = int(rng.integers(1, min(8, count) + 1))
        w[rng.choice(count, n, replace=False)] = rng.random(n) * rng.uniform(0.3, 1)
        for name, k in names.items():
            twin = names.get(name[:-2] + "_R") if name.endswith("_L") else None
            if twin is not None and rng.random() < 0.75:
                w[k] = w[twin] = max(w[k], w[twin])
    jaw = names.get("jawOpen")
    if mode > 0.42:
        t, s = rng.random(), float(rng.uniform(0.2, 1))
        if t < 0.5:
            _set_pair(w, names, "mouthSmile", s)
            _set_pair(w, names, "cheekSquint", 0.6 * s)
            _set_pair(w, names, "eyeSquint", 0.4 * s)
            _set_pair(w, names, "mouthUpperUp", 0.4 * s * rng.random())
            _set_pair(w, names, "mouthLowerDown", 0.5 * s * rng.random())
            _set_pair(w, names, "mouthStretch", 0.3 * s * rng.random())
            if jaw is not None:
                w[jaw] = max(w[jaw], 0.4 * rng.random() * s)
        elif t < 0.85 and jaw is not None:
            w[jaw] = max(w[jaw], rng.random() * 0.95)
    if rng.random() < 0.14:
        _set_pair(w, names, "eyeBlink", float(rng.random()))
    side, up = float(rng.normal(0, 0.5)), float(rng.normal(0, 0.3))
    gaze = {
        "eyeLookUp_L": up, "eyeLookUp_R": up, "eyeLookDown_L": -up, "eyeLookDown_R": -up,
        "eyeLookOut_L": side, "eyeLookIn_R": side, "eyeLookIn_L": -side, "eyeLookOut_R": -side,
    }  # fmt: skip
    for name, value in gaze.items():
        if name in names:
            w[names[name]] = max(value, 0.0)
    return w.clip(0, 1)


def sample_shape(rng: np.random.Generator, head: HeadModel, group: str | None = None) -> Shape:
    """Draw a head. Over half of the yaws are uniform to beyond profile, so profiles are common.

    Args:
        rng: random numbers.
        head: the head model.
        group: of `groups.GROUPS`; None: any.
    """
    scanned = len(head.identity) - len(head.people)
    identity = rng.standard_normal(scanned) * rng.uniform(0.7, 1.35)
    expression = _expression(rng, head)
    if rng.random() < 0.4:
        yaw = float(np.clip(rng.normal(0, 24), -92, 92))
    else:
        yaw = float(rng.uniform(-96, 96))
    pitch = float(np.clip(rng.normal(0, 13 if rng.random() < 0.7 else 27), -60, 55))
    roll = float(np.clip(rng.normal(0, 12), -50, 50))
    distance = float(np.exp(rng.uniform(np.log(38), np.log(250))))
    shape = Shape(
        identity.astype(np.float32),
        expression,
        (1 + rng.normal(0, 0.028, 3)).astype(np.float32),
        (yaw, pitch, roll),
        distance if rng.random() < 0.65 else float("inf"),
        float(SCALE * np.exp(rng.uniform(-0.22, 0.22))),
        (float(rng.uniform(-13, 13)), float(rng.uniform(-13, 13))),
    )
    if head.people:  # drawn last: the rest of a seed is that of the head without them
        shape.age, people = draw_people(rng, head.people, group)
        scanned_share = _CHILD_IDENTITY if shape.age == "child" else 1.0
        shape.identity = np.concatenate([shape.identity * np.float32(scanned_share), people])
    return shape


class Shaper:
    """Compute vertices of one head model on one device."""

    def __init__(self, head: HeadModel, device: torch.device) -> None:
        rows = np.concatenate([head.identity, head.expression])
        self.device = device
        self.basis = torch.from_numpy(rows.reshape(len(rows), -1).astype(np.float32)).to(device)
        self.neutral = torch.from_numpy(head.neutral.astype(np.float32).ravel()).to(device)

    def vertices(self, shapes: list[Shape]) -> Tensor:
        """Return the vertices of B shapes, (B, V, 3) cm, head frame."""
        weights = np.stack([np.concatenate([s.identity, s.expression]) for s in shapes])
        stretch = torch.from_numpy(np.stack([s.stretch for s in shapes])).to(self.device)
        moved = torch.from_numpy(weights.astype(np.float32)).to(self.device) @ self.basis
        return (moved + self.neutral).view(len(shapes), -1, 3) * stretch[:, None].float()


@dataclass
class Camera:
    """Map head-frame cm to crop px: rotation about ``pivot``, perspective, scale, shift."""

    rotation: Floats
    pivot: Floats
    distance: float
    scale: float
    origin: tuple[float, float]

    def turn(self, vertices: np.ndarray) -> Floats:
        """Map (N, 3) cm from head to camera frame (x right, y up, z towards the camera), cm."""
        q = (vertices - self.pivot) @ self.rotation.T
        if np.isfinite(self.distance):
            near = self.distance / np.maximum(self.distance - q[:, 2:3], 5.0)
            q = np.concatenate([q[:, :2] * near, q[:, 2:3]], 1)
        return q.astype(np.float32)

    def project(self, vertices: np.ndarray) -> Floats:
        """Map (N, 3) cm, head frame, to crop px (x right, y down, z away, 0 at the pivot)."""
        q = self.turn(vertices) * np.float32(self.scale)
        return q * np.array([1, -1, -1], np.float32) + np.array([*self.origin, 0], np.float32)


def make_camera(shape: Shape, landmarks: Floats) -> Camera:
    """Return the camera that centres the landmarks' box at CENTRE plus the shape's shift.

    Args:
        shape: angles, distance, scale and shift of the camera.
        landmarks: (68, 3) cm, head frame.
    """
    pivot = landmarks.mean(0)
    camera = Camera(rotation(*shape.angles), pivot, shape.distance, shape.scale, (0.0, 0.0))
    p = camera.project(landmarks)
    middle = (p[:, :2].max(0) + p[:, :2].min(0)) / 2
    camera.origin = (
        float(CENTRE[0] + shape.shift[0] - middle[0]),
        float(CENTRE[1] + shape.shift[1] - middle[1]),
    )
    return camera

"""Skin textures: CC0 skins blended in optical density, shifted in melanin and haemoglobin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .assets import BACK, TEXTURE, Assets, to_linear
from .hair import COLOURS, Hair
from .headmodel import Floats
from .noise import NoiseBank
from .pixels import blur, shrink

# Relative absorption of the two pigments in sRGB primaries (after Tsumura et al. 1999).
_MELANIN = np.array([0.55, 0.80, 1.10], np.float32)
_HAEMOGLOBIN = np.array([0.10, 0.85, 0.70], np.float32)


@dataclass
class Skin:
    """face (TEXTURE, TEXTURE, 3) and back (BACK, BACK, 3) linear albedo; tone (3,) the mean."""

    face: Floats
    back: Floats
    tone: Floats


def _mix(a: Floats, b: Floats | list[float], weight: Floats) -> Floats:
    return np.asarray(a + (np.asarray(b, np.float32) - a) * weight[..., None], np.float32)


def _brows(
    rng: np.random.Generator, points: Floats, unit: float, colour: Floats, fine: Floats
) -> tuple[Floats, Floats]:
    mask = np.zeros((TEXTURE * 2, TEXTURE * 2), np.float32)
    thick = rng.uniform(2, 9) * unit
    lift, arch = rng.normal(0, 2.5) * unit, rng.normal(0, 2.5) * unit
    length = rng.uniform(0.8, 1.1)
    bend = np.array([-0.5, 0.7, 1.0, 0.3, -0.3])
    for brow in (points[17:22], points[26:21:-1]):
        inner = brow[4]
        p = inner + (brow - inner) * [length, 1]
        p[:, 1] += lift + 3 * unit - arch * bend
        for i, w in enumerate((0.55, 0.9, 1.1, 1.15)):
            a, b = ((p[i] * 2).astype(int).tolist(), (p[i + 1] * 2).astype(int).tolist())
            cv2.line(mask, a, b, (1.0,), max(1, int(thick * w)), cv2.LINE_AA)
    mask = shrink(blur(mask, rng.uniform(1, 3)), TEXTURE, TEXTURE)
    weight = np.clip(mask * rng.uniform(0.2, 1.1) * (1 + 0.3 * fine), 0, 0.97)
    return np.asarray(weight, np.float32), colour


def _wrinkles(rng: np.random.Generator, points: Floats, unit: float) -> Floats:
    """Optical density (TEXTURE, TEXTURE) of nasolabial folds and lines of the forehead."""
    lines = np.zeros((TEXTURE, TEXTURE), np.float32)
    for nose, mouth in ((points[31], points[48]), (points[35], points[54])):
        side = np.sign(mouth[0] - points[33, 0])
        middle = (nose + mouth) / 2 + [side * 7 * unit, 0]
        out = np.array([[side * 3 * unit, -4 * unit], [side * 6 * unit, 0]])
        p = np.array([nose + out[0], middle, mouth + out[1]])
        cv2.polylines(lines, [p.astype(np.int32)], False, (1.0,), 1, cv2.LINE_AA)
    brow = points[17:27, 1].min()
    for _ in range(int(rng.integers(0, 5))):
        y = brow - rng.uniform(4, 26) * unit
        x = np.linspace(points[18, 0], points[25, 0], 6)
        p = np.stack([x, y + rng.normal(0, 1.2 * unit, 6)], 1)
        cv2.polylines(lines, [p.astype(np.int32)], False, (0.8,), 1, cv2.LINE_AA)
    return blur(lines, rng.uniform(0.7, 1.8))


def sample_skin(
    rng: np.random.Generator, assets: Assets, noise: NoiseBank, hair: Hair, hair_mask: Floats
) -> Skin:
    """Draws a skin; hair_mask (TEXTURE, TEXTURE) is where the hair roots show on the face tile."""
    m = assets.masks
    unit = float(np.ptp(m.landmarks[:17, 0])) / 190.0
    count = len(assets.density)
    first, second = (int(k) for k in rng.integers(0, count, 2))
    w = np.float32(rng.random() if rng.random() < 0.6 else 0)
    density = assets.density[first] * (1 - w) + assets.density[second] * w
    back = assets.density_back[first] * (1 - w) + assets.density_back[second] * w
    mean = density[TEXTURE // 4 : 3 * TEXTURE // 4, TEXTURE // 4 : 3 * TEXTURE // 4].mean((0, 1))
    # Half keep their tone about as it is, half are moved to a tone anywhere between the extremes.
    target = rng.uniform(0.25, 2.9) if rng.random() < 0.5 else float(mean[1]) + rng.normal(0, 0.25)
    pigment = _MELANIN * np.float32((np.clip(target, 0.2, 3.1) - mean[1]) / _MELANIN[1])
    blood = _HAEMOGLOBIN * np.float32(rng.normal(0, 0.12))
    shift = (pigment + blood + rng.normal(0, 0.05, 3)).astype(np.float32)
    contrast = np.float32(rng.uniform(0.6, 1.25))
    density = mean + (density - mean) * contrast + shift
    back = mean + (back - mean) * contrast + shift

    n1, n2, n3 = (noise.draw(rng, kind) for kind in ("smooth", "medium", "fine"))
    mottle = n1 * rng.uniform(0, 0.1) + n2 * rng.uniform(0, 0.07) + n3 * rng.uniform(0, 0.06)
    flush = m.cheeks * rng.uniform(0, 0.5) + m.nose * rng.uniform(0, 0.4) + n1 * rng.uniform(0, 0.1)
    density = density + mottle[..., None] + flush[..., None] * _HAEMOGLOBIN
    density = density + (m.eyes * rng.uniform(-0.05, 0.25))[..., None]
    if rng.random() < 0.35:
        density = density + (_wrinkles(rng, m.landmarks, unit) * rng.uniform(0.1, 0.7))[..., None]
    if rng.random() < 0.2:  # freckles and moles
        spots = np.zeros((TEXTURE, TEXTURE), np.float32)
        for _ in range(int(rng.integers(1, 60))):
            x, y = rng.normal(m.landmarks[30], 40 * unit)
            cv2.circle(spots, (int(x), int(y)), 1, (float(rng.uniform(0.3, 1)),), -1, cv2.LINE_AA)
        density = density + spots[..., None] * _MELANIN * np.float32(rng.uniform(0.2, 0.9))
    face = np.exp(-density.clip(0.02, 5.5))
    tone = np.exp(-(mean + shift).clip(0.02, 5.5)).astype(np.float32)

    dark = to_linear(COLOURS[rng.integers(3)])
    if rng.random() < 0.3:  # eye shadow
        paint = to_linear(rng.random(3) * 0.6) if rng.random() < 0.4 else tone * 0.35
        face = _mix(face, paint, (m.eyes * rng.uniform(0.05, 0.6)).astype(np.float32))
    if rng.random() < 0.6:
        face = face * (1 - m.lids * rng.uniform(0, 0.7))[..., None]
    lips = face * np.array(
        [rng.uniform(0.7, 1.1), rng.uniform(0.4, 0.9), rng.uniform(0.4, 0.9)], np.float32
    )
    if rng.random() < 0.25:
        lips = np.broadcast_to(
            to_linear([rng.uniform(0.4, 0.85), rng.uniform(0.05, 0.35), rng.uniform(0.1, 0.4)]),
            face.shape,
        )
    face = face + (lips - face) * np.clip(m.lips * rng.uniform(0.2, 1.0), 0, 1)[..., None]
    if rng.random() < 0.42 and not (hair.long and rng.random() < 0.85):
        where = (m.beard, m.moustache, np.clip(m.beard + m.moustache, 0, 1))[rng.integers(3)]
        strength = rng.uniform(0.05, 1) ** 1.3
        beard = hair.colour * np.float32(0.8) if rng.random() < 0.7 else dark
        grain = 1 + 0.5 * n3 * min(1, strength * 2) + 0.3 * n2
        face = _mix(face, beard, np.clip(where * strength * grain, 0, 0.97).astype(np.float32))
    brow_colour = hair.colour * np.float32(0.6) if rng.random() < 0.6 else dark
    weight, colour = _brows(rng, m.landmarks.copy(), unit, brow_colour, n3)
    face = _mix(face, colour, weight)
    if hair.covers and not hair.hat:
        amount = rng.uniform(0, 0.5) if hair.bald else 0.95
        face = _mix(face, hair.colour, hair_mask * np.float32(amount))
        back = np.exp(-back.clip(0.02, 5.5))
        back = _mix(back, hair.colour, m.scalp_back * np.float32(amount))
    else:
        back = np.exp(-back.clip(0.02, 5.5))
    assert back.shape == (BACK, BACK, 3)
    return Skin(face.clip(0.003, 1).astype(np.float32), back.clip(0.003, 1), tone)

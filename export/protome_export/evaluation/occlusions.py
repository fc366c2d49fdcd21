"""Cover faces in photos by drawn things: masks, dark glasses, hands, phones, scarves, patches.

They are drawn on the photo itself, by other code than the training data's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from protome_export.heads.model import Floats
from protome_export.render.inner_face import SEGMENTS, distance

U8 = NDArray[np.uint8]
# How something is drawn: photo (h, w, 3) RGB, landmarks (68, 2) px, px of a cm, random numbers ->
# what shows (h, w, 3) and where, (h, w) 0..1.
Occluder = Callable[[U8, Floats, float, np.random.Generator], tuple[Floats, Floats]]


def hidden_share(cover: Floats, points: Floats, scale: float) -> float:
    """Return which share of the inner face a cover hides.

    It is the mean of eyes, nose, and mouth with chin.

    Args:
        cover: (h, w) 0..1.
        points: (68, 2) landmarks, px.
        scale: px of a cm.
    """
    height, width = cover.shape
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    at = np.stack([x.ravel(), y.ravel()], 1)
    taken = np.zeros(len(at), bool)
    shares = []
    for segments in SEGMENTS:
        region = np.zeros(len(at), bool)
        for first, last, reach in segments:
            region |= distance(at, points[first], points[last]) < reach * scale
        region &= ~taken
        taken |= region
        shares.append(cover.ravel()[region].mean() if region.any() else 0.0)
    return float(np.mean(shares))


def cover_photo(
    photo: U8, points: Floats, scale: float, kind: str, rng: np.random.Generator
) -> tuple[U8, float]:
    """Cover the face of a photo (h, w, 3) RGB by one of `KINDS`; return it and `hidden_share`."""
    shown, alpha = KINDS[kind](photo, points, scale, rng)
    soft = cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), max(0.04 * scale, 0.5))
    cover = np.asarray(soft, np.float32)
    out = photo * (1 - cover[..., None]) + shown * cover[..., None]
    return out.clip(0, 255).astype(np.uint8), hidden_share(cover, points, scale)


def _filled(photo: U8, outline: Floats) -> Floats:
    mask = np.zeros(photo.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round(outline * 8).astype(np.int32)], 1.0, cv2.LINE_AA, 3)
    return mask


def _light(photo: U8, points: Floats) -> float:
    """Return the brightness of the face, 0..1."""
    x, y = points[[2, 14, 30, 33]].mean(0).round().astype(int)
    reach = max(int(np.ptp(points[:, 0]) / 8), 1)
    near = photo[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    return float(near.mean() / 255) if near.size else 0.5


def _shaded(photo: U8, colour: np.ndarray, points: Floats, rng: np.random.Generator) -> Floats:
    """Return a sheet of a colour in the light of the face, darker to one side, with grain."""
    height, width = photo.shape[:2]
    left, right = points[:, 0].min(), points[:, 0].max()
    across = (np.arange(width) - left) / max(right - left, 1) - 0.5
    side = 1 + across.clip(-1, 1) * rng.uniform(-0.5, 0.5)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.5)
    light = np.clip(_light(photo, points) * 1.5, 0.3, 1.2)
    sheet = colour * light * side[None, :, None] * (1 + 0.08 * grain[..., None])
    return np.asarray(sheet, np.float32)


def _mask(
    photo: U8, points: Floats, scale: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw a medical mask, from the bridge of the nose to below the chin."""
    bridge = points[27] + (points[30] - points[27]) * rng.uniform(0.3, 0.9)
    jaw = points[2:15].copy()
    down = (points[8] - points[27]) / np.linalg.norm(points[8] - points[27])
    jaw[4:9] += down * 0.8 * scale
    outline = np.concatenate([jaw, (bridge + jaw[-1])[None] / 2 - down * 0.4 * scale, bridge[None],
                              (bridge + jaw[0])[None] / 2 - down * 0.4 * scale])  # fmt: skip
    colours = [[150, 195, 225], [235, 235, 235], [40, 40, 45], rng.uniform(30, 230, 3)]
    sheet = _shaded(photo, np.array(colours[rng.integers(4)], np.float32), points, rng)
    height, width = photo.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    along = (x - bridge[0]) * down[0] + (y - bridge[1]) * down[1]
    sheet *= 1 - 0.2 * (np.cos(2 * np.pi * along / (1.5 * scale)) > 0.8)[..., None]
    return sheet, _filled(photo, outline)


def _glasses(
    photo: U8, points: Floats, scale: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw sunglasses."""
    alpha = np.zeros(photo.shape[:2], np.float32)
    power, tall, wide = rng.uniform(2, 5), rng.uniform(1.6, 2.4), rng.uniform(1.15, 1.35)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([np.sign(f) * np.abs(f) ** (2 / power) for f in (np.cos(angle), np.sin(angle))])
    eyes = [points[36:42], points[42:48]]
    line = eyes[1].mean(0) - eyes[0].mean(0)
    along = line / max(float(np.linalg.norm(line)), 1e-3)
    across = np.array([-along[1], along[0]])
    for eye in eyes:
        half = max(np.ptp(eye @ along) * wide * 0.75, 0.9 * scale)
        outline = eye.mean(0) + ring[0][:, None] * along * half
        outline += (ring[1][:, None] + 0.15) * across * tall * scale
        alpha = np.maximum(alpha, _filled(photo, outline))
    ends = [tuple(int(v) for v in e.mean(0).round()) for e in eyes]
    cv2.line(alpha, ends[0], ends[1], 1.0, max(int(0.3 * scale), 1), cv2.LINE_AA)
    sheet = _shaded(photo, rng.uniform(5, 50, 3).astype(np.float32), points, rng)
    return sheet, alpha * np.float32(rng.uniform(0.85, 1.0))


def _hand(
    photo: U8, points: Floats, scale: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw fingers and the back of a hand over mouth, nose or an eye, of the face's own skin."""
    at = points[[51, 33, 57, 39, 42][rng.integers(5)]] + rng.normal(0, 0.5, 2) * scale
    angle = rng.uniform(np.pi * 0.15, np.pi * 0.85)  # from below
    inward = -np.array([np.cos(angle), np.sin(angle)])
    side = np.array([-inward[1], inward[0]])
    alpha, relief = (np.zeros(photo.shape[:2], np.float32) for _ in range(2))
    for k in range(4):
        tip = at + side * (k - 1.5) * 1.7 * scale + inward * (3 - abs(k - 1.5)) * scale
        root = tip - inward * 7 * scale
        ends = [tuple(int(v) for v in (p * 8).round()) for p in (tip, root)]
        cv2.line(alpha, ends[0], ends[1], 1.0, max(int(1.6 * scale), 1), cv2.LINE_AA, 3)
        cv2.line(relief, ends[0], ends[1], 1.0, max(int(0.8 * scale), 1), cv2.LINE_AA, 3)
    palm = at - inward * 6 * scale
    centre = tuple(int(v) for v in palm.round())
    cv2.circle(alpha, centre, max(int(4 * scale), 1), 1.0, -1, cv2.LINE_AA)
    x, y = (points[2] * 0.3 + points[31] * 0.7).round().astype(int)
    height, width = photo.shape[:2]
    x, y, reach = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1), max(int(0.5 * scale), 1)
    skin = photo[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    colour = skin.reshape(-1, 3).mean(0) * rng.uniform(0.8, 1.15)
    soft = cv2.GaussianBlur(relief, (0, 0), max(0.4 * scale, 0.5))[..., None]
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 1.0)
    return np.asarray(colour * (0.75 + 0.35 * soft) * (1 + 0.04 * grain[..., None])), alpha


def _phone(
    photo: U8, points: Floats, scale: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw a flat box of one colour: a phone, a book, a cup."""
    at = points[[30, 33, 51, 57, 39, 42][rng.integers(6)]] + rng.normal(0, 1, 2) * scale
    half = rng.uniform([2.5, 3.5], [5, 8]) * scale
    angle = rng.normal(0, 0.4)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    outline = at + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ turn.T
    colour = rng.uniform(0, 60) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    sheet = _shaded(photo, np.full(3, 1.0) * colour, points, rng)
    return sheet, _filled(photo, outline.astype(np.float32))


def _scarf(
    photo: U8, points: Floats, scale: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw a patterned band from the nose down."""
    down = (points[8] - points[27]) / np.linalg.norm(points[8] - points[27])
    along = np.array([-down[1], down[0]])
    top = points[30] + down * rng.uniform(-1.2, 0.4) * scale
    middle = points[[0, 16]].mean(0)
    start = top + along * np.dot(middle - top, along)
    half = np.abs((points[:17] - start) @ along).max() + 0.3 * scale
    outline = np.stack([start - along * half, top, start + along * half,
                        start + along * half + down * 14 * scale,
                        start - along * half + down * 14 * scale])  # fmt: skip
    noise = rng.normal(0, 1, photo.shape[:2]).astype(np.float32)
    blobs = np.asarray(cv2.GaussianBlur(noise, (0, 0), 0.5 * scale))
    some = (blobs > blobs.mean())[..., None]
    first, second = (_shaded(photo, rng.uniform(20, 230, 3), points, rng) for _ in range(2))
    return np.where(some, first, second), _filled(photo, outline.astype(np.float32))


def _patch(
    photo: U8, points: Floats, scale: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw an ellipse that shows another part of the same photo, mirrored."""
    at = points[17:].mean(0) + rng.normal(0, 2, 2) * scale
    alpha = np.zeros(photo.shape[:2], np.float32)
    half = rng.uniform(2, 6, 2) * scale
    centre, axes = (tuple(max(int(v), 1) for v in p) for p in (at, half))
    cv2.ellipse(alpha, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1, cv2.LINE_AA)
    shift = (int(photo.shape[0] * rng.uniform(0.35, 0.65)), int(photo.shape[1] * 0.5))
    return np.roll(photo[:, ::-1], shift, (0, 1)).astype(np.float32), alpha


KINDS: Final[dict[str, Occluder]] = {
    "mask": _mask,
    "glasses": _glasses,
    "hand": _hand,
    "box": _phone,
    "scarf": _scarf,
    "patch": _patch,
}

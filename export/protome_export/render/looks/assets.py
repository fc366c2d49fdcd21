"""Load CC0 appearance assets (skins and masks in ICT UV space, HDRI environments), or make some."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from protome_export.heads.model import Floats, HeadModel
from protome_export.render.drawing.images import blur, read_image, shrink, stretch
from protome_export.render.drawing.paint import gamma

TEXTURE = 256  # texels a side of the face tile
BACK = 128  # texels a side of the back-of-head tile
ROTATIONS = 24  # environment rotations tabulated, about the vertical axis


@dataclass(frozen=True)
class Masks:
    """Soft masks of the face tile, each (TEXTURE, TEXTURE), 0 to 1."""

    lips: Tensor
    lids: Tensor
    beard: Tensor
    moustache: Tensor
    scalp_back: Tensor
    cheeks: Tensor
    nose: Tensor
    eyes: Tensor
    landmarks: Tensor  # (68, 2) texel coordinates


@dataclass(frozen=True)
class Assets:
    """What heads look like, as tensors on one device.

    Attributes:
        density, density_back: (K, 3, S, S) optical densities of the skins, -log(linear albedo).
        skins: (K,) group of each, of `groups.SKINS`.
        painted: how many are pictures; the rest are dark versions of light female ones.
        harmonics: (E, ROTATIONS, 9, 3) irradiance of each environment, spherical harmonics.
        suns: (E, ROTATIONS, 6) direction and colour of its brightest spot.
        panoramas: (E, 3, H, W) linear RGB, tone mapped to about 0..1.
    """

    density: Tensor
    density_back: Tensor
    masks: Masks
    harmonics: Tensor
    suns: Tensor
    panoramas: Tensor
    skins: tuple[str, ...]
    painted: int


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)


def _basis(directions: np.ndarray) -> Floats:
    """Return nine real spherical harmonics (..., 9), constants folded into the coefficients."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    rows = [np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1]
    return np.stack(rows, -1).astype(np.float32)


def _environment(panorama: Floats) -> tuple[Floats, Floats]:
    """Return irradiance harmonics (ROTATIONS, 9, 3) and brightest directions (ROTATIONS, 6)."""
    small = shrink(panorama.astype(np.float32), 96, 48)
    el = (0.5 - (np.arange(48) + 0.5) / 48) * np.pi
    az = ((np.arange(96) + 0.5) / 96 - 0.5) * 2 * np.pi
    d = np.stack(
        [
            np.cos(el)[:, None] * np.sin(az),
            np.broadcast_to(np.sin(el)[:, None], (48, 96)),
            np.cos(el)[:, None] * np.cos(az),
        ],
        -1,
    )
    weight = np.cos(el)[:, None] * (np.pi / 48) * (2 * np.pi / 96) * np.ones((48, 96))
    norms = np.array([0.282095, 0.488603, 0.488603, 0.488603, 1.092548, 1.092548, 1.092548,
                      0.546274, 0.315392])  # fmt: skip
    # Cosine lobe per band over pi (Ramamoorthi & Hanrahan 2001), so that white stays white.
    band = np.array([1, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25])
    b = _basis(d) * norms
    out, suns = [], []
    for r in range(ROTATIONS):
        rolled = np.minimum(np.roll(small, r * 96 // ROTATIONS, 1), small.mean() * 60)
        c = np.einsum("hw,hwk,hwc->kc", weight, b, rolled) * (band * norms)[:, None]
        c /= c[0].mean() + 1e-6
        out.append(c)
        luma = rolled.mean(-1)
        y, x = np.unravel_index(luma.argmax(), luma.shape)
        suns.append([*d[y, x], *(rolled[y, x] / (rolled[y, x].max() + 1e-6))])
    return np.array(out, np.float32), np.array(suns, np.float32)


def _tone(panorama: np.ndarray) -> Floats:
    p = panorama.astype(np.float32)
    p = p / (np.median(p.mean(-1)) * 3 + 1e-4)
    return np.asarray(p / (1 + p * 0.6), np.float32)


def _procedural_panoramas(rng: np.random.Generator) -> list[Floats]:
    out = []
    for _ in range(4):
        low = rng.uniform(0.05, 1.0, (4, 8, 3)).astype(np.float32)
        p = stretch(low, 128, 64, cubic=True).clip(0.02)
        cv2.circle(p, (int(rng.integers(128)), int(rng.integers(5, 30))), 4, (30.0, 28.0, 25.0), -1)
        out.append(p)
    return out


def _blob(centre: np.ndarray, sx: float, sy: float) -> Floats:
    y, x = np.mgrid[0:TEXTURE, 0:TEXTURE]
    d = ((x - centre[0]) / sx) ** 2 + ((y - centre[1]) / sy) ** 2
    return np.asarray(np.exp(-d), np.float32)


def _polygon(points: np.ndarray, soft: float) -> Floats:
    mask = np.zeros((TEXTURE, TEXTURE), np.float32)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], (1.0,), shift=4)
    return blur(mask, soft)


def _landmark_texels(head: HeadModel) -> Floats:
    face = head.triangle_material == 0
    corner = np.zeros(len(head.neutral), np.int64)
    corner[head.triangles[face].ravel()] = head.triangles_uv[face].ravel()
    uv = head.uv[corner[head.landmarks]] * TEXTURE
    return np.stack([uv[:, 0], TEXTURE - uv[:, 1]], 1).astype(np.float32)


def _masks(head: HeadModel, folder: Path | None, device: torch.device) -> Masks:
    p = _landmark_texels(head)
    wide = float(np.ptp(p[:17, 0]))
    unit = wide / 190.0  # the ICT layout spans about 190 texels from ear to ear
    lips = _polygon(p[48:60], 1.6 * unit)
    lids = np.clip(_polygon(p[36:42], unit) + _polygon(p[42:48], unit), 0, 1)
    size = max(1, int(3 * unit))
    lids = blur(cv2.dilate(lids, np.ones((size, size))), unit)
    nose_y = p[33, 1]
    jaw = np.concatenate(
        [
            p[2:15] + np.array([0, 10 * unit]),
            [p[14], [p[53, 0] + 6, nose_y + 6], [p[33, 0], nose_y + 3], [p[49, 0] - 6, nose_y + 6]],
            [p[2]],
        ]
    )
    beard = _polygon(jaw, 6 * unit) * (1 - lips)
    lip_line = np.concatenate(
        [
            p[48:55] + np.array([0, 2]),
            p[[54, 35, 33, 31, 48]] + np.array([[4, 0], [4, 5], [0, 3], [-4, 5], [-4, 0]]),
        ]
    )
    moustache = _polygon(lip_line, 2 * unit) * (1 - lips)
    scalp_back = np.ones((BACK, BACK), np.float32)
    if folder is not None:
        with np.load(folder / "masks.npz") as z:

            def read(name: str, size: int) -> Floats:
                return np.asarray(shrink(z[name], size, size) / 255, np.float32)

            lips, lids = read("lips", TEXTURE), np.maximum(read("eyelids", TEXTURE), lids * 0.5)
            beard = read("beard", TEXTURE) * (1 - lips)
            moustache = moustache * (1 - lips)
            scalp_back = read("scalp_backhead", BACK)
    eye_r, eye_l = p[36:42].mean(0), p[42:48].mean(0)
    cheek_r, cheek_l = (p[2] + p[33] + eye_r) / 3, (p[14] + p[33] + eye_l) / 3
    arrays = (
        lips,
        lids,
        beard,
        moustache,
        scalp_back,
        _blob(cheek_r, 22 * unit, 20 * unit) + _blob(cheek_l, 22 * unit, 20 * unit),
        _blob(p[30], 16 * unit, 16 * unit),
        _blob(eye_r, 26 * unit, 14 * unit) + _blob(eye_l, 26 * unit, 14 * unit),
        p,
    )
    return Masks(*(_tensor(a, device) for a in arrays))


def _flat_skins() -> tuple[Floats, Floats]:
    tones = torch.tensor([[0.90, 0.72, 0.62], [0.74, 0.54, 0.42], [0.33, 0.22, 0.17]], device="cpu")
    density = -gamma(tones).log().numpy()[:, None, None, :]
    face = np.broadcast_to(density, (3, TEXTURE, TEXTURE, 3))
    back = np.broadcast_to(density, (3, BACK, BACK, 3))
    return face.astype(np.float32), back.astype(np.float32)


# The skins of one layout, light and dark, whose difference darkens others.
_LIGHT, _DARK = "young_lightskinned_male_diffuse", "young_darkskinned_male_diffuse"
_DARKER = 0.6  # share of that difference in the dark versions: a melanin shift does the rest
_FLAT = ("light_female", "light_male", "dark_male")  # groups of the flat skins


def _group(name: str) -> str:
    """Return the group of a MakeHuman skin by its name."""
    tone = "dark" if "_darkskinned_" in name else "light"
    return f"{tone}_{'female' if '_female_' in name else 'male'}"


def tone_curves(light: np.ndarray, dark: np.ndarray) -> tuple[Floats, Floats]:
    """Return monotone curves per channel from the densities of a light skin to those of a dark one.

    Args:
        light: (S, S, 3) optical densities.
        dark: (S, S, 3) optical densities.

    Returns:
        densities of the light skin (Q, 3) and of the dark one (Q, 3) at the same quantiles.
    """
    steps = np.linspace(0.01, 0.99, 33)
    curves = (np.quantile(skin.reshape(-1, 3), steps, axis=0) for skin in (light, dark))
    below, above = curves
    return np.asarray(below, np.float32), np.asarray(above, np.float32)


def darkened(density: np.ndarray, curves: tuple[Floats, Floats]) -> Floats:
    """Apply tone curves to densities (..., 3); beyond their ends the difference stays."""
    out = np.empty(density.shape, np.float32)
    for c in range(3):
        below, above = curves[0][:, c], curves[1][:, c]
        inside = density[..., c].clip(below[0], below[-1])
        out[..., c] = np.interp(inside, below, above) + density[..., c] - inside
    return out


def _with_dark_women(
    face: Floats, back: Floats, skins: tuple[str, ...], pair: tuple[int, int]
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Append a dark version of each light female skin."""
    curves = tone_curves(face[pair[0]], face[pair[1]])
    rows = [k for k, group in enumerate(skins) if group == "light_female"]
    extra = ("dark_female",) * len(rows)

    def extended(bank: Floats) -> Floats:
        light = bank[rows]
        return np.concatenate([bank, light + _DARKER * (darkened(light, curves) - light)])

    return extended(face), extended(back), (*skins, *extra)


def load_assets(head: HeadModel, data: Path | None, device: torch.device) -> Assets:
    """Load assets for a head model.

    Args:
        head: the head model.
        data: folder with skins_ict_uv and hdri_environments.npz; None makes procedural assets.
        device: of the tensors.
    """
    skins = None if data is None else data / "skins_ict_uv"
    if skins is not None and skins.is_dir():
        folder = skins

        def density(kind: str, size: int) -> Floats:
            rows = []
            for path in sorted(folder.glob(f"*_{kind}.jpg")):
                image = shrink(read_image(path), size, size)
                linear = gamma(torch.from_numpy(image / 255.0))
                rows.append(-linear.clamp(min=0.004).log().numpy())
            return np.stack(rows).astype(np.float32)

        face, back = density("face", TEXTURE), density("backhead", BACK)
        names = [p.stem.removesuffix("_face") for p in sorted(folder.glob("*_face.jpg"))]
        groups = tuple(_group(n) for n in names)
        pair = (names.index(_LIGHT), names.index(_DARK))
    else:
        skins, groups, pair = None, _FLAT, (1, 2)
        face, back = _flat_skins()
    painted = len(face)
    face, back, groups = _with_dark_women(face, back, groups, pair)
    source = None if data is None else data / "hdri_environments.npz"
    if source is not None and source.exists():
        with np.load(source) as z:
            panoramas = [z[name].astype(np.float32) for name in sorted(z.files)]
    else:
        panoramas = _procedural_panoramas(np.random.default_rng(11))
    tables = [_environment(p) for p in panoramas]
    return Assets(
        _tensor(face.transpose(0, 3, 1, 2), device),
        _tensor(back.transpose(0, 3, 1, 2), device),
        _masks(head, skins, device),
        _tensor(np.stack([t[0] for t in tables]), device),
        _tensor(np.stack([t[1] for t in tables]), device),
        _tensor(np.stack([_tone(p) for p in panoramas]).transpose(0, 3, 1, 2), device),
        groups,
        painted,
    )

"""Paint skin: CC0 skins blended in optical density, shifted in melanin and haemoglobin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protome_export.heads.groups import SKINS
from protome_export.render.drawing.noise import NoiseBank
from protome_export.render.drawing.paint import capsules, centres, gamma, mix
from protome_export.render.drawing.random_draws import Dice

from .assets import BACK, TEXTURE, Assets
from .hair import Hair
from .hair_style import COLOURS

# Relative absorption of the two pigments in sRGB primaries (after Tsumura et al. 1999).
_MELANIN = (0.55, 0.80, 1.10)
_HAEMOGLOBIN = (0.10, 0.85, 0.70)
_SPOTS = 60
_DARK = 1.8  # mean density in green from which a skin counts as dark
_RANGES = {"light": (0.25, 1.5), "dark": (2.2, 3.0)}  # of that density in a group asked for


@dataclass
class Looks:
    """Groups of B heads.

    Attributes:
        child, old: (B,).
        skin: of `SKINS`, the same for all; None: any.
    """

    child: Tensor
    old: Tensor
    skin: str | None


@dataclass
class Skin:
    """Skin of B heads.

    Attributes:
        face: (B, 3, TEXTURE, TEXTURE) linear albedo.
        back: (B, 3, BACK, BACK) linear albedo.
        tone: (B, 3) mean albedo.
        group: (B,) index into `SKINS`.
    """

    face: Tensor
    back: Tensor
    tone: Tensor
    group: Tensor


def _c(colour: Tensor) -> Tensor:
    return colour[:, :, None, None]


def _m(weight: Tensor) -> Tensor:
    return weight[:, None, None]


class SkinPainter:
    """Draw skins for one set of assets."""

    def __init__(self, assets: Assets, noise: NoiseBank) -> None:
        self.assets, self.noise, self.masks = assets, noise, assets.masks
        device = assets.density.device
        self.points = assets.masks.landmarks
        # The ICT layout spans about 190 texels from ear to ear.
        self.unit = float(self.points[:17, 0].max() - self.points[:17, 0].min()) / 190.0
        self.melanin = torch.tensor(_MELANIN, device=device)
        self.blood = torch.tensor(_HAEMOGLOBIN, device=device)
        middle = slice(TEXTURE // 4, 3 * TEXTURE // 4)
        self.means = assets.density[:, :, middle, middle].mean((2, 3))
        self.male = torch.tensor([s.endswith("_male") for s in assets.skins], device=device)
        self.texels = centres(TEXTURE, device)
        self.brow = self._rows(17, 27, 24, 26)
        self.forehead = self._rows(17, 27, 30, 0)
        self.mouth = self._rows(31, 60, 6, 4)

    def _rows(self, first: int, last: int, above: float, below: float) -> slice:
        y = self.points[first:last, 1]
        low, high = float(y.min()) - above * self.unit, float(y.max()) + below * self.unit
        return slice(max(0, int(low)), min(TEXTURE, int(high) + 1))

    def sample(self, dice: Dice, hair: Hair, roots: Tensor, looks: Looks | None = None) -> Skin:
        """Draw skins.

        Args:
            dice: of B heads.
            hair: their hair.
            roots: (B, TEXTURE, TEXTURE) where hair roots show on the face tile.
            looks: None draws from the pictures alone, without regard to groups.
        """
        m, n = self.masks, len(dice)
        n1, n2, n3 = (self.noise.draw(dice, kind) for kind in ("smooth", "medium", "fine"))
        density, back, tone, male = self._pigment(dice, looks)
        mottle = n1 * _m(dice.uniform(0, 0.1)) + n2 * _m(dice.uniform(0, 0.07))
        mottle += n3 * _m(dice.uniform(0, 0.06)) + m.eyes * _m(dice.uniform(-0.05, 0.25))
        if looks is None:
            mottle += self._wrinkles(dice)
        else:
            share = torch.where(looks.old, 0.95, 0.35) * ~looks.child
            mottle += self._wrinkles(dice, share) * _m(1 + looks.old.float())
        flush = m.cheeks * _m(dice.uniform(0, 0.5)) + m.nose * _m(dice.uniform(0, 0.4))
        flush += n1 * _m(dice.uniform(0, 0.1))
        spots = self._spots(dice)
        for c in range(3):
            density[:, c] += mottle + flush * self.blood[c] + spots * self.melanin[c]
        face = torch.exp(-density.clamp_(0.02, 5.5))

        dark = gamma(torch.tensor(COLOURS, device=dice.device)[dice.pick(3)])
        paint = gamma(dice.uniform(0, 0.6, 3))
        paint = torch.where(dice.chance(0.4)[:, None], paint, tone * 0.35)
        face = mix(face, paint, m.eyes * _m(dice.uniform(0.05, 0.6) * dice.chance(0.3)))
        face *= (1 - m.lids * _m(dice.uniform(0, 0.7) * dice.chance(0.6)))[:, None]
        face = self._lips(dice, face)
        bearded = None if looks is None else male & ~looks.child
        face = self._beard(dice, face, hair, dark, n2, n3, bearded)
        brow = torch.where(dice.chance(0.6)[:, None], hair.colour * 0.6, dark)
        face[:, :, self.brow] = mix(face[:, :, self.brow], brow, self._brows(dice, n3))
        back = torch.exp(-back.clamp_(0.02, 5.5))
        bald = dice.uniform(0, 0.5)
        amount = torch.where(hair.bald, bald, 0.95) * (hair.covers & ~hair.hat)
        face = mix(face, hair.colour, roots * _m(amount))
        back = mix(back, hair.colour, m.scalp_back * _m(amount))
        assert face.shape == (n, 3, TEXTURE, TEXTURE)
        assert back.shape == (n, 3, BACK, BACK)
        group = 2 * (-tone[:, 1].log() > _DARK).long() + male.long()
        if looks is not None and looks.skin is not None:
            group = torch.full_like(group, SKINS.index(looks.skin))
        return Skin(face.clamp_(0.003, 1), back.clamp_(0.003, 1), tone, group)

    def _choices(self, looks: Looks | None) -> list[int]:
        """Return the skins to draw from."""
        skins = self.assets.skins
        if looks is None:
            return list(range(self.assets.painted))
        return [k for k, s in enumerate(skins) if looks.skin in (None, s)]

    def _pigment(self, dice: Dice, looks: Looks | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return optical densities of face and back before details, mean albedo, and sex.

        The albedo is (B, 3); the sex tells which skins are male, (B,).
        """
        a, choices = self.assets, torch.tensor(self._choices(looks), device=dice.device)
        first, second = (choices[dice.pick(len(choices))] for _ in range(2))
        w = dice.uniform() * dice.chance(0.6)
        mean = torch.lerp(self.means[first], self.means[second], w[:, None])
        # Half keep their tone about as it is, half go to one anywhere between the extremes.
        target = torch.where(
            dice.chance(0.5), dice.uniform(0.25, 2.9), mean[:, 1] + dice.normal(0, 0.25)
        )
        if looks is not None and looks.skin is not None:
            target = target.clamp(*_RANGES[looks.skin.split("_")[0]])
        pigment = ((target.clamp(0.2, 3.1) - mean[:, 1]) / _MELANIN[1])[:, None] * self.melanin
        shift = pigment + dice.normal(0, 0.12)[:, None] * self.blood + dice.normal(0, 0.05, 3)
        contrast = dice.uniform(0.6, 1.25)[:, None, None, None]
        offset = _c(mean + shift) - contrast * _c(mean)

        def blended(bank: Tensor) -> Tensor:
            out = torch.lerp(bank[first], bank[second], w[:, None, None, None])
            return out.mul_(contrast).add_(offset)

        tone = torch.exp(-(mean + shift).clamp(0.02, 5.5))
        male = torch.where(w < 0.5, self.male[first], self.male[second])
        return blended(a.density), blended(a.density_back), tone, male

    def _lips(self, dice: Dice, face: Tensor) -> Tensor:
        tint = torch.stack(
            [dice.uniform(0.7, 1.1), dice.uniform(0.4, 0.9), dice.uniform(0.4, 0.9)], 1
        )
        stick = gamma(
            torch.stack(
                [dice.uniform(0.4, 0.85), dice.uniform(0.05, 0.35), dice.uniform(0.1, 0.4)], 1
            )
        )
        painted, strength = dice.chance(0.25), dice.uniform(0.2, 1.0)
        rows = self.mouth
        part = face[:, :, rows]
        lips = torch.where(painted[:, None, None, None], _c(stick), part * _c(tint))
        face[:, :, rows] = mix(part, lips, (self.masks.lips[rows] * _m(strength)).clamp(0, 1))
        return face

    def _beard(
        self,
        dice: Dice,
        face: Tensor,
        hair: Hair,
        dark: Tensor,
        n2: Tensor,
        n3: Tensor,
        bearded: Tensor | None,
    ) -> Tensor:
        m = self.masks
        some = dice.chance(0.42) & ~(hair.long & dice.chance(0.85))
        some = some if bearded is None else some & bearded
        which, strength = dice.pick(3), dice.uniform(0.05, 1) ** 1.3
        colour = torch.where(dice.chance(0.7)[:, None], hair.colour * 0.8, dark)
        at = torch.nonzero(some)[:, 0]
        if len(at):
            kinds = torch.stack([m.beard, m.moustache, (m.beard + m.moustache).clamp(0, 1)])
            s = _m(strength[at])
            grain = 1 + 0.5 * n3[at] * (s * 2).clamp(max=1) + 0.3 * n2[at]
            weight = (kinds[which[at]] * s * grain).clamp(0, 0.97)
            face[at] = mix(face[at], colour[at], weight)
        return face

    def _brows(self, dice: Dice, fine: Tensor) -> Tensor:
        """Return the coverage of both brows, (B, rows, TEXTURE)."""
        u, p = self.unit, self.points
        thick = dice.uniform(2, 9) * u
        lift, arch = dice.normal(0, 2.5) * u, dice.normal(0, 2.5) * u
        length = dice.uniform(0.8, 1.1)
        bend = torch.tensor([-0.5, 0.7, 1.0, 0.3, -0.3], device=dice.device)
        ends = []
        for brow in (p[17:22], p[22:27].flip(0)):
            x = brow[4, 0] + (brow[:, 0] - brow[4, 0]) * length[:, None]
            y = brow[:, 1] + (lift + 3 * u)[:, None] - arch[:, None] * bend
            q = torch.stack([x, y], -1)
            ends.append(torch.stack([q[:, :-1], q[:, 1:]], 2))
        taper = torch.tensor([0.55, 0.9, 1.1, 1.15] * 2, device=dice.device)
        radius = (thick[:, None] * taper / 4).clamp(min=0.25)
        mask = capsules(
            torch.cat(ends, 1), radius, self.texels, self.texels[self.brow], dice.uniform(1, 3)
        )
        weight = mask * _m(dice.uniform(0.2, 1.1)) * (1 + 0.3 * fine[:, self.brow])
        return weight.clamp(0, 0.97)

    def _wrinkles(self, dice: Dice, share: float | Tensor = 0.35) -> Tensor:
        """Return optical densities (B, TEXTURE, TEXTURE) of nasolabial folds and forehead lines."""
        u, p = self.unit, self.points
        soft, strength = dice.uniform(1.5, 3.6), dice.uniform(0.1, 0.7) * dice.chance(share)
        count, lines = dice.pick(5), dice.uniform(4, 26, 4) * u
        waves = dice.normal(0, 1.2 * u, 4, 6)
        out = torch.zeros(len(dice), TEXTURE, TEXTURE, device=dice.device)
        at = torch.nonzero(strength > 0)[:, 0]
        if not len(at):
            return out
        folds = []
        for nose, mouth in ((p[31], p[48]), (p[35], p[54])):
            side = float(torch.sign(mouth[0] - p[33, 0]))
            top = nose + torch.tensor([side * 3 * u, -4 * u], device=dice.device)
            middle = (nose + mouth) / 2 + torch.tensor([side * 7 * u, 0], device=dice.device)
            low = mouth + torch.tensor([side * 6 * u, 0], device=dice.device)
            folds += [torch.stack([top, middle]), torch.stack([middle, low])]
        ends = torch.stack(folds).expand(len(at), -1, -1, -1)
        radius = torch.full((len(at), 4), 0.5, device=dice.device)
        x, rows = self.texels, self.mouth
        out[at, rows] = capsules(ends, radius, x, x[rows], soft[at])
        rows = self.forehead
        left, right = float(p[18, 0]), float(p[25, 0])
        along = ((x - left) / (right - left) * 5).clamp(0, 4.999)
        i, w = along.long(), along % 1
        inside = (x >= left) & (x <= right)
        brow = float(p[17:27, 1].min())
        for k in range(4):
            wave = waves[at, k]
            y = brow - lines[at, k, None] + torch.lerp(wave[:, i], wave[:, i + 1], w)
            d = (x[rows][:, None] - y[:, None]).abs()
            line = ((0.5 - d) / _m(soft[at]) + 0.5).clamp(0, 1) * inside
            shown = 0.8 * (k < count[at]).float()
            out[at, rows] = torch.maximum(out[at, rows], line * _m(shown))
        return out * _m(strength)

    def _spots(self, dice: Dice, share: float = 0.2) -> Tensor:
        """Return freckles and moles around the nose, (B, TEXTURE, TEXTURE)."""
        strength = dice.uniform(0.2, 0.9) * dice.chance(share)
        count, dark = 1 + dice.pick(_SPOTS - 1), dice.uniform(0.3, 1, _SPOTS)
        where = self.points[30] + dice.normal(0, 40 * self.unit, _SPOTS, 2)
        out = torch.zeros(len(dice), TEXTURE * TEXTURE, device=dice.device)
        at = torch.nonzero(strength > 0)[:, 0]
        shown = torch.arange(_SPOTS, device=dice.device) < count[at, None]
        dark, where = dark[at] * shown * strength[at, None], where[at].clamp(2, TEXTURE - 3)
        corner, some = where.floor(), out[at]
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                cell = corner + torch.tensor([dx, dy], device=dice.device)
                level = (1.5 - (cell + 0.5 - where).norm(dim=-1)).clamp(0, 1) * dark
                index = (cell[..., 1] * TEXTURE + cell[..., 0]).long()
                some = some.scatter_reduce(1, index, level, "amax")
        out[at] = some
        return out.view(-1, TEXTURE, TEXTURE)

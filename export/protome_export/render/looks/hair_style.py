"""Draw the kind of hair: style, colour, hairline and texture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from protome_export.render.drawing.paint import gamma
from protome_export.render.drawing.random_draws import Dice

_BAND = slice(60, 72)  # alpha rows of a hat's band

COLOURS = [[.05, .04, .04], [.10, .07, .05], [.18, .11, .07], [.30, .19, .11], [.45, .31, .18],
           [.65, .50, .30], [.80, .68, .48], [.50, .22, .10], [.55, .54, .53], [.85, .84, .83],
           [.35, .34, .33]]  # fmt: skip
_GREYS = 8  # the first grey of them


@dataclass
class Style:
    """Kind of hair of each of B heads; all attributes are (B,) bool."""

    covers: Tensor  # there is hair or a hat
    hat: Tensor
    long: Tensor
    bald: Tensor  # hair at the sides alone
    afro: Tensor
    faded: Tensor  # short back and sides
    bun: Tensor
    full: Tensor  # long and wide, thickest beside the ears


def draw_style(dice: Dice) -> Style:
    """Draw a kind of hair for each head."""
    covers = dice.chance(0.86)
    hat = covers & dice.chance(0.13)
    long = covers & (~hat | dice.chance(0.3)) & dice.chance(0.5)
    bald = covers & ~hat & dice.chance(0.1)
    short = covers & ~hat & ~long & ~bald
    afro = short & dice.chance(0.13)
    faded = short & ~afro & dice.chance(0.35)
    bun = covers & ~hat & ~bald & ~afro & dice.chance(0.16)
    full = long & ~hat & ~bun & dice.chance(0.6)
    return Style(covers, hat, long, bald, afro, faded, bun, full)


def draw_colour(dice: Dice, old: Tensor | None) -> Tensor:
    """Draw a colour for each head, (B, 3) linear RGB; ``old`` heads (B,) are mostly grey."""
    colours = torch.tensor(COLOURS, device=dice.device)
    which = dice.pick(len(COLOURS))
    if old is not None:  # three of four are grey
        which = torch.where(old & (which % 4 > 0), _GREYS + which % 3, which)
    tone = colours[which] * dice.uniform(0.6, 1.3)[:, None]
    return gamma((tone + dice.normal(0, 0.02, 3)).clamp(0.02, 0.95))


def draw_texture(dice: Dice, hat: Tensor, colour: Tensor, streak: Tensor, waves: Tensor) -> Tensor:
    """Draw strands of ``colour``, or cloth where ``hat`` (B,) is: (B, 3, A, 256) linear RGB.

    Args:
        dice: of B heads.
        hat: (B,) bool.
        colour: (B, 3) linear RGB of the strands.
        streak: (B, A, 256) fine noise.
        waves: (B, A, 256) coarse noise.
    """
    grey = dice.uniform()[:, None].expand(-1, 3)
    cloth = gamma(torch.where(dice.chance(0.6)[:, None], dice.uniform(0, 1, 3), grey))
    woven = (1 + 0.12 * waves).clamp(0.2, 2)[:, None] * cloth[:, :, None, None]
    band, banded = gamma(dice.uniform(0, 1, 3)), dice.chance(0.4)[:, None, None, None]
    woven[:, :, _BAND] = torch.where(banded, band[:, :, None, None], woven[:, :, _BAND])
    strands = (0.85 + 0.28 * streak + 0.22 * waves).clamp(0.15, 2.2)
    strands = strands[:, None] * colour[:, :, None, None]
    return torch.where(hat[:, None, None, None], woven, strands)


def draw_hairline(dice: Dice, azimuth: Tensor, style: Style) -> Tensor:
    """Draw the elevation of the hairline, degrees, (B, A) at the azimuths (A,), degrees."""
    hat, long = style.hat, style.long
    a = azimuth.abs()
    front = torch.where(hat, dice.uniform(18, 36), dice.uniform(20, 52))
    fringe = dice.uniform(8, 24)  # over the brows
    front = torch.where(~hat & dice.chance(0.25), fringe, front)[:, None]
    side = torch.where(long, -200.0, dice.uniform(-2, 16))[:, None]
    nape = torch.where(long, -200.0, dice.uniform(-60, -20))[:, None]
    opening = torch.where(long, dice.uniform(42, 88), dice.uniform(38, 62))
    curtain = long & dice.chance(0.4)  # falls across one cheek or eye
    opening = torch.where(curtain, dice.uniform(18, 45), opening)[:, None]
    fallen = curtain[:, None] & (torch.sign(azimuth) != dice.sign()[:, None])
    shifted = torch.where(fallen, a * 0.55, a)
    w = torch.sigmoid((shifted - opening) / dice.uniform(2, 7)[:, None])
    line = torch.lerp(front.expand_as(w), side.expand_as(w), w)
    w = torch.sigmoid((a - dice.uniform(98, 112)[:, None]) / 4)
    line = torch.lerp(line, nape.expand_as(w), w)
    slope = (dice.uniform(5, 18)[:, None] - front) * ((a - 30) / 100).clamp(0, 1)
    covered = torch.where(long[:, None], torch.minimum(line, front), front + slope)
    line = torch.where(hat[:, None], covered, line)
    return line + dice.normal(0, 0.14)[:, None] * azimuth * (a < 70)

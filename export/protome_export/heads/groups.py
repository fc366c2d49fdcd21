"""Groups of people that samples are labelled with, drawn from and evaluated by."""

from __future__ import annotations

from typing import Final

import numpy as np

from .model import Floats

AGES: Final = ("child", "adult", "old")
SKINS: Final = ("light_female", "light_male", "dark_female", "dark_male")
GROUPS: Final = ("child", "old", *SKINS)

# Shares of the ages among samples of a widened head when no group is asked for.
_SHARES = (0.12, 0.73, 0.15)
_MACROS = ("baby", "child", "old", "male", "african", "asian", "caucasian")
_FEATURE = 0.18  # standard deviation of the weight of a facial feature


def group_of(age: str, skin: str) -> str:
    """Return the group a sample is evaluated in: its age, or the skin of an adult."""
    return skin if age == "adult" else age


def draw_people(
    rng: np.random.Generator, names: tuple[str, ...], group: str | None
) -> tuple[str, Floats]:
    """Draw the age and the weights of a widened head's additional modes.

    Args:
        rng: random numbers.
        names: of the modes.
        group: of `GROUPS`; None draws an age. The groups of skin are adults.

    Returns:
        one of `AGES`; (len(names),) weights.
    """
    age = str(rng.choice(AGES, p=_SHARES))
    if group is not None:
        age = group if group in AGES else "adult"
    weights = dict.fromkeys(names, 0.0)
    for name in names:
        if name not in _MACROS:
            weights[name] = float(np.clip(rng.normal(0, _FEATURE), -0.45, 0.45))
    origin = rng.dirichlet([0.4, 0.4, 0.4, 0.8]) * rng.uniform(0.3, 1.1)  # the last: none
    macro = dict(zip(("african", "asian", "caucasian"), origin, strict=False))
    macro["male"] = float(rng.normal(0, 0.7))
    years, baby = rng.uniform(0.4, 1.0), rng.uniform(0.2, 0.7) * (rng.random() < 0.3)
    if age == "child":
        macro |= {"child": years * (1 - baby), "baby": baby, "male": 0.3 * macro["male"]}
    elif age == "old":
        macro["old"] = 0.5 + 0.7 * years
    weights |= {k: float(v) for k, v in macro.items() if k in weights}
    return age, np.array([weights[n] for n in names], np.float32)

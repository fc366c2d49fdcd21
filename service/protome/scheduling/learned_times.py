"""Learn times while serving: means and straight lines with exponential forgetting.

Both are robust against outliers: an observation counts for at most ``CLIP`` times the expected
value, so one stall changes the estimate a little and a lasting change is followed completely.
"""

from __future__ import annotations

from typing import Final

CLIP: Final = 4.0


class Mean:
    """An exponentially weighted mean; ``value`` is 0 before the first observation.

    Args:
        weight: weight of a new observation, above 0, at most 1; the first ones weigh more.
    """

    def __init__(self, weight: float = 0.1) -> None:
        self._weight = weight
        self._count = 0
        self.value = 0.0

    def observe(self, value: float) -> None:
        """Add an observation, at least 0."""
        self._count += 1
        if self._count > 1 and self.value > 0:
            value = min(value, CLIP * self.value)
        self.value += max(self._weight, 1 / self._count) * (value - self.value)

    @property
    def known(self) -> bool:
        """Whether there has been an observation."""
        return self._count > 0


class Affine:
    """Fits ``a + b * x`` by least squares with exponential forgetting.

    ``a`` and ``b`` are never negative. While only one value of ``x`` has been seen the line goes
    through the origin, which overestimates larger ``x``.

    Args:
        memory: weight of an observation relative to the next one, 0 to 1; with 0.98 the weight
            halves within 34 observations.
    """

    def __init__(self, memory: float = 0.98) -> None:
        self._memory = memory
        self._n = self._x = self._xx = self._y = self._xy = 0.0
        self.a = 0.0
        self.b = 0.0

    def observe(self, x: float, y: float) -> None:
        """Add an observation: ``x``, above 0, took ``y`` seconds."""
        if self._n and (expected := self.predict(x)) > 0:
            y = min(y, CLIP * expected)
        keep = self._memory
        self._n = keep * self._n + 1
        self._x = keep * self._x + x
        self._xx = keep * self._xx + x * x
        self._y = keep * self._y + y
        self._xy = keep * self._xy + x * y
        self._fit()

    def predict(self, x: float) -> float:
        """Return the expected seconds of ``x``; 0 before the first observation."""
        return self.a + self.b * x

    def _fit(self) -> None:
        spread = self._xx - self._x * self._x / self._n
        if spread <= 1e-6 * self._xx:
            self.a, self.b = 0.0, self._y / self._x
            return
        slope = (self._xy - self._x * self._y / self._n) / spread
        offset = (self._y - slope * self._x) / self._n
        if slope < 0:
            slope, offset = 0.0, self._y / self._n
        elif offset < 0:
            slope, offset = self._xy / self._xx, 0.0
        self.a, self.b = offset, slope

"""What did the last doubling of the data bring?

The gain of the last doubling is value(n) - value(n / 2), in the metric's units, paired by seed (and item). Where half
of the data was not measured it is interpolated in log n between its neighbours.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from embalign.verdicts.replicates import Array, Replicates

DoublingKind = Literal["rising", "saturated", "not_settled"]
TOLERANCE = 0.02  # of log n, within which a measured setting counts as half of the data: counts are whole numbers


@dataclass(frozen=True)
class LastDoubling:
    """The gain of the last doubling, with a two-sided interval.

    `saturated`: shown to be at most the margin, by a one-sided test. `rising`: shown to be above 0, and not saturated.
    Else `not_settled`. `interpolated` says that half of the data was not measured.
    """

    value: float
    interval: tuple[float, float]
    kind: DoublingKind
    interpolated: bool


def judge_last_doubling(curve: Replicates, x: Array, margin: float, alpha: float) -> LastDoubling:
    """Return the gain of the last doubling of a curve at ascending log counts `x` (R,), R >= 2."""
    weights, interpolated = doubling_to(x, float(x[-1]))
    gain = curve.contrast(weights)
    kind: DoublingKind = "not_settled"
    if gain.upper_bound(alpha) <= margin:
        kind = "saturated"
    elif gain.lower_bound(alpha / 2) > 0:
        kind = "rising"
    return LastDoubling(gain.mean, gain.interval(1 - alpha), kind, interpolated)


def doubling_to(x: Array, end: float) -> tuple[Array, bool]:
    """Return the contrast value(end) - value(end - log 2) over settings at `x`, and whether it is interpolated."""
    high, exact_high = _at(x, end)
    low, exact_low = _at(x, end - math.log(2))
    return high - low, not (exact_high and exact_low)


def _at(x: Array, position: float) -> tuple[Array, bool]:
    """The contrast that reads the curve at a position, and whether a setting stands there.

    Straight between neighbours in log n, and below the first setting along the first two.
    """
    nearest = int(np.abs(x - position).argmin())
    if abs(x[nearest] - position) <= TOLERANCE:
        return np.eye(len(x))[nearest], True
    right = int(np.clip(np.searchsorted(x, position), 1, len(x) - 1))
    share = (position - x[right - 1]) / (x[right] - x[right - 1])
    return (1 - share) * np.eye(len(x))[right - 1] + share * np.eye(len(x))[right], False

"""Which amount of data is enough: the smallest from which on every one loses at most a margin against all of it.

Of the measured amounts the answer is a test: from all of the data downwards one stays in while the upper bound of its
loss is at most the margin, until one fails. A fixed sequence needs no correction (Maurer, Hothorn & Lehmacher 1995).

Between measured amounts the loss is not known, but where the curve is concave over log n it lies below the chord of its
neighbours, and above the chords on either side drawn out. So the amount at which the loss is the margin has an interval
that hardly depends on which amounts were measured. Where a curve is shown to be convex there, its ends are measured
ones.
"""

from dataclasses import dataclass

import numpy as np

from embalign.verdicts.replicates import Array, Replicates
from embalign.verdicts.statistics import StudentT

POSITIONS = 128  # in each gap between measured amounts


@dataclass(frozen=True)
class Enough:
    """The smallest measured amount that is shown to be enough, and where, in log n, the smallest of all may lie."""

    setting: int
    interval: tuple[float, float]


def smallest_sufficient(loss: dict[float, StudentT], margin: float, alpha: float = 0.05) -> float:
    """Return the smallest ratio from which on every ratio is non-inferior to 100 %, 1.0 if none is.

    `loss` maps ratios below 1 to value(1) - value(ratio).
    """
    failed = max((ratio for ratio, found in loss.items() if found.upper_bound(alpha) > margin), default=0.0)
    return min((ratio for ratio in loss if ratio > failed), default=1.0)


def find_enough(curve: Replicates, x: Array, margin: float, alpha: float) -> Enough:
    """Return what is enough on a curve at ascending log counts `x` (R,), all of the data last, R >= 2."""
    unit = np.eye(len(x))
    losses = unit[-1] - unit
    found = curve.contrasts(losses)
    reach = found.quantile(1 - alpha) * found.standard_error
    failing = np.flatnonzero(found.estimate + reach > margin)
    worse = np.flatnonzero(found.estimate - reach > margin)
    setting = int(failing[-1]) + 1 if len(failing) else 0
    high, low = float(x[setting]), float(x[worse[-1]] if len(worse) else x[0])
    if len(failing) and not _convex_beside(curve, x, setting - 1, alpha):
        high = _highest_failing(curve, x, setting - 1, margin, alpha)
    if len(worse) and not _convex_beside(curve, x, int(worse[-1]), alpha):
        low = _lowest_possible(curve, x, int(worse[-1]), margin, alpha)
    return Enough(setting, (min(low, high), high))


def _convex_beside(curve: Replicates, x: Array, left: int, alpha: float) -> bool:
    """Whether the curve is shown to be convex at either end of the gap that starts at a setting."""
    for middle in (left, left + 1):
        if 0 < middle < len(x) - 1:
            steps = np.diff(x[middle - 1 : middle + 2])
            weights = np.zeros(len(x))
            weights[middle - 1 : middle + 2] = 1 / steps[0], -1 / steps[0] - 1 / steps[1], 1 / steps[1]
            if curve.contrast(weights).lower_bound(alpha) > 0:
                return True
    return False


def _along(x: Array, first: int, positions: Array) -> Array:
    """Contrasts that read the line through settings `first` and `first + 1` at positions."""
    share = ((positions - x[first]) / (x[first + 1] - x[first]))[:, None]
    unit = np.eye(len(x))
    return np.asarray((1 - share) * unit[first] + share * unit[first + 1])


def _highest_failing(curve: Replicates, x: Array, left: int, margin: float, alpha: float) -> float:
    """The end of the gap's positions whose loss, by its chord, is not shown to be at most the margin."""
    positions = np.linspace(x[left], x[left + 1], POSITIONS + 1)
    loss = curve.contrasts(np.eye(len(x))[-1] - _along(x, left, positions))
    failing = np.flatnonzero(loss.estimate + loss.quantile(1 - alpha) * loss.standard_error > margin)
    return float(positions[min(failing[-1] + 1, POSITIONS)]) if len(failing) else float(positions[0])


def _lowest_possible(curve: Replicates, x: Array, left: int, margin: float, alpha: float) -> float:
    """The first of the gap's positions whose loss is not shown to be above the margin by a neighbouring chord."""
    positions = np.linspace(x[left], x[left + 1], POSITIONS + 1)
    possible = np.ones(len(positions), dtype=bool)
    for chord in (left - 1, left + 1):
        if 0 <= chord < len(x) - 1:
            loss = curve.contrasts(np.eye(len(x))[-1] - _along(x, chord, positions))
            possible &= loss.estimate - loss.quantile(1 - alpha) * loss.standard_error <= margin
    possible[0], possible[-1] = False, True
    return float(positions[np.flatnonzero(possible)[0]])

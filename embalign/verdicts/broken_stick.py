"""Where does a concave curve bend, if it has one corner? A broken stick fitted by contrasts.

The stick is E[y] = a + b x + d (x - c)+, with a kink at c where the slope falls from b to b + d (d < 0: concave).
Every statistic is a contrast of the mean curve, formed inside each seed (see :mod:`embalign.verdicts.replicates`), so
unequal noise and noise that runs along a seed's whole curve leave its level alone.

1. Where: c is in the interval unless lines through the points below and above c miss each other at c, by a two-sided
   t: this inverts the score test of the profile likelihood; for lines that meet it is Fieller's (1954) interval. In the
   first and last gap one line has a single point; such c stay in unless the points without it are shown to be bent. At
   an inner point, which may be counted to either line, the jump between the lines is the mean of both ways.
2. By how much: the slope after the kink over the slope before it, with a bound by Fieller's theorem.
3. Whether a stick describes the curve at all: its squared residuals against the noise (Box 1954).
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.verdicts.bends import find_bends, sticks
from embalign.verdicts.replicates import Array, Replicates

FEWEST_SETTINGS = 5  # two on each side of the kink, and one to see a misfit with
POSITIONS = 512  # candidate kinks in each gap
KINKS = 5  # of the interval, at which the slope ratio is bounded
SLOPE_RATIOS = np.linspace(-1, 1, 41)


@dataclass(frozen=True)
class Kink:
    """The least-squares concave kink in units of x, the interval of kinks that cannot be excluded, and the slopes.

    `fits` says whether residuals are no larger than noise makes them, and `interval` is None where no single kink
    describes the curve. `slope_ratio` is slope after over slope before, `slope_ratio_upper` its one-sided upper bound
    wherever in the interval the kink is, infinite above 1.
    """

    position: float
    interval: tuple[float, float] | None
    slope_ratio: float
    slope_ratio_upper: float
    fits: bool


def find_kink(curve: Replicates, x: Array, alpha: float) -> Kink:
    """Return the kink of a curve at ascending `x` (R,), R >= 5, with a 1 - alpha interval."""
    grid = _grid(tuple(x))
    residuals = grid.residual_makers @ curve.mean
    squares = np.einsum("cr,cr->c", residuals, residuals)
    before, after = (grid.slopes @ curve.mean).T
    concave = after < before
    best = int(np.where(concave | ~concave.any(), squares, np.inf).argmin())
    df = len(x) - 4
    maker = grid.residual_makers[best]
    fits = curve.misfit_p_value(maker, float(squares[best])) > alpha
    # Departures from the best stick beyond the noise count as a further error of each mean.
    misfit = 0.0 if fits else max(float(squares[best]) - curve.expected_squares(maker), 0.0) / df

    jump = curve.contrasts(grid.jumps, misfit, df)
    inside = np.abs(jump.t()) <= jump.quantile(1 - alpha / 2)
    interval = None
    ends = best, best
    if inside[best]:
        ends = _reach(inside, best, -1), _reach(inside, best, 1)
        interval = _with_edge_gaps(curve, x, (grid.positions[ends[0]], grid.positions[ends[1]]), alpha)
    # The least-squares kink is where the slopes differ most: a bound at it alone would be too low.
    possible = {best, *np.linspace(*ends, KINKS, dtype=int).tolist()}
    return Kink(
        position=float(grid.positions[best]),
        interval=interval,
        slope_ratio=float(after[best] / before[best]) if before[best] > 0 else np.inf,
        slope_ratio_upper=max(_upper_slope_ratio(curve, grid.slopes[at], (misfit, df), alpha) for at in possible),
        fits=fits,
    )


def _upper_slope_ratio(curve: Replicates, slopes: Array, misfit: tuple[float, float], alpha: float) -> float:
    """The largest slope ratio that is not excluded one-sided, -1 at least; infinite if 1 is not excluded."""

    def above(ratio: Array) -> Array:
        difference = curve.contrasts(slopes[1] - np.multiply.outer(ratio, slopes[0]), *misfit)
        return np.asarray(difference.t() + difference.quantile(1 - alpha))

    ratios = SLOPE_RATIOS
    for _ in range(2):
        possible = np.flatnonzero((over := above(ratios)) > 0)
        if len(possible) == 0:
            return float(ratios[0])
        if (last := possible[-1]) == len(ratios) - 1:
            return float(np.inf)
        ends, ratios = over[[last, last + 1]], np.linspace(ratios[last], ratios[last + 1], len(ratios))
    # Without noise t jumps from one infinity to the other.
    return (
        float(ratios[0] + (ratios[-1] - ratios[0]) * ends[0] / (ends[0] - ends[1]))
        if np.isfinite(ends).all()
        else (float(ratios[-1]))
    )


def _with_edge_gaps(curve: Replicates, x: Array, interval: tuple[float, float], alpha: float) -> tuple[float, float]:
    low, high = interval
    if low <= x[1] and find_bends(curve.subset(slice(1, None)), x[1:], alpha).p_value > alpha:
        low = x[0]
    if high >= x[-2] and find_bends(curve.subset(slice(None, -1)), x[:-1], alpha).p_value > alpha:
        high = x[-1]
    return float(low), float(high)


def _reach(inside: NDArray[np.bool_], start: int, step: int) -> int:
    """The last accepted position; a rejected stretch is crossed if the inner point behind it is accepted itself.

    Without that the interval would cover kinks at an inner point less often than it says: the least-squares kink falls
    into a gap beside it, where the test is another one.
    """
    following = [start]
    while following:
        at = following[0]
        inner_point = (at // POSITIONS + 1) * POSITIONS if step > 0 else (at - 1) // POSITIONS * POSITIONS
        following = [to for to in (at + step, inner_point) if 0 <= to < len(inside) and inside[to]]
    return at


@dataclass(frozen=True)
class _Grid:
    """Candidate kinks with what each needs: projections off the stick, the jump and the two slopes as contrasts."""

    positions: Array
    residual_makers: Array
    jumps: Array
    slopes: Array


@functools.lru_cache(maxsize=32)
def _grid(x: tuple[float, ...]) -> _Grid:
    points = np.array(x)
    positions, jumps = [], []
    for gap in range(1, len(points) - 2):
        for c in np.linspace(points[gap], points[gap + 1], POSITIONS, endpoint=gap == len(points) - 3):
            lefts = [gap + 1] if c > points[gap] or gap == 1 else [gap, gap + 1]
            positions.append(c)
            jumps.append(np.mean([_jump(points, left, c) for left in lefts], axis=0))
    c = np.array(positions)
    design = sticks(points, c)
    inverse = np.linalg.pinv(design)
    makers = np.eye(len(points)) - design @ inverse
    slopes = np.stack([inverse[:, 1], inverse[:, 1] + inverse[:, 2]], axis=1)
    return _Grid(c, makers, np.array(jumps), slopes)


def _jump(points: Array, left: int, c: float) -> Array:
    """Weights that give the jump at c from the line through the first `left` points to the line through the others."""
    sides = points[:left], points[left:]
    before, after = (np.array([1.0, c]) @ np.linalg.pinv(np.vander(side, 2, increasing=True)) for side in sides)
    return np.concatenate([-before, after])

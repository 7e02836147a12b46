"""Is a curve straight in x, and if not, where does it bend? A broken stick fitted by contrasts.

The stick is E[y] = a + b x + d (x - c)+, with a kink at c where the slope falls from b to b + d (d < 0: concave).
Every statistic is a contrast of the mean curve, formed inside each seed (see :mod:`embalign.verdicts.replicates`), so
unequal noise and noise that runs along a seed's whole curve leave its level alone.

1. Straight or not: sup-t, the largest t of -d over knots at the inner points, one-sided: the signed root of the sup-F
   of Andrews (1993), each knot with its own standard error; its null comes from Monte Carlo.
2. Where: c is in the interval unless lines through the points below and above c miss each other at c, by a two-sided
   t: this inverts the score test of the profile likelihood; for lines that meet it is Fieller's (1954) interval. In the
   first and last gap one line has a single point; such c stay in unless sup-t finds the points without it bent. At an
   inner point, which may be counted to either line, the jump between the lines is the mean of both ways.
3. Whether the slope falls to a share of what it was: Student's t of the slope after the least-squares kink minus that
   share of the slope before it.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, stdtrit

from embalign.verdicts.replicates import Array, Replicates

NULL_DRAWS, NULL_MOST_DF = 9999, 30
POSITIONS = 512  # candidate kinks in each gap
SLOPE_RATIOS = np.linspace(-1, 1, 401)


@dataclass(frozen=True)
class Kink:
    """The least-squares concave kink in units of x, the interval of kinks that cannot be excluded, and the slopes.

    `interval` is None where no single kink describes the curve. `slope_ratio` is slope after over slope before,
    `slope_ratio_upper` its one-sided upper bound.
    """

    position: float
    interval: tuple[float, float] | None
    slope_ratio: float
    slope_ratio_upper: float


def straight_line_p_value(curve: Replicates, x: Array) -> float:
    """Return the p-value of a straight line over ascending `x` (R,), R >= 4, against a concave kink, by sup-t.

    The null is exact for normal noise that is independent and equal across settings.
    """
    found = curve.contrasts(-_knots(tuple(x)))
    null = _sup_t_null(tuple(x), min(NULL_MOST_DF, max(1, int(np.median(found.df)))))
    return float((1 + (null >= found.t().max()).sum()) / (1 + len(null)))


def find_kink(curve: Replicates, x: Array, alpha: float) -> Kink:
    """Return the kink of a curve at ascending `x` (R,), R >= 5, with a 1 - alpha interval."""
    grid = _grid(tuple(x))
    residuals = grid.residual_makers @ curve.mean
    squares = np.einsum("cr,cr->c", residuals, residuals)
    before, after = (grid.slopes @ curve.mean).T
    concave = after < before
    best = int(np.where(concave | ~concave.any(), squares, np.inf).argmin())
    df = len(x) - 4
    misfit = _misfit(curve, grid.residual_makers[best], float(squares[best]), df, alpha)

    jump = curve.contrasts(grid.jumps, misfit, df)
    inside = np.abs(jump.t()) <= stdtrit(jump.df, 1 - alpha / 2)
    interval = None
    if inside[best]:
        reached = grid.positions[_reach(inside, best, -1)], grid.positions[_reach(inside, best, 1)]
        interval = _with_edge_gaps(curve, x, reached, alpha)

    contrast_before, contrast_after = grid.slopes[best]
    below = curve.contrasts(contrast_after - SLOPE_RATIOS[:, None] * contrast_before, misfit, df)
    not_excluded = below.t() > -stdtrit(below.df, 1 - alpha)
    upper = np.inf if not_excluded[-1] else SLOPE_RATIOS[max(np.flatnonzero(not_excluded), default=0)]
    return Kink(
        position=float(grid.positions[best]),
        interval=interval,
        slope_ratio=float(after[best] / before[best]) if before[best] > 0 else np.inf,
        slope_ratio_upper=float(upper),
    )


def _misfit(curve: Replicates, residual_maker: Array, squares: float, df: int, alpha: float) -> float:
    """Variance that departures from the best stick add to each mean, 0 unless they exceed the noise (Box 1954)."""
    projected = residual_maker @ curve.covariance()
    expected = float(np.trace(projected))
    if expected <= 0:
        return squares / df if squares > (curve.resolution**2) * len(residual_maker) else 0.0
    effective = expected**2 / float(np.sum(projected * projected.T))
    if fdtrc(effective, effective * (curve.seeds - 1), squares / expected) > alpha:
        return 0.0
    return max(squares - expected, 0.0) / df


def _with_edge_gaps(curve: Replicates, x: Array, interval: tuple[float, float], alpha: float) -> tuple[float, float]:
    low, high = interval
    if low <= x[1] and straight_line_p_value(curve.subset(slice(1, None)), x[1:]) > alpha:
        low = x[0]
    if high >= x[-2] and straight_line_p_value(curve.subset(slice(None, -1)), x[:-1]) > alpha:
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
    design = _sticks(points, c)
    inverse = np.linalg.pinv(design)
    makers = np.eye(len(points)) - design @ inverse
    slopes = np.stack([inverse[:, 1], inverse[:, 1] + inverse[:, 2]], axis=1)
    return _Grid(c, makers, np.array(jumps), slopes)


def _jump(points: Array, left: int, c: float) -> Array:
    """Weights that give the jump at c from the line through the first `left` points to the line through the others."""
    sides = points[:left], points[left:]
    before, after = (np.array([1.0, c]) @ np.linalg.pinv(np.vander(side, 2, increasing=True)) for side in sides)
    return np.concatenate([-before, after])


@functools.lru_cache(maxsize=32)
def _knots(x: tuple[float, ...]) -> Array:
    """Contrasts (R - 2, R) that give the change of slope at each inner point."""
    points = np.array(x)
    return np.asarray(np.linalg.pinv(_sticks(points, points[1:-1]))[:, 2])


def _sticks(points: Array, kinks: Array) -> Array:
    """The designs (C, R, 3) of sticks with those kinks (C,): level, slope and change of slope."""
    return np.stack(np.broadcast_arrays(1.0, points, np.maximum(points - kinks[:, None], 0.0)), axis=2)


@functools.lru_cache(maxsize=64)
def _sup_t_null(x: tuple[float, ...], df: int) -> Array:
    # The seed is part of the verdict: the same rows always get the same p-value.
    rng = np.random.default_rng(20240229)
    knots = _knots(x)
    root = np.linalg.cholesky(knots @ knots.T + 1e-12 * np.eye(len(knots)) * np.trace(knots @ knots.T))
    draws = rng.standard_normal((NULL_DRAWS, df + 1, len(knots))) @ root.T
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / np.sqrt(df + 1))
    return np.asarray(t.max(axis=1))

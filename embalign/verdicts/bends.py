"""Does a curve bend over x, and which way last? The largest of many contrasts, against its joint null.

A curve that starts convex and ends concave, as an S, is nearly straight on the whole. So changes of slope are looked
for in every run of consecutive points that ends at the last: the kink of the least-squares broken stick at each inner
point of each run. Concave is shown where the largest t of them is larger than chance makes it: sup-t, the signed root
of the sup-F of Andrews (1993), each contrast with its own standard error, its null from Monte Carlo.
"""

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from embalign.verdicts.replicates import Array, Replicates

NULL_DRAWS, NULL_MOST_DF = 9999, 30
CHUNK = 1000  # draws at a time

Direction = Literal["concave", "convex"]


@dataclass(frozen=True)
class Bends:
    """The p-value of "nowhere concave", and the direction of the last bend that is shown, None if none is.

    The last bend is the one of the shortest run to the end that is not straight.
    """

    p_value: float
    last: Direction | None


def find_bends(curve: Replicates, x: Array, alpha: float) -> Bends:
    """Return the bends of a curve at ascending `x` (R,), R >= 3.

    The null is exact for normal noise that is independent and equal across settings.
    """
    weights, lengths = _changes_of_slope(tuple(x))
    found = curve.contrasts(weights)
    null = _sup_t_null(tuple(x), min(NULL_MOST_DF, max(1, int(np.median(found.df)))))
    t = found.t()
    p_value = float((1 + (null >= (-t).max()).sum()) / (1 + len(null)))
    # A convex end takes a concave bend before it back; it has to be shown two-sided, for it is looked for beside that.
    concave = lengths[-t >= np.quantile(null, 1 - alpha)].min(initial=len(x) + 1)
    convex = lengths[t > np.quantile(null, 1 - alpha / 2)].min(initial=len(x) + 1)
    if convex < concave:
        return Bends(p_value, "convex")
    return Bends(p_value, "concave" if p_value <= alpha else None)


def sticks(points: Array, kinks: Array) -> Array:
    """Return the designs (C, R, 3) of broken sticks with kinks (C,): level, slope and change of slope at the kink."""
    return np.stack(np.broadcast_arrays(1.0, points, np.maximum(points - kinks[:, None], 0.0)), axis=2)


@functools.lru_cache(maxsize=64)
def _changes_of_slope(x: tuple[float, ...]) -> tuple[Array, Array]:
    """Contrasts (K, R) that give the change of slope at an inner point of a run, and the lengths (K,) of the runs."""
    points = np.array(x)
    weights, lengths = [], []
    for start in range(len(points) - 2):
        run = points[start:]
        for of_run in np.linalg.pinv(sticks(run, run[1:-1]))[:, 2]:
            weights.append(np.concatenate([np.zeros(start), of_run]))
            lengths.append(len(run))
    return np.array(weights), np.array(lengths)


@functools.lru_cache(maxsize=128)
def _sup_t_null(x: tuple[float, ...], df: int) -> Array:
    # The seed is part of the verdict: the same rows always get the same p-value.
    rng = np.random.default_rng(20240229)
    weights, _ = _changes_of_slope(x)
    largest = []
    for _ in range(0, NULL_DRAWS, CHUNK):
        draws = rng.standard_normal((CHUNK, df + 1, len(x)), dtype=np.float32) @ weights.T.astype(np.float32)
        t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / np.float32(np.sqrt(df + 1)))
        largest.append(t.max(axis=1))
    return np.concatenate(largest)[:NULL_DRAWS].astype(np.float64)

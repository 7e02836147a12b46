"""The gate as a cascade: keep what the mapped query finds, or embed the query with the teacher and search again.

Both searches are of the same index. Queries are sent to the teacher in the order of a score, lowest first. A curve runs
from the map alone (no query sent) to the teacher alone (all sent).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A metric over all queries, `value`, by the `share` of queries sent to the teacher, 0 to 1; linear in between."""

    share: Values
    value: Values

    def at(self, shares: Values) -> Values:
        """Return the metric at some shares of queries sent."""
        return np.asarray(np.interp(shares, self.share, self.value))

    def share_for(self, level: float) -> float | None:
        """Return the smallest share of queries sent that brings the metric to `level`; None if no share does."""
        reached = np.flatnonzero(self.value >= level - 1e-12)
        if len(reached) == 0:
            return None
        first = reached[0]
        if first == 0:
            return 0.0
        low, high = self.value[first - 1], self.value[first]
        part = min(1.0, (level - low) / (high - low))
        return float(self.share[first - 1] + part * (self.share[first] - self.share[first - 1]))


def by_score(scores: Values, mapped: Values, teacher: Values) -> Curve:
    """Return the curve of sending the lowest scores first.

    `scores` (Q,) are the gate's, `mapped` and `teacher` (Q,) are each query's metric by the mapped query and by the
    teacher's. Queries with equal scores are sent in random order: the curve is the expectation. NaN marks a query
    without a relevant row: it counts among the queries sent, and not in the metric. Raises ValueError for unequal
    counts, no queries, and scores that are not finite.

    >>> by_score(np.array([0.2, 0.9]), mapped=np.array([0.0, 1.0]), teacher=np.array([1.0, 1.0])).value
    array([0.5, 1. , 1. ])
    """
    if not len(scores) == len(mapped) == len(teacher) > 0:
        raise ValueError(
            f"each query needs a score and two values, found {len(scores)} scores, {len(mapped)} values of the map and "
            f"{len(teacher)} of the teacher"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values")
    gain = teacher - mapped
    known = ~np.isnan(gain)
    order = np.argsort(scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    gained = np.cumsum(np.where(known, gain, 0.0)[order])[last]
    start = mapped[known].sum()
    return Curve(np.append(0, last + 1) / len(scores), (start + np.append(0, gained)) / max(1, known.sum()))


def oracle(mapped: Values, teacher: Values) -> Curve:
    """Return the curve of sending those queries first that gain most: no score can do better."""
    return by_score(np.nan_to_num(mapped - teacher), mapped, teacher)


def random_routing(mapped: Values, teacher: Values) -> Curve:
    """Return the straight line of sending queries at random."""
    return by_score(np.zeros(len(mapped)), mapped, teacher)

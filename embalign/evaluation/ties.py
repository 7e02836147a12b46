"""Expected measures of a ranking whose tied rows come in random order: of its first relevant row and its first ten."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.relevance import Rows

TIED = 8  # machine epsilons within which similarities are tied
DEPTH = 10  # of nDCG, and of the lists that hubs are counted in
DISCOUNTS = 1 / np.log2(np.arange(2, DEPTH + 2))
CUMULATED = np.append(0.0, np.cumsum(DISCOUNTS))

Values = NDArray[np.float64]
Bits = NDArray[np.uint8]
Firsts = tuple[Rows, dict[int, Bits]]  # nearest rows (Q,), and of queries with several all of them, as bits
Embeddings = NDArray[np.floating]


def first_relevant(
    above: NDArray[np.int64], others: NDArray[np.int64], relevant: NDArray[np.int64], ks: Sequence[int]
) -> tuple[Values, Values]:
    """Return the probability of a relevant row in the first k (Q, ks), and the first one's expected reciprocal rank.

    `above` rows precede a group in random order, of `relevant` relevant rows and `others` that are not. None of the
    group's first j is relevant with probability prod (others - i) / (others + relevant - i), i = 0, ..., j - 1.
    """
    hits = (above[:, None] < np.array(ks)).astype(np.float64)
    reciprocal = 1 / (above + 1.0)
    for q in np.flatnonzero((others > 0) & (relevant > 0)):
        left = others[q] - np.arange(others[q] + 1)
        none = np.append(1.0, np.cumprod(left / (left + relevant[q])))
        reciprocal[q] = (-np.diff(none) / (above[q] + 1 + np.arange(len(left)))).sum()
        hits[q] = [1 - none[np.clip(k - above[q], 0, len(left))] for k in ks]
    return hits, reciprocal


def same_first(one: Firsts, other: Firsts) -> Values:
    """Return the probability that each query's first row is the same in two searches (Q,), ties taken at random."""
    same: Values = (one[0] == other[0]).astype(np.float64)
    for q in one[1].keys() | other[1].keys():
        left, right = (
            set(np.flatnonzero(np.unpackbits(tied[q]))) if q in tied else {nearest[q]} for nearest, tied in (one, other)
        )
        same[q] = len(left & right) / (len(left) * len(right))
    return same


def gain_at_depth(
    scores: Callable[[int], Embeddings],
    top: Embeddings,
    first: Rows,
    of_relevant: Embeddings,
    gains: Values,
    tie: float,
    returned: Values,
) -> Values:
    """Return the expected discounted gain of each query's first ten; add to `returned` how often a row is among them.

    `scores` gives the similarities (N,) of a query, -inf for a row that is left out; `top` and `first` are the eleven
    highest and their rows; `of_relevant` and `gains` (Q, R) those of the relevant rows, padded with -inf and 0.
    """
    depth = min(DEPTH, top.shape[1])
    cut = top[:, depth - 1]
    crossing = (cut - top[:, -1] <= tie) if top.shape[1] > depth else np.zeros(len(top), bool)
    crossing |= np.isneginf(cut)
    whole = ~crossing
    returned += np.bincount(first[whole, :depth].ravel(), minlength=len(returned))

    # Only the ten best relevant rows can be among the first ten, unless a tie reaches past them.
    width = of_relevant.shape[1]
    chosen = np.argpartition(-of_relevant, min(DEPTH, width) - 1, axis=1)[:, :DEPTH] if width > DEPTH else None
    mine = of_relevant if chosen is None else np.take_along_axis(of_relevant, chosen, axis=1)
    gain = gains if chosen is None else np.take_along_axis(gains, chosen, axis=1)
    listed = top[:, None, :depth]
    before = (listed > mine[:, :, None] + tie).sum(axis=2)
    reached = (listed >= mine[:, :, None] - tie).sum(axis=2)
    dcg = (gain * _mean_discount(before, reached)).sum(axis=1)
    for q in np.flatnonzero(crossing):
        dcg[q] = _gain_of_ties(scores(int(q)), cut[q] - tie, of_relevant[q], gains[q], tie, returned)
    return np.asarray(dcg)


def _gain_of_ties(
    scores: Embeddings, least: float, of_relevant: Embeddings, gains: Values, tie: float, returned: Values
) -> float:
    """The same for one query whose tenth place is tied."""
    rows = np.flatnonzero(np.isfinite(scores) & (scores >= least))
    ordered = np.sort(scores[rows])

    def places(values: Embeddings) -> tuple[Rows, Rows]:
        above = len(ordered) - np.searchsorted(ordered, values + tie, side="right")
        return above, len(ordered) - np.searchsorted(ordered, values - tie, side="left")

    before, reached = places(scores[rows])
    returned[rows] += np.clip((DEPTH - before) / np.maximum(reached - before, 1), 0, 1)
    here = of_relevant >= least
    return float((gains[here] * _mean_discount(*places(of_relevant[here]))).sum())


def _mean_discount(before: Rows, reached: Rows) -> Values:
    """Mean discount of the places before + 1, ..., reached, those past the tenth counting 0; 0 for no place."""
    total = CUMULATED[np.minimum(reached, DEPTH)] - CUMULATED[np.minimum(before, DEPTH)]
    return np.asarray(total / np.maximum(reached - before, 1))

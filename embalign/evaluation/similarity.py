"""How close mapped vectors are to the teacher's: cosine, skill (a constant may reach a cosine of 0.8), Spearman."""

import numpy as np
from numpy.typing import NDArray

from embalign.alignment.device import CPU, chosen
from embalign.alignment.seeds import Stream, generator
from embalign.lazy import lazy
from embalign.pairs import Vectors

torch = lazy("torch")  # reports import this module too
moved, unit_rows = lazy("embalign.alignment.memory").moved, lazy("embalign.alignment.lengths").unit_rows

EXACT_UP_TO = 2000  # items whose pairs are all ranked
SAMPLED_PAIRS = 2_000_000  # pairs that are ranked of more items; all pairs of EXACT_UP_TO items are nearly as many
BLOCK = 512  # rows whose similarities are computed at once
DOUBLE = 64  # rows that are held in float64 at once


def cosines(mapped: Vectors, teacher: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each mapped row to its teacher row, in [-1, 1]; 0 where either is the zero vector."""
    lengths, dots = np.empty(len(mapped)), np.empty(len(mapped))
    for start in range(0, len(mapped), DOUBLE):  # as many as stay in the processor's cache
        rows = slice(start, start + DOUBLE)
        left, right = mapped[rows].astype(np.float64), teacher[rows].astype(np.float64)
        lengths[rows] = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        dots[rows] = np.einsum("ij,ij->i", left, right)
    # Rounding can carry a cosine of 1 past it, where functions of the cosine are not defined.
    return np.asarray(np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0).clip(-1, 1))


def skill(cosine_mean: float, constant_mean: float) -> float:
    """Return the share of the way from the constant mean-vector predictor's mean cosine to 1; negative if below it."""
    return (cosine_mean - constant_mean) / (1 - constant_mean)


def pairwise_spearman(mapped: Vectors, teacher: Vectors, of_teacher: NDArray[np.float64] | None = None) -> float:
    """Return Spearman's rho between the two spaces' cosine similarities over all item pairs i < j.

    NaN where one space gives every pair the same similarity, as a constant predictor does. Above EXACT_UP_TO items it
    is rho over SAMPLED_PAIRS distinct pairs, the same ones for every map of as many items. Each pair is as likely to be
    among them as any other. The standard error of that is about (1 - rho^2) / sqrt(SAMPLED_PAIRS), 0.0007 at rho 0:
    on 5,000 related random vectors the root mean square difference from all pairs was 0.0001 at rho 0.91, 0.0004 at
    0.48, 0.0007 at 0.09.

    `of_teacher` are the teacher's :func:`pair_ranks` where they are known.
    """
    left = pair_ranks(mapped)
    right = pair_ranks(teacher) if of_teacher is None else of_teacher
    return float(np.corrcoef(left, right)[0, 1]) if len(left) and len(right) else float("nan")


def pair_ranks(vectors: Vectors) -> NDArray[np.float64]:
    """Return the rank of each pair's cosine similarity among the pairs that :func:`pairwise_spearman` looks at.

    None, an empty array, where all pairs have the same similarity.
    """
    if len(vectors) > EXACT_UP_TO:
        found = _sampled_similarities(vectors, generator(0, Stream.SIMILARITY_PAIRS).permutation(len(vectors)))
    else:
        unit = unit_rows(vectors)
        found = (unit @ unit.T)[np.triu_indices(len(vectors), k=1)]
    return np.empty(0) if np.ptp(found) < 1e-6 else _ranks(found)


def _ranks(values: Vectors) -> NDArray[np.float64]:
    """The ranks (n,) from 1, of equal values their mean, as `scipy.stats.rankdata` has them in twice the time.

    That sorts stably, which nothing here needs.
    """
    if chosen() != CPU:
        return _ranks_elsewhere(values)
    order = np.argsort(values)
    ordered = values[order]
    edges = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(values)]])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat((edges[:-1] + edges[1:] + 1) / 2, np.diff(edges))
    return ranks


def _ranks_elsewhere(values: Vectors) -> NDArray[np.float64]:
    ordered, order = torch.sort(moved(values))
    counts = torch.unique_consecutive(ordered, return_counts=True)[1]
    ranks = counts.new_empty(len(values)).double()
    ranks[order] = torch.repeat_interleave(counts.cumsum(0) - (counts.double() - 1) / 2, counts)
    return np.asarray(ranks.cpu())


def _sampled_similarities(vectors: Vectors, order: NDArray[np.int64]) -> Vectors:
    """Cosines (SAMPLED_PAIRS,) of each item to the next ones in `order`, which runs round a circle.

    Chance is in the order. Pairs of neighbours come in blocks of matrix products and use every item equally often.
    """
    each, rest = divmod(SAMPLED_PAIRS, len(order))
    circle = np.concatenate([order, order[: each + 1]])
    steps = np.arange(1, each + 2)
    found = []
    for start in range(0, len(order), BLOCK):
        rows = np.arange(min(BLOCK, len(order) - start))[:, None]
        unit = unit_rows(vectors[circle[start : start + len(rows) + each + 1]])
        similarity = np.take_along_axis(unit[: len(rows)] @ unit.T, rows + steps, axis=1)
        # The first `rest` items have one pair more than the others.
        found.append(similarity[(steps <= each) | (start + rows < rest)])
    return np.concatenate(found)

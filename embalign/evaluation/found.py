"""What a block of similarities says of the queries that it is of; blocks are gathered one by one."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.memory import moved
from embalign.evaluation.index import hide
from embalign.evaluation.relevance import Relevance, Rows
from embalign.evaluation.ties import DEPTH, DISCOUNTS, TIED, Bits, Embeddings, Values, first_relevant, gain_at_depth
from embalign.evaluation.top import highest

COMPARED = 2**20  # similarities that are compared at once on the CPU


class Asked(NamedTuple):
    """What is looked for: relevant rows and mates, without each query's `own` row, among the first so many.

    `cut_offs` are those of hits, ascending, and `found_at` those of TREC's recall.
    """

    relevant: Relevance
    own: Rows | None
    mates: Relevance | None
    cut_offs: Sequence[int]
    found_at: Sequence[int]


class Found:
    """What has been found so far in an index of `size` rows.

    `returned` (size,) counts the queries that have a row among their first ten, and `tied` holds, as bits, the rows
    that share the first place, for queries with several.
    """

    def __init__(self, size: int) -> None:
        self.returned: Values = np.zeros(size)
        self.tied: dict[int, Bits] = {}
        self._parts: list[tuple[NDArray[Any], ...]] = []

    def add(self, similarity: Tensor, asked: Asked, rows: slice) -> None:
        """Take in the similarities (queries, size) of the queries in `rows`, which are changed."""
        mate = _first_is_mate(similarity, asked.mates, rows)
        if asked.own is not None:
            named = np.flatnonzero(asked.own[rows] >= 0)
            similarity[named, asked.own[rows][named]] = -torch.inf
        if asked.relevant.left_out is not None:
            hide(similarity, asked.relevant.left_out, rows)
        recall = _found(similarity, asked.relevant, rows, asked.found_at, asked.own)
        counted = self.returned, self.tied
        ranked = _search_block(similarity, asked.relevant, rows, asked.cut_offs, asked.own, counted)
        self._parts.append((*ranked, mate, recall))

    def joined(self) -> tuple[NDArray[Any], ...]:
        """Return hits (Q, cut_offs), then reciprocal and plain rank, nDCG, nearest row, top-1, margin, mate; recall."""
        return tuple(np.concatenate(part) for part in zip(*self._parts, strict=True))


def _tie(similarity: Tensor) -> float:
    return TIED * torch.finfo(similarity.dtype).eps


def _count(similarity: Tensor, bound: Tensor, *, above: bool) -> NDArray[np.int64]:
    """Number of similarities in each row above a bound (rows,), or not below it."""
    # Ones and zeros in the similarities' own format sum six times as fast as booleans do; exact up to 2^24 of them. As
    # many as stay in the processor's cache, written over by those of the next rows, take no memory of a block's size.
    compare = torch.gt if above else torch.ge
    step = len(similarity) if similarity.is_cuda else max(1, COMPARED // similarity.shape[1])
    ones = torch.empty_like(similarity[:step])
    dtype = similarity.dtype if similarity.shape[1] < 2**24 else torch.float64
    counts = [
        compare(some, least[:, None], out=ones[: len(some)]).sum(dim=1, dtype=dtype)
        for some, least in zip(torch.split(similarity, step), torch.split(bound, step), strict=True)
    ]
    return torch.cat(counts).cpu().numpy().astype(int)


def _at(similarity: Tensor, places: Rows) -> Embeddings:
    """The similarities (queries, R) at some places of each row."""
    return similarity.gather(1, torch.from_numpy(places).to(similarity.device)).cpu().numpy()


def _first_is_mate(similarity: Tensor, mates: Relevance | None, rows: slice) -> Values:
    """Probability that the first row of each query is one of its mates; NaN where it has none."""
    if mates is None:
        return np.full(len(similarity), np.nan)
    places, there, _ = mates.padded(rows)
    least = similarity.amax(dim=1) - _tie(similarity)
    of_mates = np.where(there, _at(similarity, places), -np.inf)
    first = (of_mates >= least.cpu().numpy()[:, None]).sum(axis=1)
    return np.where(there.any(axis=1), first / _count(similarity, least, above=False), np.nan)


def _found(similarity: Tensor, relevant: Relevance, rows: slice, cut_offs: Sequence[int], own: Rows | None) -> Values:
    """Expected share of each query's relevant rows among the first k (queries, cut-offs); NaN where it has none."""
    if not cut_offs:
        return np.empty((len(similarity), 0))
    places, there, _ = relevant.padded(rows)
    if own is not None:
        there = there & (places != own[rows][:, None])
    of_relevant = moved(np.where(there, _at(similarity, places), -np.inf))
    reached = np.zeros((len(similarity), len(cut_offs)))
    for column in range(places.shape[1]):
        mine = of_relevant[:, column].to(similarity.dtype)
        above = _count(similarity, mine + _tie(similarity), above=True)
        tied = _count(similarity, mine - _tie(similarity), above=False) - above
        share = (np.array(cut_offs) - above[:, None]) / np.maximum(tied, 1)[:, None]
        reached += np.where(there[:, column, None], np.clip(share, 0, 1), 0)
    count = there.sum(axis=1)[:, None]
    return np.asarray(np.where(count > 0, reached / np.maximum(count, 1), np.nan))


def _search_block(
    similarity: Tensor,
    relevant: Relevance,
    rows: slice,
    ks: Sequence[int],
    own: Rows | None,
    counted: tuple[Values, dict[int, Bits]],
) -> tuple[Values, Values, Values, Values, Rows, Values, Values]:
    """Hits (queries, ks), reciprocal and plain rank, nDCG, nearest row, top-1 and margin; adds to what is `counted`."""
    returned, tied = counted
    places, there, gains = relevant.padded(rows)
    if own is not None:
        there = there & (places != own[rows][:, None])
    of_relevant = np.where(there, _at(similarity, places), -np.inf)

    def scores(query: int) -> Embeddings:
        return similarity[query].cpu().numpy()

    asked: NDArray[np.bool_] = np.asarray(there.any(axis=1))

    best = moved(of_relevant.max(axis=1, initial=-np.inf))
    least = best - _tie(similarity)
    above = _count(similarity, best + _tie(similarity), above=True)
    tied_relevant = (of_relevant >= least.cpu().numpy()[:, None]).sum(axis=1)
    tied_others = _count(similarity, least, above=False) - above - tied_relevant
    hits, reciprocal = first_relevant(above, tied_others, tied_relevant, ks)
    rank = above + 1 + tied_others / (tied_relevant + 1)

    top, first = highest(similarity, DEPTH + 1)
    dcg = gain_at_depth(scores, top, first, of_relevant, np.where(there, gains, 0.0), _tie(similarity), returned)
    best_gains = -np.sort(-np.where(there, gains, 0.0), axis=1)[:, :DEPTH]
    second = top[:, 1] if top.shape[1] > 1 else np.full(len(top), -np.inf)
    with np.errstate(invalid="ignore"):  # no relevant row; nothing left to find
        ndcg = dcg / (best_gains @ DISCOUNTS[: best_gains.shape[1]])
        margin = np.where(top[:, 0] - second > _tie(similarity), top[:, 0].astype(np.float64) - second, 0.0)
    reciprocal, rank, ndcg = (np.where(asked, value, np.nan) for value in (reciprocal, rank, ndcg))
    hits = np.where(asked[:, None], hits, np.nan)
    for q in np.flatnonzero(np.isfinite(second) & (second >= top[:, 0] - _tie(similarity))):
        tied[rows.start + int(q)] = np.packbits(scores(int(q)) >= top[q, 0] - _tie(similarity))
    return hits, reciprocal, rank, ndcg, first[:, 0], top[:, 0].astype(np.float64), margin

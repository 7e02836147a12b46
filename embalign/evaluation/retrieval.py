"""Exact retrieval by cosine similarity: queries search an index, block by block, and ties are taken at random.

Every number is the expectation over the order of tied items: similarities within 8 machine epsilons of the vectors'
precision. So nothing depends on the order of the rows. The rank of the first relevant item needs no sorting: it is one
more than the number of items above it. A block holds the similarities of some queries to the whole index, and memory
does not grow with queries times index.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.gemm import use_fast_gemm
from embalign.evaluation.relevance import Labels, Relevance, Rows

BLOCK = 2**24  # similarities that are held at once
DEPTH = 10  # of nDCG, and of the lists that hubs are counted in
KS = (1, 5, 10)
DISCOUNTS = 1 / np.log2(np.arange(2, DEPTH + 2))
CUMULATED = np.append(0.0, np.cumsum(DISCOUNTS))

Values = NDArray[np.float64]
Embeddings = NDArray[np.floating]


@dataclass(frozen=True)
class Search:
    """What each of Q queries finds in an index of N rows: (Q,) each, NaN for queries without a relevant row.

    `hits[k]` is the probability of a relevant row among the first k; `reciprocal_rank` and `rank` are those of the
    first relevant row; `ndcg` is nDCG@10 over all relevant rows with linear gains (Järvelin & Kekäläinen 2002);
    `mate` is the probability that the first row is one of the query's mates. `nearest` is a row of the highest
    similarity `top1`, and `margin` what it has above the second. `returned` (N,) counts the queries that have a row
    among their first ten.
    """

    hits: dict[int, Values]
    reciprocal_rank: Values
    rank: Values
    ndcg: Values
    mate: Values
    nearest: Rows
    top1: Values
    margin: Values
    returned: Values

    @property
    def correct(self) -> Values:
        """The probability that the first row is relevant, in [0, 1]; 0 without a relevant row."""
        return np.nan_to_num(self.hits[1])

    @property
    def never_returned(self) -> float:
        """The share of the index that no query has among its first ten."""
        return float((self.returned <= 0).mean())

    @property
    def largest_hub(self) -> float:
        """The largest share of queries that have one and the same row among their first ten (Radovanović 2010)."""
        return float(self.returned.max() / len(self.rank))


@dataclass(frozen=True)
class Retrieval:
    """Recall@K by K and MRR, both in [0, 1], and the expected rank of each query's first relevant item (NaN: none)."""

    recall: dict[int, float]
    mrr: float
    ranks: Values


def leave_one_out(embeddings: Embeddings, labels: Labels, ks: Sequence[int] = KS) -> Retrieval:
    """Return Recall@K, for cut-offs `ks` of at least 1, and MRR of leave-one-out retrieval by cosine similarity.

    Each of the embeddings (n, d), which may have any length, searches the others; relevant are those of its label.
    Items whose label no other has are in the pool but ask no query. Recall@K is the share of queries with a relevant
    item in the first K, as metric learning uses the word (Success@K in TREC terms); MRR is not truncated. Raises
    ValueError for unequal counts, values that are not finite, and if no label occurs twice.

    >>> found = leave_one_out(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), ["a", "b", "a"])
    >>> found.recall, found.mrr
    ({1: 0.0, 5: 1.0, 10: 1.0}, 0.5)
    """
    vectors = np.asarray(embeddings)
    if vectors.ndim != 2 or len(vectors) != len(labels):
        raise ValueError(f"embeddings of shape {vectors.shape} need one label a row, found {len(labels)} labels")
    own = np.arange(len(vectors))
    found = search_metrics(vectors, vectors, query_labels=labels, index_labels=labels, own=own, ks=ks)
    asked = ~np.isnan(found.rank)
    if not asked.any():
        raise ValueError("no label occurs twice, so no query has a relevant item")
    recall = {k: float(hits[asked].mean()) for k, hits in found.hits.items() if k in ks}
    return Retrieval(recall, float(found.reciprocal_rank[asked].mean()), found.rank)


def search_metrics(
    queries: Embeddings,
    index: Embeddings,
    *,
    query_labels: Labels,
    index_labels: Labels,
    own: Rows | None = None,
    ks: Sequence[int] = KS,
) -> Search:
    """Return what `queries` (Q, d) find in `index` (N, d) if rows of the query's label are relevant.

    `own` (Q,) names the index row that is the query itself, -1 for none: it is left out. See :func:`search`.

    >>> found = search_metrics(np.eye(2), np.eye(2), query_labels=["a", "b"], index_labels=["a", "a"])
    >>> found.ndcg
    array([ 1., nan])
    """
    if len(index) != len(index_labels) or len(queries) != len(query_labels):
        counts = f"{len(query_labels)} labels of {len(queries)} queries, {len(index_labels)} of {len(index)} rows"
        raise ValueError(f"every query and every row of the index needs one label, found {counts}")
    return search(queries, index, Relevance.by_label(query_labels, index_labels), own=own, ks=ks)


def search(
    queries: Embeddings,
    index: Embeddings,
    relevant: Relevance,
    *,
    own: Rows | None = None,
    mates: Relevance | None = None,
    ks: Sequence[int] = KS,
) -> Search:
    """Return what `queries` (Q, d) find in `index` (N, d) by cosine similarity; vectors may have any length.

    `own` (Q,) names the index row that is the query itself, -1 for none: it is left out, except where `mates`, the
    rows that stand for the same text, are looked for. float64 is kept, everything else is computed in float32. Raises
    ValueError for other shapes, values that are not finite, and cut-offs below 1.
    """
    left, right = _checked(queries, index, relevant, ks)
    use_fast_gemm()
    parts = []
    returned = np.zeros(len(right))
    unit_index = _unit(right)
    for rows in _blocks(len(left), len(right)):
        similarity = _unit(left[rows]) @ unit_index.T
        mate = _first_is_mate(similarity, mates, rows)
        if own is not None:
            asked = np.flatnonzero(own[rows] >= 0)
            similarity[asked, own[rows][asked]] = -torch.inf
        parts.append((*_search_block(similarity, relevant, rows, sorted({1, *ks}), own, returned), mate))
    hits, reciprocal, rank, ndcg, nearest, top1, margin, mate = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    by_k = dict(zip(sorted({1, *ks}), hits.T, strict=True))
    return Search(by_k, reciprocal, rank, ndcg, mate, nearest, top1, margin, returned)


def _checked(
    queries: Embeddings, index: Embeddings, relevant: Relevance, ks: Sequence[int]
) -> tuple[Embeddings, Embeddings]:
    left, right = np.asarray(queries), np.asarray(index)
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1] or not len(left) or not len(right):
        raise ValueError(f"queries of shape {left.shape} cannot search an index of shape {right.shape}")
    if len(relevant) != len(left):
        raise ValueError(f"{len(left)} queries need relevant rows for each, found them for {len(relevant)}")
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("embeddings hold NaN or infinite values")
    if any(k < 1 for k in ks):
        raise ValueError(f"cut-offs must be at least 1, found {list(ks)}")
    dtype = np.float64 if left.dtype == right.dtype == np.float64 else np.float32
    return left.astype(dtype, copy=False), right.astype(dtype, copy=False)


def _unit(vectors: Embeddings) -> Tensor:
    x = torch.from_numpy(np.ascontiguousarray(vectors))
    lengths: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    return x / lengths


def _blocks(queries: int, index: int) -> Iterator[slice]:
    size = max(1, BLOCK // index)
    for start, stop in itertools.pairwise([*range(0, queries, size), queries]):
        yield slice(start, stop)


def _tie(similarity: Tensor) -> float:
    return 8 * torch.finfo(similarity.dtype).eps


def _count(similarity: Tensor, bound: Tensor, *, above: bool) -> NDArray[np.int64]:
    """Number of similarities in each row above a bound (rows,), or not below it."""
    # Ones and zeros in the similarities' own format sum six times as fast as booleans do; exact up to 2^24 of them.
    compare = torch.gt if above else torch.ge
    ones = compare(similarity, bound[:, None], out=torch.empty_like(similarity))
    return ones.sum(dim=1, dtype=similarity.dtype if similarity.shape[1] < 2**24 else torch.float64).numpy().astype(int)


def _first_is_mate(similarity: Tensor, mates: Relevance | None, rows: slice) -> Values:
    """Probability that the first row of each query is one of its mates; NaN where it has none."""
    if mates is None:
        return np.full(len(similarity), np.nan)
    places, there, _ = mates.padded(rows)
    least = similarity.amax(dim=1) - _tie(similarity)
    of_mates = np.where(there, np.take_along_axis(similarity.numpy(), places, axis=1), -np.inf)
    first = (of_mates >= least.numpy()[:, None]).sum(axis=1)
    return np.where(there.any(axis=1), first / _count(similarity, least, above=False), np.nan)


def _search_block(
    similarity: Tensor, relevant: Relevance, rows: slice, ks: Sequence[int], own: Rows | None, returned: Values
) -> tuple[Values, Values, Values, Values, Rows, Values, Values]:
    """Hits (queries, ks), reciprocal and plain rank, nDCG, nearest row, top-1 and margin; adds to `returned`."""
    places, there, gains = relevant.padded(rows)
    if own is not None:
        there = there & (places != own[rows][:, None])
    scores = similarity.numpy()
    of_relevant = np.where(there, np.take_along_axis(scores, places, axis=1), -np.inf)
    asked = there.any(axis=1)

    best = torch.from_numpy(of_relevant.max(axis=1, initial=-np.inf).astype(scores.dtype))
    least = best - _tie(similarity)
    above = _count(similarity, best + _tie(similarity), above=True)
    tied_relevant = (of_relevant >= least.numpy()[:, None]).sum(axis=1)
    tied_others = _count(similarity, least, above=False) - above - tied_relevant
    hits, reciprocal = _first_relevant(above, tied_others, tied_relevant, ks)
    rank = above + 1 + tied_others / (tied_relevant + 1)

    top, first = (part.numpy() for part in torch.topk(similarity, min(DEPTH + 1, similarity.shape[1]), dim=1))
    dcg = _gain_at_depth(scores, top, first, of_relevant, np.where(there, gains, 0.0), _tie(similarity), returned)
    best_gains = -np.sort(-np.where(there, gains, 0.0), axis=1)[:, :DEPTH]
    with np.errstate(invalid="ignore"):
        ndcg = dcg / (best_gains @ DISCOUNTS[: best_gains.shape[1]])
    second = top[:, 1] if top.shape[1] > 1 else np.full(len(top), -np.inf)
    margin = np.where(top[:, 0] - second > _tie(similarity), top[:, 0].astype(np.float64) - second, 0.0)
    values = (np.where(asked, value, np.nan) for value in (reciprocal, rank, ndcg))
    return (np.where(asked[:, None], hits, np.nan), *values, first[:, 0], top[:, 0].astype(np.float64), margin)


def _first_relevant(
    above: NDArray[np.int64], others: NDArray[np.int64], relevant: NDArray[np.int64], ks: Sequence[int]
) -> tuple[Values, Values]:
    """Probability of a relevant row in the first k, and expected reciprocal rank of the first.

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


def _gain_at_depth(
    scores: Embeddings,
    top: Embeddings,
    first: Rows,
    of_relevant: Embeddings,
    gains: Values,
    tie: float,
    returned: Values,
) -> Values:
    """Expected discounted gain of each query's first ten; adds to `returned` how often a row is among them."""
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
        dcg[q] = _gain_of_ties(scores[q], cut[q] - tie, of_relevant[q], gains[q], tie, returned)
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

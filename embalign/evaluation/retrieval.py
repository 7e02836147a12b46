"""Exact retrieval by cosine similarity: queries search an index, block by block, and ties are taken at random.

Every number is the expectation over the order of tied items: similarities within 8 machine epsilons of the vectors'
precision. So nothing depends on the order of the rows. The rank of the first relevant item needs no sorting: it is one
more than the number of items above it. A block holds the similarities of some queries to the whole index, and memory
does not grow with queries times index.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment import arguments
from embalign.alignment.gemm import use_fast_gemm
from embalign.evaluation.index import Index, hide
from embalign.evaluation.relevance import Labels, Relevance, Rows
from embalign.evaluation.ties import DEPTH, DISCOUNTS, TIED, Bits, Embeddings, Values, first_relevant, gain_at_depth

BLOCK = 2**24  # similarities that are held at once
PADDED = 10  # similarities that take the memory of one padded relevant row
KS = (1, 5, 10)
FIRST = tuple(range(1, DEPTH + 1))


@dataclass(frozen=True)
class Search:
    """What each of Q queries finds in an index of N rows: (Q,) each, NaN for queries without a relevant row.

    `hits[k]` is the probability of a relevant row among the first k; `found[k]`, for the cut-offs asked for, the share
    of the relevant rows among them, TREC's Recall@k. `reciprocal_rank` and `rank` are those of the first relevant row,
    and `reciprocal_rank_at_10` is 0 for one below the tenth. `ndcg` is nDCG@10 over all relevant rows with linear gains
    (Järvelin & Kekäläinen 2002); `mate` is the probability that the first row is one of the query's mates. `nearest` is
    a row of the highest similarity `top1`, and `margin` what it has above the second; `tied` holds, as bits, the rows
    that share the first place, for queries with several. `returned` (N,) counts the queries that have a row among their
    first ten.
    """

    hits: dict[int, Values]
    found: dict[int, Values]
    reciprocal_rank: Values
    reciprocal_rank_at_10: Values
    rank: Values
    ndcg: Values
    mate: Values
    nearest: Rows
    top1: Values
    margin: Values
    returned: Values
    tied: dict[int, Bits] = field(default_factory=dict)

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
    ValueError for unequal counts, values that are not finite, and if no label occurs twice, TypeError for what is not
    vectors.

    >>> found = leave_one_out(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), ["a", "b", "a"])
    >>> found.recall, found.mrr
    ({1: 0.0, 5: 1.0, 10: 1.0}, 0.5)
    """
    held = arguments.vectors(embeddings, "embeddings", double=True)
    labels = arguments.labels(labels, "labels", len(held))
    own = np.arange(len(held))
    found = search_metrics(held, held, query_labels=labels, index_labels=labels, own=own, ks=ks)
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

    `own` (Q,) names the index row that is the query itself, -1 for none: it is left out. Vectors may have any length.
    Raises ValueError and TypeError for what cannot be searched. See :func:`search`.

    >>> found = search_metrics(np.eye(2), np.eye(2), query_labels=["a", "b"], index_labels=["a", "a"])
    >>> found.ndcg
    array([ 1., nan])
    """
    held = arguments.vectors(index, "index", double=True)
    asked = arguments.vectors(queries, "queries", width=held.shape[1], double=True)
    query_labels = arguments.labels(query_labels, "query_labels", len(asked))
    index_labels = arguments.labels(index_labels, "index_labels", len(held))
    if not isinstance(ks, Sequence | np.ndarray) or isinstance(ks, str):
        raise TypeError(f"ks must be a list of cut-offs, found {ks!r}")
    ks = [arguments.whole_number(k, "a cut-off in ks", 1) for k in ks]
    if own is not None:
        own = arguments.array(own, "own")
        if own.dtype.kind not in "iu" or own.ndim != 1 or own.min(initial=0) < -1:
            raise ValueError(
                f"own must hold a row of the index for each query, -1 for none, found {arguments.described(own)}"
            )
    return search(asked, held, Relevance.by_label(query_labels, index_labels), own=own, ks=ks)


def search(
    queries: Embeddings,
    index: Embeddings | Index,
    relevant: Relevance,
    *,
    own: Rows | None = None,
    mates: Relevance | None = None,
    ks: Sequence[int] = KS,
    found_at: Sequence[int] = (),
) -> Search:
    """Return what `queries` (Q, d) find in `index` (N, d) by cosine similarity; vectors may have any length.

    What is searched more than once is best an :class:`Index`.

    `own` (Q,) names the index row that is the query itself, -1 for none: it is left out, except where `mates`, the
    rows that stand for the same text, are looked for; so are the rows that the relevance leaves out. `found_at` are
    cut-offs of TREC's recall, which takes two passes over the similarities for each relevant row that a query may have.
    float64 is kept, everything else is computed in float32. Raises ValueError for other shapes, values that are not
    finite, rows that the index does not have, and cut-offs below 1.
    """
    held = index if isinstance(index, Index) else Index(index)
    left = _checked(queries, held, (*ks, *found_at))
    size = len(held.vectors)
    _check_rows(relevant, own, mates, len(left), size)
    use_fast_gemm()
    parts = []
    returned, tied = np.zeros(size), dict[int, Bits]()
    cut_offs = sorted({*FIRST, *ks})
    for rows in _blocks(len(left), size + PADDED * max(each.most for each in (relevant, mates) if each is not None)):
        similarity = held.similarity(left[rows])
        mate = _first_is_mate(similarity, mates, rows)
        if own is not None:
            asked = np.flatnonzero(own[rows] >= 0)
            similarity[asked, own[rows][asked]] = -torch.inf
        if relevant.left_out is not None:
            hide(similarity, relevant.left_out, rows)
        recall = _found(similarity, relevant, rows, found_at, own)
        parts.append((*_search_block(similarity, relevant, rows, cut_offs, own, (returned, tied)), mate, recall))
    hits, reciprocal, rank, ndcg, nearest, top1, margin, mate, recall = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    by_k = dict(zip(cut_offs, hits.T, strict=True))
    first_ten = np.diff(np.column_stack([np.zeros(len(left)), *(by_k[k] for k in FIRST)]), axis=1) @ (
        1 / np.array(FIRST)
    )
    return Search(
        {k: by_k[k] for k in sorted({1, *ks})},
        dict(zip(found_at, recall.T, strict=True)),
        reciprocal,
        np.where(np.isnan(reciprocal), np.nan, first_ten),
        rank,
        ndcg,
        mate,
        nearest,
        top1,
        margin,
        returned,
        tied,
    )


def _checked(queries: Embeddings, index: Index, ks: Sequence[int]) -> Embeddings:
    """Return the queries in the precision that the search has."""
    left, right = np.asarray(queries), index.vectors
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1] or not len(left) or not len(right):
        raise ValueError(f"queries of shape {left.shape} cannot search an index of shape {right.shape}")
    if not (np.isfinite(left).all() and index.is_finite):
        raise ValueError("embeddings hold NaN or infinite values")
    if any(k < 1 for k in ks):
        raise ValueError(f"cut-offs must be at least 1, found {list(ks)}")
    dtype = np.float64 if left.dtype == right.dtype == np.float64 else np.float32
    return left.astype(dtype, copy=False)


def _check_rows(relevant: Relevance, own: Rows | None, mates: Relevance | None, queries: int, index: int) -> None:
    for name, each in (("relevant rows", relevant), ("mates", mates)):
        if each is not None and len(each) != queries:
            raise ValueError(f"{queries} queries need {name} for each, found them for {len(each)}")
        if each is not None and len(each.rows) and not 0 <= each.rows.min() <= each.rows.max() < index:
            raise ValueError(f"{name} {each.rows.min()} to {each.rows.max()} are not in an index of {index} rows")
    if own is not None and len(own) != queries:
        raise ValueError(f"{queries} queries need an own row each, -1 for none, found {len(own)}")
    if own is not None and own.max() >= index:
        raise ValueError(f"own row {own.max()} is not in an index of {index} rows")


def _blocks(queries: int, width: int) -> Iterator[slice]:
    size = max(1, BLOCK // width)
    for start, stop in itertools.pairwise([*range(0, queries, size), queries]):
        yield slice(start, stop)


def _tie(similarity: Tensor) -> float:
    return TIED * torch.finfo(similarity.dtype).eps


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


def _found(similarity: Tensor, relevant: Relevance, rows: slice, cut_offs: Sequence[int], own: Rows | None) -> Values:
    """Expected share of each query's relevant rows among the first k (queries, cut-offs); NaN where it has none."""
    if not cut_offs:
        return np.empty((len(similarity), 0))
    places, there, _ = relevant.padded(rows)
    if own is not None:
        there = there & (places != own[rows][:, None])
    of_relevant = torch.from_numpy(np.where(there, np.take_along_axis(similarity.numpy(), places, axis=1), -np.inf))
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
    scores = similarity.numpy()
    of_relevant = np.where(there, np.take_along_axis(scores, places, axis=1), -np.inf)
    asked: NDArray[np.bool_] = np.asarray(there.any(axis=1))

    best = torch.from_numpy(of_relevant.max(axis=1, initial=-np.inf).astype(scores.dtype))
    least = best - _tie(similarity)
    above = _count(similarity, best + _tie(similarity), above=True)
    tied_relevant = (of_relevant >= least.numpy()[:, None]).sum(axis=1)
    tied_others = _count(similarity, least, above=False) - above - tied_relevant
    hits, reciprocal = first_relevant(above, tied_others, tied_relevant, ks)
    rank = above + 1 + tied_others / (tied_relevant + 1)

    top, first = (part.numpy() for part in torch.topk(similarity, min(DEPTH + 1, similarity.shape[1]), dim=1))
    dcg = gain_at_depth(scores, top, first, of_relevant, np.where(there, gains, 0.0), _tie(similarity), returned)
    best_gains = -np.sort(-np.where(there, gains, 0.0), axis=1)[:, :DEPTH]
    second = top[:, 1] if top.shape[1] > 1 else np.full(len(top), -np.inf)
    with np.errstate(invalid="ignore"):  # no relevant row; nothing left to find
        ndcg = dcg / (best_gains @ DISCOUNTS[: best_gains.shape[1]])
        margin = np.where(top[:, 0] - second > _tie(similarity), top[:, 0].astype(np.float64) - second, 0.0)
    reciprocal, rank, ndcg = (np.where(asked, value, np.nan) for value in (reciprocal, rank, ndcg))
    hits = np.where(asked[:, None], hits, np.nan)
    for q in np.flatnonzero(np.isfinite(second) & (second >= top[:, 0] - _tie(similarity))):
        tied[rows.start + int(q)] = np.packbits(scores[q] >= top[q, 0] - _tie(similarity))
    return hits, reciprocal, rank, ndcg, first[:, 0], top[:, 0].astype(np.float64), margin

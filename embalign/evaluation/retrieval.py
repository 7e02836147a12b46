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

from embalign.alignment import arguments
from embalign.alignment.device import CPU, chosen, suited
from embalign.alignment.gemm import use_fast_gemm
from embalign.evaluation.found import Asked, Found
from embalign.evaluation.index import Index
from embalign.evaluation.relevance import Labels, Part, Relevance, Rows
from embalign.evaluation.ties import DEPTH, Bits, Embeddings, Values
from embalign.pairs.freed import give_back
from embalign.pairs.picked import MANY

BLOCK, ON_GPU = 2**25, 2**26  # similarities that are held at once
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
    return search_all(queries, [(held, Part(None, relevant, own, mates))], ks=ks, found_at=found_at)[0]


def search_all(
    queries: Embeddings, parts: Sequence[tuple[Index, Part]], *, ks: Sequence[int] = KS, found_at: Sequence[int] = ()
) -> list[Search]:
    """Return what queries find in each of some parts of indexes, which differ in their penalty alone.

    Cosines are computed once for all. See :func:`search`.
    """
    with suited(np.size(queries) * len(parts[0][0].vectors)):
        return _search_all(queries, parts, ks, found_at)


def _search_all(
    queries: Embeddings, parts: Sequence[tuple[Index, Part]], ks: Sequence[int], found_at: Sequence[int]
) -> list[Search]:
    first, size = parts[0][0], len(parts[0][0].vectors)
    left = _checked(queries, first, (*ks, *found_at))
    sizes = [size if part.rows is None else len(part.rows) for _, part in parts]
    for (_, part), of_part in zip(parts, sizes, strict=True):
        _check_rows(part, len(left), of_part)
    use_fast_gemm()
    asked = [Asked(part.relevant, part.own, part.mates, sorted({*FIRST, *ks}), found_at) for _, part in parts]
    found = [Found(of_part) for of_part in sizes]
    padded = max(each.most for _, part in parts for each in (part.relevant, part.mates) if each is not None)
    beside = max(sizes) if len({id(part) for _, part in parts}) > 1 else 0
    for rows in _blocks(len(left), size + beside + PADDED * padded):
        cosines = first.cosines(left[rows])
        for place, ((index, part), each, wanted) in enumerate(zip(parts, found, asked, strict=True), start=1):
            each.add(index.less_penalty(cosines, keep=place < len(parts), rows=part.rows), wanted, rows)
        del cosines  # two blocks are never held
    if size > MANY:
        give_back()
    return [_searched(each, wanted, ks) for each, wanted in zip(found, asked, strict=True)]


def _searched(found: Found, asked: Asked, ks: Sequence[int]) -> Search:
    hits, reciprocal, rank, ndcg, nearest, top1, margin, mate, recall = found.joined()
    by_k = dict(zip(asked.cut_offs, hits.T, strict=True))
    ranks = np.column_stack([np.zeros(len(rank)), *(by_k[k] for k in FIRST)])
    first_ten = np.diff(ranks, axis=1) @ (1 / np.array(FIRST))
    return Search(
        {k: by_k[k] for k in sorted({1, *ks})},
        dict(zip(asked.found_at, recall.T, strict=True)),
        reciprocal,
        np.where(np.isnan(reciprocal), np.nan, first_ten),
        rank,
        ndcg,
        mate,
        nearest,
        top1,
        margin,
        found.returned,
        found.tied,
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


def _check_rows(part: Part, queries: int, index: int) -> None:
    own = part.own
    for name, each in (("relevant rows", part.relevant), ("mates", part.mates)):
        if each is not None and len(each) != queries:
            raise ValueError(f"{queries} queries need {name} for each, found them for {len(each)}")
        if each is not None and len(each.rows) and not 0 <= each.rows.min() <= each.rows.max() < index:
            raise ValueError(f"{name} {each.rows.min()} to {each.rows.max()} are not in an index of {index} rows")
    if own is not None and len(own) != queries:
        raise ValueError(f"{queries} queries need an own row each, -1 for none, found {len(own)}")
    if own is not None and own.max() >= index:
        raise ValueError(f"own row {own.max()} is not in an index of {index} rows")


def _blocks(queries: int, width: int) -> Iterator[slice]:
    size = max(1, (BLOCK if chosen() == CPU else ON_GPU) // width)
    for start, stop in itertools.pairwise([*range(0, queries, size), queries]):
        yield slice(start, stop)

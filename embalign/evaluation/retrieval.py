"""Leave-one-out retrieval: every item queries all others, and items of its label are relevant.

Nothing is sorted: the rank of the first relevant item is 1 plus the number of irrelevant items above it. Similarities
are computed block by block; memory does not grow with N squared.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.gemm import use_fast_gemm

BLOCK = 768

Labels = Sequence[str] | NDArray[np.str_]


@dataclass(frozen=True)
class Retrieval:
    """Recall@K by K and MRR, both in [0, 1], and the rank of each query that has a relevant item (others NaN)."""

    recall: dict[int, float]
    mrr: float
    ranks: NDArray[np.float64]


def leave_one_out(embeddings: NDArray[np.floating], labels: Labels, ks: Sequence[int] = (1, 5, 10)) -> Retrieval:
    """Return Recall@K, for cut-offs `ks` of at least 1, and MRR of leave-one-out retrieval by cosine similarity.

    The embeddings (n, d) may have any length; float64 is kept, everything else is computed in float32. Items whose
    label no other of the n has are in the pool but ask no query.

    Recall@K is the share of queries with a relevant item in the first K, as metric learning uses the word (Success@K
    in TREC terms); MRR is not truncated. Irrelevant items tied with the best relevant one, within 8 machine epsilons,
    count half: the mid-rank. Raises ValueError for unequal counts, for values that are not finite, and if no label
    occurs twice.
    """
    vectors = np.asarray(embeddings)
    if vectors.ndim != 2 or len(vectors) != len(labels):
        raise ValueError(f"embeddings of shape {vectors.shape} need one label a row, found {len(labels)} labels")
    if not np.isfinite(vectors).all():
        raise ValueError("embeddings hold NaN or infinite values")
    if any(k < 1 for k in ks):
        raise ValueError(f"cut-offs must be at least 1, found {list(ks)}")
    ranks = first_relevant_ranks(vectors, np.unique(np.asarray(labels), return_inverse=True)[1])
    asked = ranks[~np.isnan(ranks)]
    if len(asked) == 0:
        raise ValueError("no label occurs twice, so no query has a relevant item")
    return Retrieval({k: float((asked <= k).mean()) for k in ks}, float((1 / asked).mean()), ranks)


def first_relevant_ranks(vectors: NDArray[np.floating], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each query's mid-rank of its first relevant item, in the order of `vectors`; NaN without a relevant item.

    Sorted by group, relevant pairs lie in blocks on the diagonal; each pair of blocks is multiplied once.
    """
    use_fast_gemm()
    order = np.argsort(groups, kind="stable")
    dtype = torch.float64 if vectors.dtype == np.float64 else torch.float32
    x = torch.from_numpy(np.ascontiguousarray(vectors[order])).to(dtype)
    x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(torch.finfo(dtype).tiny)
    group = torch.from_numpy(groups[order])
    tie = 8 * torch.finfo(dtype).eps

    best = _best_relevant(x, group)
    # An item above the upper bound counts 1; one that is only above the lower bound is tied and counts one half.
    upper, lower = best + tie, best - tie
    halves = torch.zeros(len(x), dtype=torch.float64)
    blocks = list(_blocks(group))
    for i, rows in enumerate(blocks):
        for columns in blocks[i:]:
            similarity = x[rows] @ x[columns].T
            if rows == columns:
                similarity.masked_fill_(group[rows, None] == group[None, columns], -torch.inf)
            halves[rows] += _count(similarity, upper[rows, None], lower[rows, None], dim=1)
            if rows != columns:
                halves[columns] += _count(similarity, upper[columns], lower[columns], dim=0)
    ranks = np.full(len(x), np.nan)
    ranks[order] = torch.where(torch.isfinite(best), 1 + halves / 2, torch.nan).numpy()
    return ranks


def _count(similarity: Tensor, upper: Tensor, lower: Tensor, dim: int) -> Tensor:
    """Number of similarities above `upper` plus number of those not below `lower`, along a dimension."""
    # Ones and zeros in the similarities' own format sum six times as fast as booleans do.
    ones = torch.empty_like(similarity)
    above = torch.gt(similarity, upper, out=ones).sum(dim)
    return above + torch.ge(similarity, lower, out=ones).sum(dim)


def _best_relevant(x: Tensor, group: Tensor) -> Tensor:
    """Similarity of each item to its most similar other group member; -inf for a group of one."""
    best = torch.full((len(x),), -torch.inf, dtype=x.dtype)
    starts = torch.searchsorted(group, torch.unique(group))
    for start, stop in zip(starts.tolist(), [*starts.tolist()[1:], len(x)], strict=True):
        if stop - start > 1:
            members = x[start:stop]
            best[start:stop] = (members @ members.T).fill_diagonal_(-torch.inf).amax(dim=1)
    return best


def _blocks(group: Tensor) -> list[slice]:
    """Slices of about BLOCK items that do not cut a group in two, so that relevant pairs lie inside one block."""
    ends = [*(torch.nonzero(group[1:] != group[:-1]).ravel() + 1).tolist(), len(group)]
    cuts = [0]
    for end, following in itertools.pairwise(ends):
        if following - cuts[-1] > BLOCK:
            cuts.append(end)
    return [slice(start, stop) for start, stop in itertools.pairwise([*cuts, len(group)])]

"""Exact search as a service does it: a block at a time, by cosine or by CSLS, with NumPy alone.

CSLS (Conneau et al. 2018) takes from each similarity half of r(y), the mean cosine of a row of the index to the ten
nearest of a sample of queries: what makes the row a hub. Nothing grows with queries times index, and the index may be a
memory-mapped file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.errors import MapError
from embalign.evaluation.ties import TIED
from embalign.maps.transforms import Transform

BLOCK = 2**22  # similarities, or numbers of the index, that are held at once
TIE = TIED * float(np.finfo(np.float32).eps)
NEIGHBOURS = 10  # sampled queries that a row's mean cosine is over
MOST_SAMPLED = 2000
WITHOUT_DIRECTION = np.float32(1)  # penalty of a row of length 0: no half of a mean cosine is as large

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PreparedIndex:
    """An index (N, d) as one map searches it in one deployment, which `of` names; its rows have any length.

    `penalty` (N,) is taken from each similarity to a row; None for a plain search.
    """

    vectors: NDArray[np.floating]
    penalty: Floats | None
    of: tuple[str, str]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.vectors)

    def for_inner_product(self) -> Floats:
        """Return rows for a database that searches by the largest inner product.

        They are (N, d) of length 1, or, with a penalty, (N, d + 1): minus the penalty is the last dimension, which
        `DeployedMap.for_inner_product` makes 1 for queries. Ranks and scores are those of `accept`.
        """
        found = np.empty((len(self), self.vectors.shape[1] + (self.penalty is not None)), np.float32)
        for rows in blocks(len(self), found.shape[1]):
            found[rows, : self.vectors.shape[1]] = unit(self.vectors[rows], rows.start, of_index=True)
        if self.penalty is not None:
            found[:, -1] = -self.penalty
        return found


def through(transform: Transform, vectors: NDArray[np.floating], *, of_index: bool = False) -> Floats:
    """Return what a transform makes of vectors (n, d_in) of any length, as unit-length vectors (n, d_out).

    A row of the index of length 0 stays so. Raises MapError for values that are not finite and other vectors of length
    0, before or after.
    """
    if transform.kind == "unchanged":
        return unit(vectors, 0, of_index=of_index)
    parts = []
    for rows in blocks(len(vectors), max(max(array.shape) for array in transform.arrays().values())):
        given = unit(vectors[rows], rows.start, of_index=of_index)
        with np.errstate(all="ignore"):  # of a map with values near the largest float32
            made = transform(given)
        if of_index:
            made[~given.any(axis=1)] = 0
        parts.append(unit(made, rows.start, of_index=of_index))
    return np.concatenate(parts) if parts else transform(np.empty((0, vectors.shape[1]), np.float32))


def hub_penalty(index: NDArray[np.floating], sample: Floats, own: Rows | None) -> Floats:
    """Return half of r(y) for each row (N,) of an index, given a sample (S, d) of unit-length queries.

    `own` (S,) names the row that is the sampled query itself, -1 for none: it says nothing of that row.
    """
    found = np.empty(len(index), np.float32)
    known = own[own >= 0] if own is not None else np.empty(0, np.int64)
    count = min(NEIGHBOURS, len(sample) - int(np.bincount(known).max(initial=0)))
    for rows in blocks(len(index), max(index.shape[1], len(sample))):
        part = unit(index[rows], rows.start, of_index=True)
        similarity = part @ sample.T
        if own is not None:
            here = np.flatnonzero((own >= rows.start) & (own < rows.stop))
            similarity[own[here] - rows.start, here] = -np.inf
        if count < 1:
            found[rows] = 0
        else:
            found[rows] = np.partition(similarity, -count, axis=1)[:, -count:].mean(axis=1) / 2
        found[rows][~part.any(axis=1)] = WITHOUT_DIRECTION
    return found


def two_nearest(
    queries: Floats, index: NDArray[np.floating], penalty: Floats | None, own: Rows | None
) -> tuple[Rows, Floats, Floats]:
    """Return the nearest row, its similarity and that of the second nearest, for unit-length queries."""
    nearest = np.zeros(len(queries), np.int64)
    first, second = (np.full(len(queries), -np.inf, np.float32) for _ in range(2))
    for rows in blocks(len(index), index.shape[1]):
        part = unit(index[rows], rows.start, of_index=True)
        for asked in blocks(len(queries), len(part)):
            similarity = queries[asked] @ part.T
            if penalty is not None:
                similarity -= penalty[rows]
            if own is not None:
                here = np.flatnonzero((own[asked] >= rows.start) & (own[asked] < rows.stop))
                similarity[here, own[asked][here] - rows.start] = -np.inf
            best = similarity.argmax(axis=1)
            each = np.arange(len(best))
            top = similarity[each, best]
            similarity[each, best] = -np.inf
            better = top > first[asked]
            second[asked] = np.maximum(np.minimum(top, first[asked]), np.maximum(second[asked], similarity.max(axis=1)))
            nearest[asked] = np.where(better, best + rows.start, nearest[asked])
            first[asked] = np.maximum(top, first[asked])
    return nearest, first, second


def unit(vectors: NDArray[np.floating], start: int, *, of_index: bool = False) -> Floats:
    """Return vectors of length 1; a row of the index may be of length 0, which is similar to nothing.

    `start` is the number of the first one. Raises MapError for what has no direction.
    """
    with np.errstate(over="ignore"):  # what is too long has an infinite length
        wide = np.asarray(vectors, np.float32)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    what = "index vector" if of_index else "vector"
    if len(wrong := np.flatnonzero(~np.isfinite(lengths))):
        raise MapError(f"{what} {start + wrong[0]} holds NaN or infinite values, or is too long for float32; fix it")
    if not of_index and len(wrong := np.flatnonzero(lengths == 0)):
        raise MapError(f"{what} {start + wrong[0]} has length 0, so it has no direction; leave it out")
    return np.asarray(wide / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of rows of a width, of at most `BLOCK` numbers each."""
    size = max(1, BLOCK // max(1, width))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))

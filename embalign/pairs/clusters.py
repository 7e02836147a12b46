"""Groups of texts without labels: clusters of the teacher's vectors, which stand for topics.

They are held out as a whole and standard errors are over them, as over label groups. There are enough of them for the
held-out fifth to have well over eight. On the shipped pairs a map loses about as much on held-out clusters of five as
on held-out labels; on clusters of twenty it loses more, since all that is near a query is held out with it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embalign.lazy import lazy
from embalign.pairs import Vectors

KMeans = lazy("sklearn.cluster").KMeans
threadpool_limits = lazy("threadpoolctl").threadpool_limits
FEWEST, MOST, SIZE = 80, 400, 5  # clusters, and items in one where neither bound holds
SAMPLE, ROUNDS, BLOCK = 5000, 20, 4096  # vectors that centres are fitted on, and how often; rows that are named at once
Names = NDArray[np.str_]


def count(size: int) -> int:
    """Return the number of clusters of so many texts: one for five, 80 to 400, and no more than one for two.

    >>> [count(size) for size in (20, 300, 1000, 100_000)]
    [10, 80, 200, 400]
    """
    return max(1, min(MOST, max(FEWEST, size // SIZE), size // 2))


def cluster_names(vectors: Vectors) -> Names:
    """Return the cluster of each of the teacher's unit vectors (n, d): "cluster 000", "cluster 001", ...

    They are those of k-means (Lloyd 1982) from a random start with a fixed seed, fitted on at most 5,000 of the vectors
    at even steps. It computes in float64 on one thread: rounding, which differs between machines, moves no item.
    """
    rows = _even(len(vectors), SAMPLE)
    fitted = KMeans(count(len(vectors)), init="random", n_init=1, max_iter=ROUNDS, random_state=0)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Number of distinct clusters")  # of equal vectors: some stay empty
        fitted.fit(vectors[rows].astype(np.float64))
        return _named(fitted, vectors)


def names_of_documents(queries: Vectors, groups: Names, documents: Vectors) -> Names:
    """Return the group that each document (N, d) is held out with, given the groups of the queries (Q, d).

    It is that of the query to which it is the nearest document by the teacher, or else of its own nearest query; of
    more than 5,000 queries, as many at even steps are looked at. A query's further answers may be on the other side:
    they are in the index whatever the split, and maps are fitted on queries unless a table says otherwise.
    """
    asked = _even(len(queries), SAMPLE)
    first, nearest = np.zeros(len(asked), np.int64), np.zeros(len(documents), np.int64)
    highest = np.full(len(asked), -np.inf)
    for start in range(0, len(documents), BLOCK):
        similarity = queries[asked] @ documents[start : start + BLOCK].T
        nearest[start : start + BLOCK] = similarity.argmax(axis=0)
        best = similarity.max(axis=1)
        first = np.where(best > highest, start + similarity.argmax(axis=1), first)
        highest = np.maximum(best, highest)
    own = groups[asked]
    found = own[nearest]
    order = np.argsort(highest, kind="stable")  # of several queries the nearest, which comes last, decides
    found[first[order]] = own[order]
    return found


def nearest_rows(queries: Vectors, index: Vectors) -> NDArray[np.int64]:
    """Return the row of the index (N, d) that is most similar to each query (Q, d), both of unit length."""
    step = max(1, BLOCK * BLOCK // len(index))
    blocks = [(queries[at : at + step] @ index.T).argmax(axis=1) for at in range(0, len(queries), step)]
    return np.concatenate(blocks).astype(np.int64)


def _named(fitted: Any, vectors: Vectors) -> Names:
    blocks = range(0, len(vectors), BLOCK)
    numbers = [fitted.predict(vectors[start : start + BLOCK].astype(np.float64)) for start in blocks]
    return np.array([f"cluster {number:03d}" for number in np.concatenate(numbers).tolist()])


def _even(size: int, most: int) -> NDArray[np.int64]:
    """At most so many rows of `size`, at even steps."""
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(np.int64))

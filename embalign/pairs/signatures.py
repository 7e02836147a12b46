"""Signatures of texts: two that are near-duplicates have one in common, and few others do.

They rule out most of many texts before any two are compared. A signature is 32 bits of a hash, so a few texts that have
none in common are left too.
"""

import functools
import itertools
from array import array
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

BUCKETS = 2**20
MOST_BY_SIZE = ((24, 3), (40, 2))  # elements of the larger set, and how many both then show; one of larger sets
_LEFT = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]
Signatures = tuple[NDArray[np.uint32], Rows]  # and the rows that have them


def hashed(sets: Sequence[set[str]]) -> tuple[Hashes, Rows]:
    """Return a hash of each element, one set after the other, and the sizes of the sets (n,)."""
    hashes = array("q")
    for each in sets:
        hashes.extend(map(hash, each))
    return np.array(hashes).view(np.uint64), np.fromiter(map(len, sets), np.int64, len(sets))


def frequencies(hashes: Hashes) -> NDArray[np.int64]:
    """Return how often elements are there, by their hashes: what tells rare ones."""
    return np.bincount((hashes % BUCKETS).astype(np.int64), minlength=BUCKETS)


def of_sets(hashes: Hashes, sizes: Rows, least: Fraction, counts: NDArray[np.int64]) -> Signatures:
    """Return signatures of which two sets with a Jaccard index of at least `least` have one in common.

    Two sets of at most M elements share at least a = ceil(least * M). So with all elements in one order, here that of
    rarity by `counts`, the first n - a + k of a set of n share k with those of the other (Wang, Li and Feng, 2012, Can
    we beat the prefix filtering?). A signature is that of k elements; an empty set has none.
    """
    rare = np.minimum(counts[(hashes % BUCKETS).astype(np.int64)], 2**16 - 1).astype(np.uint64)
    keys = (rare << np.uint64(48)) | (hashes >> np.uint64(16))
    starts = np.cumsum(sizes) - sizes
    found, rows = [np.empty(0, np.uint32)], [np.empty(0, np.int64)]
    for size in np.unique(sizes[sizes > 0]).tolist():
        of_size = np.flatnonzero(sizes == size)
        ordered = np.sort(keys[starts[of_size, None] + np.arange(size)], axis=1)
        for shown in _shown(size, least):
            mixed = _mixed(ordered[:, : size - _share(size, least) + shown])
            places = _combinations(mixed.shape[1], shown)
            sums = sum((mixed[:, place] for place in places[1:]), mixed[:, places[0]])
            found.append(_folded(sums, shown))
            rows.append(np.repeat(of_size, sums.shape[1]))
    return np.concatenate(found), np.concatenate(rows)


def of_halves(texts: Sequence[str], rows: Rows) -> Signatures:
    """Return signatures of which two texts that one edit makes equal have one in common; text i is row `rows[i]`.

    An edit leaves one half as it is: the first or the last characters of the shorter of two texts.
    """
    hashes, shorters = array("q"), array("q")
    for text in texts:
        for shorter in (len(text) - 1, len(text)):
            half = shorter // 2
            hashes.extend((hash(text[:half]), ~hash(text[half - shorter :])))
            shorters.append(shorter)
    found = _mixed(np.array(hashes).view(np.uint64)) + np.repeat(_mixed(np.array(shorters).view(np.uint64)), 2)
    return _folded(found, 0), np.repeat(rows, 4)


def _shown(size: int, least: Fraction) -> set[int]:
    """How many elements a set shows together, by the size of the larger of it and of any set that may be similar."""
    largest = size * least.denominator // least.numerator
    return {_shown_by_larger(larger, least) for larger in range(size, largest + 1)}


def _shown_by_larger(size: int, least: Fraction) -> int:
    shown = next((shown for most, shown in MOST_BY_SIZE if size <= most), 1)
    return min(shown, _share(size, least))


def _share(size: int, least: Fraction) -> int:
    """How many elements two sets share at least, the larger of which is of this size."""
    return -(-least.numerator * size // least.denominator)


@functools.lru_cache(maxsize=64)
def _combinations(count: int, shown: int) -> NDArray[np.int64]:
    return np.array(list(itertools.combinations(range(count), shown))).T


def _mixed(numbers: Hashes) -> Hashes:
    """Numbers whose sums are as good as random."""
    mixed = (numbers ^ (numbers >> np.uint64(29))) * _LEFT
    mixed ^= mixed >> np.uint64(32)
    return mixed * _LEFT


def _folded(sums: Hashes, kind: int) -> NDArray[np.uint32]:
    return (_mixed(sums.ravel() + np.uint64(kind)) >> np.uint64(32)).astype(np.uint32)

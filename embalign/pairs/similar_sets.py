"""Which sets have a similar one among others: an exact join by prefixes, in blocks of candidates."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from embalign.lazy import lazy

csr_array = lazy("scipy.sparse").csr_array
Sets = Any  # a scipy CSR array: one set a row, its elements are the columns that hold 1
Rows = NDArray[np.int64]
BLOCK = 2**20
SIZE_CLASS = Fraction(21, 20)
# Where the prefixes rule out fewer than 7 of 8 pairs, the bitmaps of all pairs are compared sooner than found.
FEW = 8


def similar_sets(queries: Sets, pool: Sets, least: Fraction, block: int = BLOCK) -> NDArray[np.bool_]:
    """Return for each row of `queries` (sparse, binary, no row empty) whether a row of `pool` is similar to it.

    Two sets are similar if their Jaccard index is at least `least`, above 0. The result is exact. Memory is a few times
    the input and `block` candidates.

    Two sets of sizes n and m whose index is at least t share at least a = ceil(t / (1 + t) (n + m)) elements. So with
    all elements in one order, the first n - a + 1 of the one set and the first m - a + 1 of the other share one. In the
    order of rarity this holds for few pairs (Chaudhuri, Ganti and Kaushik, 2006, A primitive operator for similarity
    joins in data cleaning; Bayardo, Ma and Srikant, 2007, Scaling up all pairs similarity search). Of these, bitmaps
    rule out most that are not similar (Sandes, Teodoro and Melo, 2020, Bitmap filter: speeding up exact set similarity
    joins with bitwise operations). The others are compared in full.
    """
    left, right = _by_rarity(queries, pool)
    names, known = _names(left), {name: row for row, name in enumerate(_names(right))}
    new = {name: row for row, name in enumerate(names) if name not in known}
    near = set(known)
    if new and known:
        found = _join(left[list(new.values())], right[list(known.values())], least, block)
        near.update(itertools.compress(new, found.tolist()))
    return np.array([name in near for name in names], dtype=bool)


def _by_rarity(queries: Sets, pool: Sets) -> tuple[Sets, Sets]:
    """Both with their columns in the order of how many pairs of rows share them."""
    shares = [np.bincount(sets.indices, minlength=sets.shape[1]) for sets in (queries, pool)]
    order = np.argsort(shares[0] * shares[1], kind="stable")
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order))
    return _ranked(queries, rank), _ranked(pool, rank)


def _ranked(sets: Sets, rank: NDArray[np.int32]) -> Sets:
    ranked = csr_array((np.ones(sets.nnz, dtype=np.int32), rank[sets.indices], sets.indptr), shape=sets.shape)
    ranked.sort_indices()
    return ranked


def _names(sets: Sets) -> list[bytes]:
    return [sets.indices[start:end].tobytes() for start, end in itertools.pairwise(sets.indptr.tolist())]


def _join(queries: Sets, pool: Sets, least: Fraction, block: int) -> NDArray[np.bool_]:
    found = np.zeros(queries.shape[0], dtype=bool)
    classes = list(_size_classes(pool))
    for rows, smallest, largest in _size_classes(queries):
        for others, other_smallest, other_largest in classes:
            if least * smallest <= other_largest and least * other_smallest <= largest:
                left = rows[~found[rows]]
                if left.size:
                    found[left] = _find(queries[left], pool[others], least, block)
    return found


def _size_classes(sets: Sets) -> Iterator[tuple[Rows, int, int]]:
    """Rows of about one size, with the smallest and the largest size: few classes, so few pairs of them."""
    sizes = np.diff(sets.indptr)
    order = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(order):
        smallest = int(sizes[order[start]])
        stop = int(np.searchsorted(sizes[order], int(smallest * SIZE_CLASS), side="right"))
        yield order[start:stop], smallest, int(sizes[order[stop - 1]])
        start = stop


@dataclass(frozen=True)
class _Side:
    """Sets of about one size, and what tells without their elements that two are not similar."""

    sets: Sets
    sizes: Rows
    heads: Sets
    bitmaps: NDArray[np.uint64]  # (words, sets)

    def take(self, rows: Rows | slice) -> Self:
        return type(self)(self.sets[rows], self.sizes[rows], self.heads[rows], self.bitmaps[:, rows])


def _side(sets: Sets, others: Sets, least: Fraction, bits: int) -> _Side:
    sizes = np.diff(sets.indptr).astype(np.int64)
    return _Side(sets, sizes, _heads(sets, sizes, np.diff(others.indptr).min(), least), _bitmaps(sets, sizes, bits))


def _heads(sets: Sets, sizes: Rows, other_size: int, least: Fraction) -> Sets:
    """The first elements of each set, of which a similar set of at least that size has one."""
    numerator, denominator = least.numerator, least.denominator
    of_both, of_own = numerator * (sizes + other_size), numerator * sizes
    needed = np.maximum(-(-of_both // (numerator + denominator)), -(-of_own // denominator))
    lengths = np.maximum(sizes - needed + 1, 0)
    places = np.arange(sets.nnz) - np.repeat(sets.indptr[:-1], sizes)
    indices = sets.indices[places < np.repeat(lengths, sizes)]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return csr_array((np.ones(len(indices), dtype=np.int32), indices, ends), shape=sets.shape)


def _bitmaps(sets: Sets, sizes: Rows, bits: int) -> NDArray[np.uint64]:
    marks = np.zeros((len(sizes), bits), dtype=bool)
    marks[np.repeat(np.arange(len(sizes)), sizes), sets.indices % bits] = True
    return np.ascontiguousarray(np.packbits(marks, axis=1).view(np.uint64).T)


def _find(queries: Sets, pool: Sets, least: Fraction, block: int) -> NDArray[np.bool_]:
    """Which queries have a similar set in the pool, both of about one size each."""
    found = np.zeros(queries.shape[0], dtype=bool)
    bits = 64 * (1 + int(np.diff(queries.indptr).max()) // 16)
    left, right = _side(queries, pool, least, bits), _side(pool, queries, least, bits)
    start = 0
    while start < pool.shape[0] and not found.all():
        # A part of the pool against all that is not found yet: of near-duplicates by the thousand few are compared.
        rest = np.flatnonzero(~found)
        active = left.take(rest)
        shared = np.cumsum(right.heads[start:] @ np.bincount(active.heads.indices, minlength=pool.shape[1]))
        stop = start + max(1, int(np.searchsorted(shared, block, side="right")))
        by_heads = bool(FEW * shared[stop - start - 1] < rest.size * (stop - start))
        if not by_heads:
            stop = min(stop, start + max(1, block // rest.size))
        part = right.take(slice(start, stop))
        rows, others = _candidates(active, part, least, by_heads=by_heads)
        found[rest] = _compare(active, part, (rows, others), least, block)
        start = stop
    return found


def _candidates(left: _Side, right: _Side, least: Fraction, *, by_heads: bool) -> tuple[Rows, Rows]:
    """The pairs that may be similar. A bit that only one bitmap has stands for an element that only one set has."""
    both = (left.heads @ right.heads.T).nonzero() if by_heads else np.ogrid[: len(left.sizes), : len(right.sizes)]
    rows, others = both
    apart = np.zeros(np.broadcast_shapes(rows.shape, others.shape), dtype=np.int32)
    for own, other in zip(left.bitmaps, right.bitmaps, strict=True):
        apart += np.bitwise_count(own[rows] ^ other[others])
    numerator, denominator = least.numerator, least.denominator
    may_be = (numerator + denominator) * apart <= (denominator - numerator) * (left.sizes[rows] + right.sizes[others])
    rows, others = np.broadcast_arrays(rows, others)
    return rows[may_be], others[may_be]


def _compare(left: _Side, right: _Side, pairs: tuple[Rows, Rows], least: Fraction, block: int) -> NDArray[np.bool_]:
    """Which of `left` are similar to their partner in one of the pairs; those found are not compared again."""
    found = np.zeros(len(left.sizes), dtype=bool)
    step = max(1, block // int(left.sizes.max() + right.sizes.max()))
    rows, others = pairs
    while rows.size:
        first, second = rows[:step], others[:step]
        shared = np.diff(left.sets[first].multiply(right.sets[second]).tocsr().indptr)
        either = left.sizes[first] + right.sizes[second] - shared
        found[first[least.denominator * shared >= least.numerator * either]] = True
        left_over = step + np.flatnonzero(~found[rows[step:]])
        rows, others = rows[left_over], others[left_over]
    return found

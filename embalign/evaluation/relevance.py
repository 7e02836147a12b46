"""Which rows of an index are relevant to which query: by shared label, by judgements, or as a teacher ranks them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
BLOCK = 2**16  # labels that are compared at once
Labels = Sequence[str] | NDArray[np.str_] | Rows


@dataclass(frozen=True)
class Relevance:
    """The relevant index rows of query q, `rows[starts[q]:stops[q]]`, and their gains in the same places.

    Gains are positive; None stands for 1 each. Queries that share their relevant rows, as those of one label do, share
    the places: memory grows with queries and index, not with their product. `left_out` are rows that are no answers to
    a query, beside its own row: its copies, where relevant is what a teacher finds.
    """

    rows: Rows
    starts: Rows
    stops: Rows
    gains: NDArray[np.float64] | None = None
    left_out: Self | None = None

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.starts)

    @property
    def most(self) -> int:
        """Number of relevant rows of the query that has the most."""
        return int((self.stops - self.starts).max(initial=0))

    @classmethod
    def by_label(cls, queries: Labels, index: Labels) -> Self:
        """Return the relevance of index rows that have the query's label; both are labels in the order of the rows.

        Raises ValueError if labels of queries and index are of different types, numbers and strings say.

        >>> found = Relevance.by_label(["a", "c"], ["b", "a", "a"])
        >>> [found.rows[start:stop].tolist() for start, stop in zip(found.starts, found.stops)]
        [[1, 2], []]
        """
        asked, held = np.asarray(queries), np.asarray(index)
        if asked.dtype.kind != held.dtype.kind and len(asked) and len(held):
            raise ValueError(f"labels of queries and index must be of one type, found {asked[0]!r} and {held[0]!r}")
        rows = _rows_of(held, np.unique(asked))
        found = held[rows]
        order = np.argsort(found, kind="stable")
        return cls(
            rows[order],
            np.searchsorted(found, asked, side="left", sorter=order),
            np.searchsorted(found, asked, side="right", sorter=order),
        )

    @classmethod
    def of_judgements(cls, queries: Rows, rows: Rows, gains: NDArray[np.float64] | None = None, *, count: int) -> Self:
        """Return the relevance of judged pairs (P,), a query's row and an index row each, for `count` queries.

        Pairs without a positive gain are left out: not relevant, as one that was never judged. Raises ValueError for
        unequal counts, queries that are not among `count`, gains that are not finite and pairs that are judged twice.
        """
        queries, rows = np.asarray(queries, np.int64), np.asarray(rows, np.int64)
        gains = None if gains is None else np.asarray(gains, np.float64)
        if len({len(queries), len(rows), len(rows if gains is None else gains)}) > 1:
            raise ValueError(
                f"a judgement has a query, a row and a gain, found {len(queries)} queries, {len(rows)} rows"
            )
        if len(queries) and not 0 <= queries.min() <= queries.max() < count:
            raise ValueError(f"judged queries must be in 0, ..., {count - 1}, found {queries.min()} to {queries.max()}")
        if gains is not None:
            if not np.isfinite(gains).all():
                raise ValueError("gains hold NaN or infinite values")
            kept = gains > 0
            queries, rows, gains = queries[kept], rows[kept], gains[kept]
        order = np.lexsort((rows, queries))
        queries, rows = queries[order], rows[order]
        twice = np.flatnonzero((np.diff(queries) == 0) & (np.diff(rows) == 0))
        if len(twice):
            raise ValueError(f"query {queries[twice[0]]} and row {rows[twice[0]]} are judged twice")
        edges = np.searchsorted(queries, np.arange(count + 1))
        return cls(rows, edges[:-1], edges[1:], None if gains is None else gains[order])

    def within(self, kept: Rows, size: int) -> Self:
        """Return the relevance in an index that holds only the rows `kept` of one of `size` rows, in that order."""
        place = np.full(size, -1)
        place[kept] = np.arange(len(kept))
        rows = place[self.rows]
        before = np.append(0, np.cumsum(rows >= 0))
        gains = None if self.gains is None else self.gains[rows >= 0]
        left_out = None if self.left_out is None else self.left_out.within(kept, size)
        return type(self)(rows[rows >= 0], before[self.starts], before[self.stops], gains, left_out)

    def asked_by(self, queries: Rows) -> Self:
        """Return the relevance for some of the queries, given by their places, in that order."""
        left_out = None if self.left_out is None else self.left_out.asked_by(queries)
        return dataclasses.replace(self, starts=self.starts[queries], stops=self.stops[queries], left_out=left_out)

    def padded(self, queries: slice) -> tuple[Rows, NDArray[np.bool_], NDArray[np.float64]]:
        """Return rows, whether there is one, and gains of some queries: (queries, most relevant rows of one) each."""
        starts, stops = self.starts[queries], self.stops[queries]
        width = int((stops - starts).max(initial=0))
        place = starts[:, None] + np.arange(width)
        there = place < stops[:, None]
        place = np.where(there, place, 0)
        rows = self.rows[place] if len(self.rows) else np.zeros(place.shape, np.int64)
        gains = np.ones(place.shape) if self.gains is None or not len(self.gains) else self.gains[place]
        return rows, there, np.where(there, gains, 0.0)


class Part(NamedTuple):
    """What queries look for in some rows of an index, by their place among these; in all where `rows` is None.

    `own` and `mates` as in :func:`embalign.evaluation.retrieval.search`.
    """

    rows: Rows | None
    relevant: Relevance
    own: Rows | None = None
    mates: Relevance | None = None


def _rows_of(held: NDArray[Any], labels: NDArray[Any]) -> Rows:
    """The rows (n,) whose label is one of `labels`, which are sorted; few of many where few queries ask."""
    parts = [np.empty(0, np.int64)]
    for start in range(0, len(held) if len(labels) else 0, BLOCK):
        block = held[start : start + BLOCK]
        place = np.minimum(np.searchsorted(labels, block), len(labels) - 1)
        parts.append(start + np.flatnonzero(labels[place] == block))
    return np.concatenate(parts)

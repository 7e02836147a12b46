"""Do the rows of draft and teacher belong to the same texts? Mantel's test of their similarities (Mantel 1967).

If row i of both is the same text, texts that are alike for the draft are to some degree alike for the teacher. That is
looked for between rows that lie far apart in the corpus: neighbours in a corpus sorted by topic are alike whichever
way its rows are paired. Similarities are freed of the means of row and column, so that hubs do not count, and chance is
measured by pairing the same rows at random. Needs no labels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from embalign.pairs import Vectors

if TYPE_CHECKING:
    from embalign.pairs.pair import Pair


class Sampled(Protocol):
    """Vectors (n, d) that are asked for by rows alone: an array, or a file too large for one."""

    def __len__(self) -> int:
        """Return n."""
        ...

    def __getitem__(self, rows: NDArray[np.int64], /) -> Vectors:
        """Return the vectors of these rows."""
        ...


RUNS, LENGTH = 40, 25  # of consecutive rows that are looked at, evenly spaced
AGAINST = 400  # rows that they are compared with
PARTS, LEAST = 8, 100  # of the corpus, in its order: rows slip from some line on; fewest rows of a part
SHIFTS = tuple(shift for shift in range(-8, 9) if shift)
PAIRINGS = 50  # at random
SLIPPED = 5.0  # standard errors by which a shifted pairing agrees better

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def measure_pair(pair: Pair) -> dict[str, float]:
    """Return what :func:`measure` says of a pair's documents, or of its queries where it says worse of these."""
    found = [measure(pair.draft, pair.teacher)]
    if pair.own_queries:
        found.append(measure(pair.query_draft, pair.query_teacher))
    return min(found, key=lambda facts: (not facts["shift"], min(facts["z"], facts["part_z"])))


def measure(draft: Sampled, teacher: Sampled) -> dict[str, float]:
    """Return how well two sides (n, d_draft) and (n, d_teacher) of a pair agree on which rows are alike.

    At most a thousand rows are looked at, and those up to eight rows from them.

    `agreement` is the mean correlation of a row's similarities, in [-1, 1]; `z` is its distance to that of rows paired
    at random, in standard deviations of such pairings, at most 1000, and `part_z` that of the worst eighth of the
    corpus. `shift` is by how many rows, up to eight, a part of one side agrees better when it is moved, 0 for none.
    `items` is n.
    """
    size = len(draft)
    if size < 4:
        return {"items": size, "agreement": 1.0, "z": 0.0, "part_z": 0.0, "shift": 0}
    step = max(1, size // RUNS)
    rows = (step * np.arange(size // step)[:, None] + np.arange(min(step, LENGTH))).ravel()
    rows = rows[rows < size]
    against = rows[np.unique(np.linspace(0, len(rows) - 1, min(AGAINST, len(rows))).round().astype(int))]
    far = np.abs(rows[:, None] - against[None, :]) > min(2 * LENGTH, size // 10)

    by_draft, by_teacher = (_freed(side[rows] @ side[against].T, far) for side in (draft, teacher))
    own = (by_draft * by_teacher).sum(axis=1)
    rng = np.random.default_rng(0)
    chance = np.array([(by_draft[rng.permutation(len(rows))] * by_teacher).sum(axis=1) for _ in range(PAIRINGS)])
    parts = list(_parts(len(rows)))
    moved = {
        shift: (_freed(draft[(rows + shift) % size] @ draft[against].T, far) * by_teacher).sum(axis=1) - own
        for shift in SHIFTS
        if abs(shift) < size // 4
    }
    return {
        "items": size,
        "agreement": float(own.mean()),
        "z": _distance(own, chance, slice(None)),
        "part_z": min(_distance(own, chance, part) for part in parts),
        "shift": next((shift for part in parts if (shift := _shift(moved, part))), 0),
    }


def _freed(similarity: NDArray[np.floating], far: NDArray[np.bool_]) -> Floats:
    """Similarities of far rows without the means of row and column, each row of length 1 (0 for none)."""
    wide = np.where(far, similarity.astype(np.float64), np.nan)
    with np.errstate(invalid="ignore"):
        wide -= _mean(wide, 0)
        wide -= _mean(wide, 1)
    known = np.nan_to_num(wide)
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    return np.asarray(np.divide(known, lengths, out=np.zeros_like(known), where=lengths > 1e-12))


def _mean(values: Floats, axis: int) -> Floats:
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=axis, keepdims=True)
    return np.asarray(total / np.maximum(known.sum(axis=axis, keepdims=True), 1))


def _parts(count: int) -> Iterator[slice]:
    edges = np.linspace(0, count, min(PARTS, max(1, count // LEAST)) + 1).astype(int).tolist()
    for start, stop in itertools.pairwise(edges):
        yield slice(start, stop)


def _distance(own: Floats, chance: Floats, part: slice) -> float:
    means = chance[:, part].mean(axis=1)
    spread = max(float(means.std(ddof=1)), 1e-9)
    return float(np.clip((own[part].mean() - means.mean()) / spread, -1000, 1000))


def _shift(moved: dict[int, Floats], part: slice) -> int:
    best, found = SLIPPED, 0
    for shift, gains in moved.items():
        gain = gains[part]
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
        if error > 0 and gain.mean() / error > best:
            best, found = float(gain.mean() / error), shift
    return found

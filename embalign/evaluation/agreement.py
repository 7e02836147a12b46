"""Are draft and teacher embeddings of the same items? What a pair's vectors say before any map is fitted.

If row i of both belongs to the same text, an item's nearest neighbours by the draft are to some degree its nearest by
the teacher, whatever the labels say. Rows in another order agree no better than rows that are paired at random, and
rows that have slipped by one agree better when they are shifted back. Hubs make unrelated lists overlap, so chance is
measured: on the same lists, paired across the corpus.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from embalign.evaluation.relevance import Labels, Rows
from embalign.evaluation.top import highest
from embalign.pairs import Vectors

NEIGHBOURS = 10
BLOCK = 2**23  # similarities that are held at once
RUNS, LENGTH = 40, 25  # of consecutive rows whose neighbours are looked up, evenly spaced
PARTS, LEAST = 8, 100  # of the corpus, in its order: rows slip from some line on; fewest looked up in a part
NEAR = tuple(shift for shift in range(-8, 9) if shift)  # rows by which a side may have slipped
FAR = 20  # pairings across the corpus
SLIPPED = 5.0  # standard errors by which a shifted pairing agrees better


Pairing = tuple[Rows, NDArray[np.float64]]


@dataclass(frozen=True)
class NeighbourLists:
    """Nearest rows by the draft and by the teacher, (n, k) each, of n of the `size` rows of a corpus."""

    rows: Rows
    draft: Rows
    teacher: Rows
    size: int

    def overlap(self, shift: int = 0) -> Pairing:
        """Return places in `rows`, and the share of the teacher's nearest that the draft's row `shift` further has."""
        place = np.full(self.size, -1)
        place[self.rows] = np.arange(len(self.rows))
        other = place[(self.rows + shift) % self.size]
        here = np.flatnonzero(other >= 0)
        moved = (self.draft[other[here]] - shift) % self.size
        return here, (moved[:, :, None] == self.teacher[here][:, None, :]).any(axis=1).mean(axis=1)


def measure(draft: Vectors, teacher: Vectors, groups: Labels) -> dict[str, float]:
    """Return what a pair's vectors say of it; warnings are judged by the shares of different rows and the groups.

    Overlaps describe a pair. Whether its rows match is judged by :mod:`embalign.evaluation.mantel`: in a corpus that is
    sorted into topics of one size, rows paired across it overlap as much as those of one text.

    `neighbour_overlap` is the share of the teacher's ten nearest that are also the draft's, in [0, 1];
    `neighbour_overlap_unrelated` is that of rows paired across the corpus, and `neighbour_overlap_z` the distance of
    the two in standard deviations of such pairings, `neighbour_overlap_part_z` that of the worst eighth of the corpus.
    `rows_slipped` is the shift by up to eight rows at which such a part agrees better, 0 for none. `distinct_draft` and
    `distinct_teacher` are numbers of different rows over rows, and `effective_groups` is (sum n)^2 / sum n^2 of the
    sizes of the queries' label `groups`.
    """
    _, sizes = np.unique(np.asarray(groups), return_counts=True)
    facts = {
        "distinct_draft": _distinct(draft),
        "distinct_teacher": _distinct(teacher),
        "effective_groups": float(sizes.sum() ** 2 / (sizes**2).sum()),
    }
    found = neighbour_lists(draft, teacher)
    _, own = found.overlap()
    step = max(1, found.size // RUNS)
    shifts = {round(found.size * (i + 1) / (FAR + 1)) // step * step for i in range(FAR)} - {0}
    far = [found.overlap(shift) for shift in sorted(shifts)]
    near = {shift: found.overlap(shift) for shift in NEAR if abs(shift) < min(step, LENGTH)}
    parts = _parts(len(found.rows))
    slips = [_slip(near, own, part) for part in parts]
    return facts | {
        "neighbour_overlap": float(own.mean()),
        "neighbour_overlap_unrelated": float(np.mean([values.mean() for _, values in far])) if far else 0.0,
        "neighbour_overlap_z": _distance(own, far, slice(0, len(own))),
        "neighbour_overlap_part_z": min(_distance(own, far, part) for part in parts),
        "rows_slipped": next((shift for shift in slips if shift), 0),
    }


def neighbour_lists(draft: Vectors, teacher: Vectors) -> NeighbourLists:
    """Return the nearest other rows of a thousand rows (or all), in evenly spaced runs of consecutive ones."""
    size = len(draft)
    step = max(1, size // RUNS)
    rows = (step * np.arange(size // step)[:, None] + np.arange(min(step, LENGTH))).ravel()
    rows = rows[rows < size]
    count = max(1, min(NEIGHBOURS, size // 4))
    return NeighbourLists(rows, _nearest(draft, rows, count), _nearest(teacher, rows, count), size)


def _nearest(vectors: Vectors, rows: Rows, count: int) -> Rows:
    found = []
    size = max(1, BLOCK // len(vectors))
    for start in range(0, len(rows), size):
        asked = rows[start : start + size]
        similarity = vectors[asked] @ vectors.T
        similarity[np.arange(len(asked)), asked] = -np.inf
        found.append(highest(torch.from_numpy(similarity), count)[1])
    return np.concatenate(found)


def _parts(count: int) -> list[slice]:
    edges = np.linspace(0, count, min(PARTS, max(1, count // LEAST)) + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _inside(pairing: Pairing, part: slice) -> tuple[Rows, NDArray[np.float64]]:
    here, values = pairing
    chosen = (here >= part.start) & (here < part.stop)
    return here[chosen], values[chosen]


def _distance(own: NDArray[np.float64], far: Sequence[Pairing], part: slice) -> float:
    """Distance of a part's overlap to those of unrelated pairings, in their standard deviations, at most 1000."""
    unrelated = [values.mean() for _, values in (_inside(pairing, part) for pairing in far) if len(values)]
    if len(unrelated) < 2:
        return 0.0
    spread = max(float(np.std(unrelated, ddof=1)), 1e-6)
    return float(np.clip((own[part].mean() - np.mean(unrelated)) / spread, -1000, 1000))


def _slip(near: Mapping[int, Pairing], own: NDArray[np.float64], part: slice) -> int:
    """The shift at which a part of the rows agrees better than as they are, 0 if at none."""
    best, found = SLIPPED, 0
    for shift, pairing in near.items():
        here, moved = _inside(pairing, part)
        gain = moved - own[here]
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
        if error > 0 and gain.mean() / error > best:
            best, found = float(gain.mean() / error), shift
    return found


def _distinct(vectors: Vectors) -> float:
    # A number a row: sorting whole rows takes the memory of three copies. Adding 0 makes -0 the same as 0.
    rows = ((np.round(row, 6) + 0.0).tobytes() for row in vectors)
    digests = (int.from_bytes(hashlib.blake2b(row, digest_size=8).digest()) for row in rows)
    return len(np.unique(np.fromiter(digests, np.uint64, len(vectors)))) / len(vectors)

"""Are draft and teacher embeddings of the same items? What a pair's vectors say before any map is fitted.

If row i of both belongs to the same text, an item's nearest neighbours by the draft are to some degree its nearest by
the teacher, whatever the labels say. Rows in another order agree by chance alone.
"""

import hashlib
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.relevance import Labels
from embalign.pairs import Vectors

NEIGHBOURS = 10
ASKED = 1000  # rows, evenly spaced
BLOCK = 2**23  # similarities that are held at once
PARTS = 8  # of the corpus, in its order: rows that slip do so from some line on


def measure(draft: Vectors, teacher: Vectors, groups: Labels) -> dict[str, float]:
    """Return the numbers that the warnings of :mod:`embalign.verdicts.sanity` are judged by.

    `neighbour_overlap` is the share of the teacher's ten nearest that are also the draft's, in [0, 1], and
    `neighbour_overlap_chance` what unrelated vectors would give; `neighbour_overlap_least` is the lowest of the means
    over eighths of the corpus and `neighbour_overlap_z` its distance to chance in standard errors. `distinct_draft` and
    `distinct_teacher` are the shares of rows that differ from every other, and `effective_groups` is
    (sum n)^2 / sum n^2 of the sizes of the queries' label `groups`.
    """
    _, found = overlaps(draft, teacher)
    chance = min(NEIGHBOURS, len(draft) - 1) / max(1, len(draft) - 1)
    parts = [part for part in np.array_split(found, PARTS) if len(part) > 1]
    scores = [(float(part.mean()), _distance(part, chance)) for part in parts] or [(float(found.mean()), 0.0)]
    least, distance = min(scores, key=lambda score: score[1])
    _, sizes = np.unique(np.asarray(groups), return_counts=True)
    return {
        "neighbour_overlap": float(found.mean()),
        "neighbour_overlap_chance": chance,
        "neighbour_overlap_least": least,
        "neighbour_overlap_z": distance,
        "distinct_draft": _distinct(draft),
        "distinct_teacher": _distinct(teacher),
        "effective_groups": float(sizes.sum() ** 2 / (sizes**2).sum()),
    }


def overlaps(draft: Vectors, teacher: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return evenly spaced rows, and the share of each one's nearest by the teacher that are nearest by the draft."""
    rows = np.unique(np.linspace(0, len(draft) - 1, min(ASKED, len(draft))).round().astype(np.int64))
    count = min(NEIGHBOURS, len(draft) - 1)
    if count < 1:
        return rows, np.ones(len(rows))
    shared = np.empty(len(rows))
    size = max(1, BLOCK // len(draft))
    for start in range(0, len(rows), size):
        asked = rows[start : start + size]
        near = [_nearest(vectors, asked, count) for vectors in (draft, teacher)]
        shared[start : start + size] = (near[0][:, :, None] == near[1][:, None, :]).any(axis=1).mean(axis=1)
    return rows, shared


def _nearest(vectors: Vectors, asked: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    similarity = vectors[asked] @ vectors.T
    similarity[np.arange(len(asked)), asked] = -np.inf
    return np.argpartition(-similarity, count - 1, axis=1)[:, :count]


def _distance(overlap: NDArray[np.float64], chance: float) -> float:
    """Standard errors that a mean lies above chance; the error is at least the one that chance itself has."""
    of_chance = np.sqrt(chance * (1 - chance) / NEIGHBOURS)
    error = max(float(overlap.std(ddof=1)), float(of_chance)) / np.sqrt(len(overlap))
    return float((overlap.mean() - chance) / error) if error > 0 else 0.0


def _distinct(vectors: Vectors) -> float:
    # A digest a row: sorting whole rows takes the memory of three copies. Adding 0 makes -0 the same as 0.
    rows = ((np.round(row, 6) + 0.0).tobytes() for row in vectors)
    counts = Counter(hashlib.blake2b(row, digest_size=16).digest() for row in rows)
    return sum(count == 1 for count in counts.values()) / len(vectors)

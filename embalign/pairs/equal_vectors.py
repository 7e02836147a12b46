"""Distinct texts with equal vectors: what a model that cuts its input, or a constant file, leaves behind."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.pairs import Vectors

EQUAL_COSINE = 1 - 1e-6
MOST_EQUAL = 0.01  # of the distinct texts
_PROJECTIONS, _DIGITS = 4, 3
_MOST_GROUPS = 16  # among the candidates of one place


@dataclass(frozen=True)
class EqualVectors:
    """Groups of distinct texts with one vector each: of texts that are written alike, and of texts that are not.

    Texts are written alike if they differ in letter case, accents, spaces, punctuation or Unicode form alone; many
    models see no difference there. `texts` is the number of distinct texts.
    """

    alike: tuple[tuple[str, ...], ...]
    different: tuple[tuple[str, ...], ...]
    texts: int

    @property
    def affected(self) -> int:
        """Number of texts that share their vector with a text that is written differently."""
        return sum(len(group) for group in self.different)

    @property
    def too_many(self) -> bool:
        """Whether more than 1 % of the distinct texts are affected."""
        return self.affected > MOST_EQUAL * self.texts


def equal_vectors(texts: Sequence[str], vectors: Vectors) -> EqualVectors:
    """Return which distinct texts have equal unit vectors (n, d): a cosine of at least 1 - 1e-6.

    Candidates share four random projections to three digits, so single pairs at the edge of a digit may be missed.

    >>> found = equal_vectors(["one", "two", "Two"], np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    >>> found.alike, found.different
    ((('two', 'Two'),), ())
    """
    row_of: dict[str, int] = {}
    for row, text in enumerate(texts):
        row_of.setdefault(text, row)
    rows = np.fromiter(row_of.values(), np.int64)
    directions = np.random.default_rng(0).standard_normal((vectors.shape[1], _PROJECTIONS)).astype(vectors.dtype)
    places = np.round((vectors @ (directions / np.linalg.norm(directions, axis=0)))[rows], _DIGITS) + 0.0
    _, number = np.unique(places, axis=0, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    alike: list[tuple[str, ...]] = []
    different: list[tuple[str, ...]] = []
    for candidates in np.split(rows[order], np.flatnonzero(np.diff(number.ravel()[order])) + 1):
        for group in _groups(candidates, vectors):
            names = tuple(texts[row] for row in group)
            (alike if len({_written(name) for name in names}) == 1 else different).append(names)
    return EqualVectors(tuple(alike), tuple(different), len(rows))


def _groups(candidates: NDArray[np.int64], vectors: Vectors) -> Iterator[list[int]]:
    """Yield the rows that are equal to the first row left, as long as there are others."""
    for _ in range(_MOST_GROUPS):
        if len(candidates) < 2:
            return
        first = vectors[candidates[0]].astype(np.float64)
        lengths = np.linalg.norm(vectors[candidates].astype(np.float64), axis=1)
        same = vectors[candidates] @ first >= EQUAL_COSINE * lengths * np.linalg.norm(first)
        same[0] = True
        if same.sum() > 1:
            yield candidates[same].tolist()
        candidates = candidates[~same]


def _written(text: str) -> str:
    """Return the words of a text without letter case, accents and punctuation; a text without words as it is."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    words = re.findall(r"\w+", "".join(c for c in decomposed if unicodedata.category(c) != "Mn"))
    return " ".join(words) if words else text

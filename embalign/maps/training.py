"""The vectors that a family is fitted on, with the sums that closed forms share."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, svd

from embalign.maps.answers import Answers
from embalign.maps.map import Map
from embalign.pairs import Vectors
from embalign.pairs.holdout import Names

BLOCK = 4096  # rows that are held in float64 at once
Floats = NDArray[np.float64]
Setting = dict[str, float]  # hyperparameters of one try, by name


class Moments(NamedTuple):
    """Sums of n rows, in float64: means (d,), and products of centred rows: draft's, draft's with teacher's, teacher's.

    The products are (d, d), (d, d') and (d', d').
    """

    draft_mean: Floats
    teacher_mean: Floats
    draft: Floats
    cross: Floats
    teacher: Floats

    def raw(self, count: int) -> tuple[Floats, Floats]:
        """Return X'X and X'Y of `count` rows that are not centred."""
        x, y = self.draft_mean, self.teacher_mean
        return self.draft + count * np.outer(x, x), self.cross + count * np.outer(x, y)


@dataclass(frozen=True, eq=False)
class Training:
    """Rows (n, d) of the draft and (n, d') of the teacher for the same texts, a seed, and the most steps of training.

    The rows have length 1, and `groups` (n,) names what belongs together. `answers` are those of the texts, where
    somebody has judged. What is computed once is kept for every try.
    """

    draft: Vectors
    teacher: Vectors
    groups: Names
    seed: int
    steps: int
    answers: Answers | None = None

    @functools.cached_property
    def moments(self) -> Moments:
        """The sums of all rows."""
        x, y = (np.asarray(side.mean(axis=0, dtype=np.float64)) for side in (self.draft, self.teacher))
        d, d2 = len(x), len(y)
        draft, cross, teacher = np.zeros((d, d)), np.zeros((d, d2)), np.zeros((d2, d2))
        for start in range(0, len(self.draft), BLOCK):
            left = self.draft[start : start + BLOCK] - x
            right = self.teacher[start : start + BLOCK] - y
            draft += left.T @ left
            cross += left.T @ right
            teacher += right.T @ right
        return Moments(x, y, draft, cross, teacher)

    @functools.cached_property
    def of_raw(self) -> tuple[Floats, Floats, Floats]:
        """The eigen-decomposition of X'X and the targets V'X'Y: ridge of any penalty follows from it."""
        gram, products = self.moments.raw(len(self.draft))
        return _decomposed(gram, products)

    @functools.cached_property
    def of_centred(self) -> tuple[Floats, Floats, Floats]:
        """The same of centred rows."""
        return _decomposed(self.moments.draft, self.moments.cross)

    @functools.cached_property
    def spread(self) -> tuple[Floats, Floats]:
        """Eigenvalues (d,) and basis (d, d) of the draft's centred products."""
        values, basis, _ = self.of_centred
        return values, basis

    @functools.cached_property
    def orthogonal(self) -> tuple[Floats, float]:
        """The orthogonal map (d', d) of centred rows, and the factor that is best for it by least squares."""
        left, singular, right = svd(self.moments.cross.T, full_matrices=False)
        weights = left @ right
        outputs = float((weights @ self.moments.draft * weights).sum())
        return weights, float(singular.sum() / max(outputs, np.finfo(np.float64).tiny))

    @functools.cached_property
    def backwards(self) -> tuple[Floats, Floats, Floats]:
        """The same of centred rows from teacher to draft."""
        return _decomposed(self.moments.teacher, self.moments.cross.T)


def ridge_of(decomposed: tuple[Floats, Floats, Floats], penalty: float) -> Floats:
    """Return the ridge map (d_out, d_in) of a penalty on |W|^2."""
    values, basis, targets = decomposed
    return np.asarray((basis @ (targets / (values + penalty)[:, None])).T)


def _decomposed(gram: Floats, products: Floats) -> tuple[Floats, Floats, Floats]:
    values, basis = eigh(gram, driver="evd")
    return np.maximum(values, 0), basis, basis.T @ products


@dataclass(frozen=True)
class Family:
    """A family of maps: its name in files and in words, where it is from, the tries, and how one of them is fitted.

    `settings` are the hyperparameters of its tries: every family has as many, `TRIES`. `fit(training, setting)` returns
    the map.
    """

    name: str
    label: str
    source: str
    settings: tuple[Setting, ...]
    fit: Callable[[Training, Setting], Map]


TRIES = 6

"""Closed-form maps that training has to beat: mean vector, ridge, Procrustes.

Sums run over blocks of rows in float64, so no float64 copy of all vectors is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve, svd
from scipy.linalg.blas import dtrmm

from embalign.alignment.arguments import labels, pair_of_vectors
from embalign.alignment.device import CPU, chosen
from embalign.alignment.inner import inner_split
from embalign.lazy import lazy
from embalign.pairs import Vectors
from embalign.pairs.holdout import Names, Rows
from embalign.pairs.picked import blocks

moved = lazy("embalign.alignment.memory").moved

PENALTIES = tuple(10.0**exponent for exponent in np.arange(-4, 2.01, 0.5))
BLOCK = 4096  # rows that are held in float64 at once
LARGE = 2**28  # multiplications of a product that is worth the way to a GPU
TIED = 1e-12  # mean cosines this close differ by rounding alone

Floats = NDArray[np.float64]


class RidgeMap(NamedTuple):
    """A ridge map (d_teacher, d_draft) and its penalty."""

    weights: Vectors
    penalty: float


def mean_vector(teacher: Vectors) -> Vectors:
    """Return the unit vector (d_teacher,) with the highest mean cosine to `teacher`: the constant predictor."""
    sums = (block.sum(axis=0, dtype=np.float64) for block in blocks(teacher))
    mean = sum(sums, np.zeros(teacher.shape[1])) / len(teacher)
    length = np.linalg.norm(mean)
    return np.asarray(mean / length if length > 0 else mean, dtype=np.float32)


def fit_ridge(draft: Vectors, teacher: Vectors, groups: Names | None = None) -> RidgeMap:
    """Return the least-squares map with the L2 penalty from 1e-4 to 100 that does best on held-out groups.

    Inputs (n, d_draft) and (n, d_teacher) are of unit length, `groups` (n,) names what is held out as a whole, without
    it each item alone. The penalty is that with the highest mean cosine on a fifth of the items when fitted on the
    others, of equal ones the smallest; where nothing can be held out, it is 1. All penalties come from one
    eigen-decomposition. With fewer items than dimensions the penalty is what makes the map unique. Raises TypeError or
    ValueError for vectors or groups that no map can be fitted on: none, NaN, other shapes.

    >>> draft = np.random.default_rng(0).standard_normal((50, 4))
    >>> found = fit_ridge(draft, draft[:, :2])
    >>> found.weights.round(2) + 0.0
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.]], dtype=float32)
    >>> found.penalty
    0.0001
    """
    draft, teacher = pair_of_vectors(draft, teacher)
    names = (np.arange(len(draft)) if groups is None else labels(groups, "groups", len(draft))).astype(
        np.str_, copy=False
    )
    penalty, moments = _choose(draft, teacher, names)
    return RidgeMap(solve_ridge(draft, teacher, penalty) if moments is None else moments.solved(penalty), penalty)


def choose_penalty(draft: Vectors, teacher: Vectors, groups: Names) -> float:
    """Return the penalty that :func:`fit_ridge` takes."""
    return _choose(draft, teacher, groups)[0]


def _choose(draft: Vectors, teacher: Vectors, groups: Names) -> tuple[float, _Moments | None]:
    """The penalty, and the moments of all items where those of a part were summed for it."""
    inner = inner_split(groups)
    if inner is None:
        return 1.0, None
    if len(inner.fit) <= draft.shape[1]:
        x = draft[inner.fit].astype(np.float64)
        values, vectors = eigh(_times(x, x.T), driver="evd", overwrite_a=True)
        fitted = _Eigen(values, _times(x.T, vectors), vectors.T @ teacher[inner.fit])
        return _best_penalty(draft, teacher, inner.check, fitted), None
    moments = _moments(draft, teacher, inner.fit)
    values, coordinates = eigh(moments.gram, driver="evd")
    fitted = _Eigen(values, coordinates, _times(coordinates.T, moments.products))
    penalty = _best_penalty(draft, teacher, inner.check, fitted)
    return penalty, _moments(draft, teacher, inner.check, moments)


class _Eigen(NamedTuple):
    """A fit to some items, for each penalty: it predicts x coordinates diag(1 / (values + penalty)) targets."""

    values: Floats
    coordinates: Floats
    targets: Floats


def _best_penalty(draft: Vectors, teacher: Vectors, check: Rows, fitted: _Eigen) -> float:
    """The penalty with the highest mean cosine on the items to check."""
    values, coordinates, targets = fitted
    # x'Sx = x'Ux, where U is the upper triangle of S + S' with S's diagonal: half the products.
    squares = _times(targets, targets.T)
    upper = np.asfortranarray(2 * np.triu(squares, 1) + np.diag(np.diag(squares)))
    total = np.zeros(len(PENALTIES))
    for rows, truth in _blocks(draft, teacher, check):
        seen, along = rows @ coordinates, truth @ targets.T
        for i, penalty in enumerate(PENALTIES):
            shrunk = seen / (np.maximum(values, 0) + penalty)
            lengths = np.sqrt(np.maximum(_dots(_through(shrunk, upper), shrunk), np.finfo(np.float64).tiny))
            total[i] += (_dots(shrunk, along) / lengths).sum()
    means = total / len(check)
    if not np.isfinite(means).all():
        raise ValueError("the vectors hold NaN or infinite values")
    return float(PENALTIES[int(np.flatnonzero(means >= means.max() - TIED)[0])])


def solve_ridge(draft: Vectors, teacher: Vectors, penalty: float) -> Vectors:
    """Return the map W (d_teacher, d_draft) that minimises the squared error plus penalty * |W|^2."""
    if len(draft) <= draft.shape[1]:
        x, y = draft[:].astype(np.float64), teacher[:].astype(np.float64)
        gram = x @ x.T
        gram.flat[:: len(gram) + 1] += penalty
        return np.asarray((x.T @ solve(gram, y, assume_a="pos")).T, dtype=np.float32)
    return _moments(draft, teacher, np.arange(len(draft))).solved(penalty)


def fit_procrustes(draft: Vectors, teacher: Vectors) -> Vectors:
    """Return the semi-orthogonal map W (d_teacher, d_draft) closest to teacher = draft W^T (Schoenemann 1966).

    W^T W = I where the teacher has at least as many dimensions, else W W^T = I. Raises TypeError or ValueError for
    vectors that no map can be fitted on.

    >>> draft = np.random.default_rng(0).standard_normal((50, 2))
    >>> fit_procrustes(draft, draft[:, ::-1]).round(2) + 0.0
    array([[0., 1.],
           [1., 0.]], dtype=float32)
    """
    draft, teacher = pair_of_vectors(draft, teacher)
    products = np.zeros((teacher.shape[1], draft.shape[1]))
    for x, y in _blocks(draft, teacher, np.arange(len(draft))):
        products += y.T @ x
    left, _, right = svd(products, full_matrices=False)
    return np.asarray(left @ right, dtype=np.float32)


class _Moments(NamedTuple):
    """X'X and X'Y of some items."""

    gram: Floats
    products: Floats

    def solved(self, penalty: float) -> Vectors:
        """The ridge map of these items."""
        gram = self.gram.copy()
        gram.flat[:: len(gram) + 1] += penalty
        return np.asarray(solve(gram, self.products, assume_a="pos", overwrite_a=True).T, dtype=np.float32)


def _moments(draft: Vectors, teacher: Vectors, rows: Rows, of_others: _Moments | None = None) -> _Moments:
    """The moments of these rows, and of others of which they are known."""
    if of_others is None:
        gram, products = np.zeros((draft.shape[1],) * 2), np.zeros((draft.shape[1], teacher.shape[1]))
    else:
        gram, products = of_others
    for x, y in _blocks(draft, teacher, rows):
        gram += _times(x.T, x)
        products += _times(x.T, y)
    return _Moments(gram, products)


def _blocks(draft: Vectors, teacher: Vectors, rows: Rows) -> Iterator[tuple[Floats, Floats]]:
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        yield draft[some].astype(np.float64), teacher[some].astype(np.float64)


def _times(left: Floats, right: Floats) -> Floats:
    """The product of two matrices, in float64 on the chosen device too."""
    if chosen() == CPU or left.size * right.shape[1] < LARGE:
        return np.asarray(left @ right)
    return np.asarray((moved(left) @ moved(right)).cpu())


def _through(left: Floats, upper: Floats) -> Floats:
    """The product with an upper triangle, in the order of Fortran."""
    if chosen() == CPU or left.size * len(upper) < LARGE:
        return np.asarray(dtrmm(1.0, upper, left.T, trans_a=True).T)
    return _times(left, upper)


def _dots(left: Floats, right: Floats) -> Floats:
    """The scalar product of each row of one with that row of the other."""
    return np.asarray(np.einsum("ij,ij->i", left, right))

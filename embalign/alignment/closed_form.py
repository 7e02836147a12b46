"""Closed-form maps that training has to beat: mean vector, ridge, Procrustes.

Sums run over blocks of rows in float64, so no float64 copy of all vectors is ever held.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr, svd
from scipy.linalg.blas import dtrmm

from embalign.pairs import Vectors

PENALTIES = tuple(10.0**exponent for exponent in np.arange(-4, 2.01, 0.5))
BLOCK = 4096  # rows that are held in float64 at once
TIED = 1e-12  # leave-one-out errors this close, relative to the smallest, differ by rounding alone

Floats = NDArray[np.float64]


class RidgeMap(NamedTuple):
    """A ridge map (d_teacher, d_draft) and the penalty that leave-one-out error chose."""

    weights: Vectors
    penalty: float


def mean_vector(teacher: Vectors) -> Vectors:
    """Return the unit vector (d_teacher,) with the highest mean cosine to `teacher`: the constant predictor."""
    mean = teacher.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(mean)
    return np.asarray(mean / length if length > 0 else mean, dtype=np.float32)


def fit_ridge(draft: Vectors, teacher: Vectors) -> RidgeMap:
    """Return the least-squares map with an L2 penalty from 1e-4 to 100, chosen by leave-one-out error in these items.

    Inputs (n, d_draft) and (n, d_teacher) are of unit length. The error is exact: the mean squared error of each item
    under the map fitted without it, for all penalties from one eigen-decomposition (Rifkin & Lippert 2007, Notes on
    Regularized Least Squares). Of equal errors the smallest penalty wins. With fewer items than dimensions the penalty
    is what makes the map unique. Memory beyond the inputs does not grow with n. Raises ValueError without items and for
    NaN.
    """
    if len(draft) == 0:
        raise ValueError("a ridge map needs at least one item")
    return _fit_dual(draft, teacher) if len(draft) <= draft.shape[1] else _fit_primal(draft, teacher)


def fit_procrustes(draft: Vectors, teacher: Vectors) -> Vectors:
    """Return the semi-orthogonal map W (d_teacher, d_draft) closest to teacher = draft W^T (Schoenemann 1966).

    W^T W = I where the teacher has at least as many dimensions, else W W^T = I.
    """
    products = np.zeros((teacher.shape[1], draft.shape[1]))
    for x, y in _blocks(draft, teacher):
        products += y.T @ x
    left, _, right = svd(products, full_matrices=False)
    return np.asarray(left @ right, dtype=np.float32)


def _blocks(draft: Vectors, teacher: Vectors) -> Iterator[tuple[Floats, Floats]]:
    for start in range(0, len(draft), BLOCK):
        rows = slice(start, start + BLOCK)
        yield draft[rows].astype(np.float64), teacher[rows].astype(np.float64)


def _fit_primal(draft: Vectors, teacher: Vectors) -> RidgeMap:
    """Ridge from X'X = V diag(values) V': the map is V diag(1 / (values + penalty)) V'X'Y."""
    covariance = np.zeros((draft.shape[1], draft.shape[1]))
    products = np.zeros((draft.shape[1], teacher.shape[1]))
    for x, y in _blocks(draft, teacher):
        covariance += x.T @ x
        products += x.T @ y
    values, vectors = eigh(covariance, driver="evd", overwrite_a=True)
    products = vectors.T @ products
    # Predictions of every penalty lie in the span of these rows. Along its basis they have d_draft coordinates and a
    # triangle gives them; outside it the residual is the teacher's part there, whatever the penalty.
    basis, triangle = qr(products.T, mode="economic")
    total = np.zeros(len(PENALTIES))
    for x, y in _blocks(draft, teacher):
        inside = y @ basis
        outside = _squares(y - inside @ basis.T)
        rows = x @ vectors
        for i, (leverage, predicted) in enumerate(_by_penalty(rows, values, triangle)):
            total[i] += ((outside + _squares(inside - predicted)) / (1 - leverage) ** 2).sum()
    penalty = _best_penalty(total)
    return RidgeMap(_weights(vectors / (values + penalty), products), penalty)


def _fit_dual(draft: Vectors, teacher: Vectors) -> RidgeMap:
    """Ridge from G = XX' + penalty I: the map is X' G^-1 Y, an item's error is its row of G^-1 Y over (G^-1)_ii."""
    x, y = draft.astype(np.float64), teacher.astype(np.float64)
    values, vectors = eigh(x @ x.T, driver="evd", overwrite_a=True)
    targets = vectors.T @ y
    triangle = qr(targets.T, mode="r")[0][: len(x)]
    total = [(_squares(solved) / diagonal**2).sum() for diagonal, solved in _by_penalty(vectors, values, triangle)]
    penalty = _best_penalty(np.array(total))
    return RidgeMap(_weights(x.T @ (vectors / (values + penalty)), targets), penalty)


def _by_penalty(rows: Floats, values: Floats, triangle: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield, with D = diag(1 / (values + penalty)), the diagonal of rows D rows' and rows D triangle'."""
    square = triangle.shape[0] == triangle.shape[1]
    for penalty in PENALTIES:
        shrunk = rows / (values + penalty)
        diagonal = np.einsum("ij,ij->i", rows, shrunk)
        # A triangular product takes half the time of a full one.
        yield diagonal, dtrmm(1.0, triangle, shrunk.T, overwrite_b=True).T if square else shrunk @ triangle.T


def _squares(rows: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->i", rows, rows))


def _best_penalty(errors: Floats) -> float:
    return float(PENALTIES[int(np.argmax(errors <= errors.min() * (1 + TIED)))])


def _weights(left: Floats, right: Floats) -> Vectors:
    return np.asarray((left @ right).T, dtype=np.float32)

"""Closed-form maps that training has to beat: mean vector, ridge, Procrustes."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import svd
from sklearn.linear_model import RidgeCV

from embalign.pairs import Vectors

PENALTIES = tuple(10.0**exponent for exponent in np.arange(-4, 2.01, 0.5))


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

    Inputs are of unit length. With fewer items than dimensions the penalty is what makes the map unique.
    """
    model = RidgeCV(alphas=PENALTIES, fit_intercept=False)
    model.fit(draft.astype(np.float64), teacher.astype(np.float64))
    return RidgeMap(np.asarray(model.coef_, dtype=np.float32), float(model.alpha_))


def fit_procrustes(draft: Vectors, teacher: Vectors) -> Vectors:
    """Return the semi-orthogonal map W (d_teacher, d_draft) closest to teacher = draft W^T (Schoenemann 1966).

    W^T W = I where the teacher has at least as many dimensions, else W W^T = I.
    """
    left, _, right = svd(teacher.T.astype(np.float64) @ draft.astype(np.float64), full_matrices=False)
    return np.asarray(left @ right, dtype=np.float32)

"""How close mapped vectors are to the teacher's: cosine, skill (a constant may reach a cosine of 0.8), Spearman."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.preprocessing import normalize

from embalign.pairs import Vectors

EXACT_UP_TO, SAMPLED_PAIRS = 2000, 2_000_000


def cosines(mapped: Vectors, teacher: Vectors) -> NDArray[np.float64]:
    """Return the cosine of each mapped row to its teacher row, in [-1, 1]; 0 where either is the zero vector."""
    left, right = mapped.astype(np.float64), teacher.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    dots = np.einsum("ij,ij->i", left, right)
    # Rounding can carry a cosine of 1 past it, where functions of the cosine are not defined.
    return np.asarray(np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0).clip(-1, 1))


def skill(cosine_mean: float, constant_mean: float) -> float:
    """Return the share of the way from the constant mean-vector predictor's mean cosine to 1; negative if below it."""
    return (cosine_mean - constant_mean) / (1 - constant_mean)


def pairwise_spearman(mapped: Vectors, teacher: Vectors) -> float:
    """Return Spearman's rho between the two spaces' cosine similarities over all item pairs i < j.

    NaN where one space gives every pair the same similarity, as a constant predictor does.
    """
    rows, columns = np.triu_indices(len(mapped), k=1)
    left, right = ((unit @ unit.T)[rows, columns] for unit in (normalize(mapped), normalize(teacher)))
    if np.ptp(left) < 1e-6 or np.ptp(right) < 1e-6:
        return float("nan")
    return float(np.corrcoef(rankdata(left), rankdata(right))[0, 1])

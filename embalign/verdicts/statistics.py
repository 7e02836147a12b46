"""Small-sample statistics on one value a seed, above all on differences paired by seed.

Intervals are Student's: a percentile bootstrap over 3 seeds has a true error of 16-19 % at a nominal 5 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from embalign.lazy import lazy

special = lazy("scipy.special")


@dataclass(frozen=True)
class StudentT:
    """Mean of n values, its standard error and degrees of freedom."""

    mean: float
    standard_error: float
    df: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided confidence interval of the mean."""
        half = self._quantile((1 + level) / 2) * self.standard_error
        return self.mean - half, self.mean + half

    def upper_bound(self, alpha: float = 0.05) -> float:
        """One-sided upper confidence bound at level 1 - alpha."""
        return self.mean + self._quantile(1 - alpha) * self.standard_error

    def lower_bound(self, alpha: float = 0.05) -> float:
        """One-sided lower confidence bound at level 1 - alpha."""
        return self.mean - self._quantile(1 - alpha) * self.standard_error

    def p_greater(self, than: float = 0.0) -> float:
        """One-sided p-value of H0: mean <= than."""
        if self.standard_error == 0:
            return 0.0 if self.mean > than else 1.0
        return float(special.stdtr(self.df, -(self.mean - than) / self.standard_error))

    def p_two_sided(self) -> float:
        """Two-sided p-value of H0: mean = 0."""
        larger = self if self.mean >= 0 else -self
        return min(1.0, 2 * larger.p_greater())

    def p_within(self, margin: float) -> float:
        """Larger p-value of the two one-sided tests of H0: the mean is `margin` or more away from 0 (TOST)."""
        return max(self.p_greater(-margin), (-self).p_greater(-margin))

    def __neg__(self) -> Self:
        return replace(self, mean=-self.mean)

    def minimum_detectable_effect(self, alpha: float = 0.05, power: float = 0.8) -> float:
        """Difference that a one-sided test at alpha finds with that power, by the noncentral t distribution."""
        return float(detectable(self.df, alpha, power)) * self.standard_error

    def _quantile(self, probability: float) -> float:
        return float(special.stdtrit(self.df, probability))


def detectable(
    df: float | np.ndarray[tuple[int, ...], np.dtype[np.floating]], alpha: float, power: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the effect, in standard errors, that a one-sided t test at alpha finds with that power."""
    return np.asarray(special.nctdtrinc(df, 1 - power, special.stdtrit(df, 1 - alpha)))


def student_t(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> StudentT:
    """Return Student's statistics of at least two finite values, else raise ValueError."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) < 2:
        raise ValueError(f"Student's t needs at least two values, found {sample.size}")
    if not np.isfinite(sample).all():
        raise ValueError("the values hold NaN or infinity")
    return StudentT(float(sample.mean()), float(sample.std(ddof=1) / math.sqrt(len(sample))), len(sample) - 1)


def group_t(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> StudentT:
    """Return Student's statistics of values by group, of which few may carry most of the variance."""
    plain = student_t(values)
    return replace(plain, df=float(unequal_df(np.square(values - plain.mean))))


def unequal_df(squares: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the degrees of freedom of variances of n squared deviations each, (..., n): from 1 to n - 1.

    Deviations of unequal variances v are worth (sum v)^2 / sum v^2 of equal ones (Satterthwaite 1946). Fourth powers
    are 3 v^2 on average; of equal normal deviations the mean of the sample kurtosis is 3 (n - 1) / (n + 1).
    """
    count = squares.shape[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        kurtosis = count * np.square(squares).sum(axis=-1) / np.square(squares.sum(axis=-1))
        df = (count - 1) * 3 * (count - 1) / (count + 1) / kurtosis
    return np.asarray(np.nan_to_num(df, nan=count - 1.0).clip(1.0, count - 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm-adjusted p-values in the given order (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(np.arange(len(order), 0, -1) * np.take(p_values, order)).clip(max=1)
    return [float(p) for p in adjusted]

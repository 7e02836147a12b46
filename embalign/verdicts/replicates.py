"""Means of repeated measurements and the standard error of any linear contrast of them.

Everything a verdict tests is a contrast a'm of the mean vector m over R settings (ratios, arms), formed inside each
seed first: noise may differ between settings and correlate across them, and Student's t stays exact for normal noise.

Where values carry items as well, seeds and items are crossed random effects. The variance of the grand mean is then
(MS_seed + MS_item - MS_residual) / (S I) with Satterthwaite's degrees of freedom (Searle, Casella & McCulloch,
*Variance Components*, 1992, section 5.6), so that an interval covers other test items as well as other seeds.

Items of unequal weight, such as label groups of unequal size, vary unequally: then fewer of them carry the variance
than there are. Its degrees of freedom are (sum v)^2 / sum v^2 of the items' variances v, estimated from the items' own
squares and fourth powers, of which the latter are 3 v^2 on average (Satterthwaite, 1946; Bell & McCaffrey, 2002).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import fdtrc, stdtrit

from embalign.verdicts.statistics import StudentT, unequal_df

Array = NDArray[np.float64]
ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Contrasts:
    """Estimates of several contrasts, their standard errors and degrees of freedom, arrays of one shape."""

    estimate: Array
    standard_error: Array
    df: Array

    def t(self) -> Array:
        """Return estimate / standard error; infinite for an effect without noise, 0 for neither."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = self.estimate / self.standard_error
        return np.where(np.isnan(t), 0.0, t)

    def quantile(self, probability: float) -> Array:
        """Return that quantile of Student's t for each contrast."""
        return np.asarray(stdtrit(self.df, probability))


@dataclass(frozen=True)
class Replicates:
    """Means of R settings over S seeds (and I items), with mean squares and products (R, R) of each source.

    Without items, `mean_squares` holds the covariance over seeds alone and `items` is 0. `of_item` (R, I) is what each
    item adds to the mean of each setting.
    """

    settings: tuple[Any, ...]
    mean: Array
    mean_squares: tuple[Array, ...]
    seeds: int
    items: int
    resolution: float
    of_item: Array

    def contrasts(self, weights: ArrayLike, added_variance: float = 0.0, added_df: float = 1.0) -> Contrasts:
        """Return estimates, standard errors and degrees of freedom of contrasts; the rows of `weights` are (..., R).

        `added_variance` is a further error of each setting's mean, known to `added_df` degrees of freedom.
        """
        a = np.asarray(weights, dtype=np.float64)
        estimate = a @ self.mean
        squares = [np.einsum("...i,ij,...j->...", a, source, a).clip(min=0) for source in self.mean_squares]
        variance, df = squares[0] / self.seeds, np.full(np.shape(estimate), self.seeds - 1.0)
        nothing = self._nothing(a)
        if self.items:
            of_item = a @ self.of_item
            item_df = unequal_df(np.square(np.where(np.abs(of_item) <= nothing[..., None], 0.0, of_item)))
            variance, df = self._crossed(squares, item_df, nothing)
        if added_variance > 0:
            extra = added_variance * np.einsum("...i,...i->...", a, a)
            df = (variance + extra) ** 2 / (variance**2 / df + extra**2 / added_df)
            variance = variance + extra
        error = np.sqrt(variance)
        # What is left of equal numbers after rounding is no effect, however small its standard error.
        estimate = np.where(np.abs(estimate) <= nothing, 0.0, estimate)
        return Contrasts(estimate, np.where(error <= nothing, 0.0, error), df)

    def contrast(self, weights: ArrayLike) -> StudentT:
        """Return one contrast."""
        found = self.contrasts(weights)
        return StudentT(float(found.estimate), float(found.standard_error), float(found.df))

    def difference(self, first: Any, second: Any) -> Array:
        """Return the contrast mean(first) - mean(second) of two settings."""
        weights = np.zeros(len(self.mean))
        weights[self.settings.index(first)] += 1
        weights[self.settings.index(second)] -= 1
        return weights

    def standard_error_with(self, weights: Array, seeds: NDArray[np.int64]) -> Array:
        """Return the standard errors a contrast would have with those numbers of seeds and the same items."""
        squares = [max(float(weights @ source @ weights), 0.0) for source in self.mean_squares]
        if not self.items:
            return np.sqrt(squares[0] / seeds)
        by_seed, by_item, residual = squares
        of_seeds = max(by_seed - residual, 0.0) / self.items
        of_items = max(by_item - residual, 0.0) / self.seeds
        return np.asarray(np.sqrt(of_seeds / seeds + of_items / self.items + residual / (seeds * self.items)))

    def misfit_p_value(self, residual_maker: Array, squares: float) -> float:
        """Return the p-value of squared residuals of the means that `residual_maker` (R, R) leaves of a model.

        Their expectation and effective number come from the covariance of the means, as Box (1954) has it.
        """
        projected = residual_maker @ self._covariance(residual_maker)
        expected = float(np.trace(projected))
        if expected <= 0:
            return 0.0 if squares > self.resolution**2 * len(residual_maker) else 1.0
        effective = expected**2 / float(np.sum(projected * projected.T))
        df = float(np.median(self.contrasts(residual_maker).df))
        return float(fdtrc(effective, effective * df, squares / expected))

    def expected_squares(self, residual_maker: Array) -> float:
        """Return the squared residuals that noise alone leaves of a model that is true."""
        return max(0.0, float(np.trace(residual_maker @ self._covariance(residual_maker))))

    def subset(self, rows: slice) -> Self:
        """Return the replicates of some of the settings."""
        squares = tuple(source[rows, rows] for source in self.mean_squares)
        of_item = self.of_item[rows]
        return replace(self, settings=self.settings[rows], mean=self.mean[rows], mean_squares=squares, of_item=of_item)

    def _covariance(self, residual_maker: Array) -> Array:
        """The covariance (R, R) of the means; a source that the residuals show nothing of is left out."""
        if not self.items:
            return self.mean_squares[0] / self.seeds
        by_seed, by_item, residual = self.mean_squares
        of_seed, of_item, of_rest = (float(np.trace(residual_maker @ source)) for source in self.mean_squares)
        nothing = float(np.linalg.norm(self._nothing(residual_maker)))
        if _is_absent(of_seed, of_rest, nothing) or _is_absent(of_item, of_rest, nothing):
            chosen = by_item if of_item >= of_seed else by_seed
            return np.asarray(chosen / (self.seeds * self.items))
        return np.asarray((by_seed + by_item - residual) / (self.seeds * self.items))

    def _nothing(self, weights: Array) -> Array:
        """What rounding may leave of contrasts (..., R) between equal numbers."""
        return np.asarray(self.resolution * np.linalg.norm(weights, axis=-1))

    def _crossed(self, squares: Sequence[Array], item_df: Array, nothing: Array) -> tuple[Array, Array]:
        (by_seed, by_item, residual), s, i = squares, self.seeds, self.items
        total = by_seed + by_item - residual
        with np.errstate(invalid="ignore", divide="ignore"):
            df = total**2 / (by_seed**2 / (s - 1) + by_item**2 / item_df + residual**2 / ((s - 1) * (i - 1)))
        # A variance component estimated below zero is zero; the other source then carries the mean alone.
        no_seeds, no_items = _is_absent(by_seed, residual, nothing), _is_absent(by_item, residual, nothing)
        cases = [no_seeds & no_items, no_seeds, no_items]
        total = np.select(cases, [np.maximum(by_seed, by_item), by_item, by_seed], total)
        df = np.select(cases, [np.minimum(s - 1.0, item_df), item_df, np.full_like(item_df, s - 1.0)], df)
        return total / (s * i), np.nan_to_num(df, nan=min(s, i) - 1.0).clip(min=1.0)


def _is_absent(squares: Array | float, residual: Array | float, nothing: Array | float) -> Any:
    """Whether mean squares of a source are those of the residual, or less, whatever rounding has made of them."""
    return (squares <= residual + nothing * np.sqrt(residual)) & (residual > 0)


def replicates(frame: pd.DataFrame, setting: str) -> Replicates:
    """Return the replicates of a frame with columns `setting`, seed, value and, optionally, item.

    Settings are sorted. Raises ValueError naming the first duplicate, missing or non-finite cell.
    """
    keys = [setting, "seed", *(["item"] if "item" in frame.columns else [])]
    if missing := {*keys, "value"} - set(frame.columns):
        raise ValueError(f"the rows lack column(s) {', '.join(sorted(missing))}")
    if frame[keys].isna().any(axis=None):
        raise ValueError(f"a row has no {', '.join(name for name in keys if frame[name].isna().any())}")
    if (repeated := frame.duplicated(keys)).any():
        raise ValueError(f"{_named(frame[repeated].iloc[0], keys)} has more than one value")
    try:
        values = frame["value"].to_numpy(dtype=np.float64)
        levels = [np.unique(frame[name].to_numpy()) for name in keys]
    except TypeError:
        mixed = [name for name in (*keys, "value") if len({type(each) for each in frame[name]}) > 1]
        raise ValueError(f"every {mixed[0] if mixed else 'value'} must be of one type, found several") from None
    if not np.isfinite(values).all():
        bad = frame[~np.isfinite(values)].iloc[0]
        raise ValueError(f"{_named(bad, keys)} has the value {bad['value']}; every value must be finite")
    cells = pd.Series(values, frame.set_index(keys).index).reindex(pd.MultiIndex.from_product(levels))
    if len(absent := cells.index[cells.isna()]):
        raise ValueError(f"{_named(dict(zip(keys, absent[0], strict=True)), keys)} has no value: verdicts are paired")
    return from_array(cells.to_numpy().reshape([len(level) for level in levels]), levels[0].tolist())


def from_array(values: Array, settings: Sequence[Any]) -> Replicates:
    """Return the replicates of an array (R, S) or (R, S, I) of finite values; ValueError for fewer than 2 seeds."""
    seeds, items = values.shape[1], values.shape[2] if values.ndim == 3 else 0
    if seeds < 2 or items == 1:
        raise ValueError(
            f"at least two seeds (and items) are needed, found {seeds}" + (" and 1 item" if items == 1 else "")
        )
    resolution = ROUNDING * float(np.abs(values).max())
    if not items:
        centred = values - values.mean(axis=1, keepdims=True)
        squares = centred @ centred.T / (seeds - 1)
        return Replicates(
            tuple(settings), values.mean(axis=1), (squares,), seeds, 0, resolution, np.empty((len(values), 0))
        )
    grand = values.mean(axis=(1, 2))
    by_seed, by_item = values.mean(axis=2), values.mean(axis=1)
    residual = (values - by_seed[:, :, None] - by_item[:, None, :] + grand[:, None, None]).reshape(len(values), -1)
    of_seed, of_item = by_seed - grand[:, None], by_item - grand[:, None]
    mean_squares = (
        items * of_seed @ of_seed.T / (seeds - 1),
        seeds * of_item @ of_item.T / (items - 1),
        residual @ residual.T / ((seeds - 1) * (items - 1)),
    )
    return Replicates(tuple(settings), grand, mean_squares, seeds, items, resolution, of_item)


def _named(row: Any, keys: Sequence[str]) -> str:
    return ", ".join(f"{key} {row[key]:g}" if isinstance(row[key], float) else f"{key} {row[key]}" for key in keys)

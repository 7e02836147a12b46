"""Which of several systems is best? The set of those that cannot be told from the best, and who is shown to be worse.

Systems leave one by one: of those that are still in, the one that another of them is shown to be better than by the
smallest p-value, one-sided, paired by seed and item, and Bonferroni over all ordered pairs of those still in. That is
the model confidence set of Hansen, Lunde and Nason (*The model confidence set*, Econometrica 79, 2011), with Student's
t instead of a bootstrap. Every system whose true mean is the highest is in the set with the probability 1 - alpha, all
of them at once: so where all are equal, none is named alone more often than alpha.

Bonferroni needs no correlation of the systems, which three seeds do not tell. Nor do they tell degrees of freedom:
where a few seeds vary by chance alike, a difference seems to be known better than it is, and the smallest of many
p-values finds such a one. So no difference has more degrees of freedom than the median of either system's differences.

`python benchmark/calibration/maps.py` prints how often the set is wrong where the truth is known.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr

from embalign.verdicts.frames import check_flag, check_level, checked
from embalign.verdicts.replicates import Array, Contrasts, Replicates, replicates
from embalign.verdicts.statistics import StudentT


@dataclass(frozen=True)
class Standing:
    """One system: its mean, whether it may be the best, and its difference to the system with the best mean.

    `beaten_by` is the system that is shown to be better with the smallest p-value, None for one in the set; `p_value`
    is adjusted: the system is in the set for every alpha below it. `difference` is the system minus the best, not
    adjusted, None for the best.
    """

    system: Any
    mean: float
    in_set: bool
    difference: StudentT | None
    beaten_by: Any
    p_value: float


@dataclass(frozen=True)
class BestSet:
    """The standings, best mean first. `alpha` is the error rate of best systems that are left out of the set."""

    standings: tuple[Standing, ...]
    alpha: float
    seeds: int
    items: int

    @property
    def systems(self) -> tuple[Any, ...]:
        """The systems that cannot be told from the best, best mean first."""
        return tuple(standing.system for standing in self.standings if standing.in_set)

    def __getitem__(self, system: Any) -> Standing:
        return next(standing for standing in self.standings if standing.system == system)


def judge_best(frame: pd.DataFrame, *, alpha: float = 0.05, higher_is_better: bool = True) -> BestSet:
    """Return which systems cannot be told from the best, given columns system, seed, value and, optionally, item.

    Items are what the test set is made of, such as label groups; intervals then cover other items as well as other
    seeds. The system with the best mean is always in the set. Raises ValueError for one system, fewer than two seeds,
    and values that do not pair or are not finite.

    >>> rng = np.random.default_rng(0)
    >>> rows = [
    ...     {"system": name, "seed": seed, "item": item, "value": level + rng.normal(0, 0.1)}
    ...     for name, level in (("a", 0.5), ("b", 0.5), ("c", 0.3)) for seed in range(3) for item in range(30)
    ... ]
    >>> sorted(judge_best(pd.DataFrame(rows)).systems)
    ['a', 'b']
    """
    check_level(alpha, "alpha", 0, 0.5, open_below=True)
    check_flag(higher_is_better, "higher_is_better")
    found = replicates(checked(frame, "frame", ("system", "seed", "value"), ("item",)), "system")
    return best_of(found, alpha=alpha, higher_is_better=higher_is_better)


def best_of(found: Replicates, *, alpha: float = 0.05, higher_is_better: bool = True) -> BestSet:
    """Return the same of replicates whose settings are the systems. Raises ValueError for one system."""
    if len(found.settings) < 2:
        raise ValueError(f"one system, {found.settings[0]!r}: there is nothing to compare it with")
    means = found.mean if higher_is_better else -found.mean
    left = _eliminated(_p_values(found, higher_is_better), means)
    order = np.argsort(-means, kind="stable").tolist()
    units = np.eye(len(means))
    to_best = found.contrasts(units - units[order[0]])
    standings = []
    for place in order:
        p_value, other = left[place]
        standings.append(
            Standing(
                system=found.settings[place],
                mean=float(found.mean[place]),
                in_set=p_value > alpha,
                difference=None if place == order[0] else _of_place(to_best, place),
                beaten_by=None if p_value > alpha else found.settings[other],
                p_value=p_value,
            )
        )
    return BestSet(tuple(standings), alpha, found.seeds, found.items)


def _p_values(found: Replicates, higher_is_better: bool) -> Array:
    """The one-sided p-value (R, R) of system j being better than system i, in row i and column j; 1 of itself."""
    count = len(found.mean)
    first, second = np.triu_indices(count, k=1)
    units = np.eye(count) if higher_is_better else -np.eye(count)
    gains = found.contrasts(units[second] - units[first])
    df, p_values = np.full((count, count), np.nan), np.ones((count, count))
    df[first, second] = df[second, first] = gains.df
    usual = np.nanmedian(df, axis=1)
    t, least = gains.t(), np.minimum(gains.df, np.minimum(usual[first], usual[second]))
    p_values[first, second] = np.where(t == 0, 1.0, stdtr(least, -t))
    p_values[second, first] = np.where(t == 0, 1.0, stdtr(least, t))
    return p_values


def _eliminated(p_values: Array, means: Array) -> dict[int, tuple[float, int]]:
    """By system, the adjusted p-value with which it leaves and the one that beats it, as if all but one had to leave.

    Of systems with one and the same p-value the lower mean leaves first, and the highest mean is named as better.
    """
    still = np.argsort(means, kind="stable").tolist()
    rounded, left, so_far = _rounded(p_values), {}, 0.0
    while len(still) > 1:
        inside = rounded[np.ix_(still, still)]
        worst = int(inside.min(axis=1).argmin())
        smallest = float(p_values[np.ix_([still[worst]], still)].min())
        so_far = min(1.0, max(so_far, len(still) * (len(still) - 1) * smallest))
        beaten_by = still[-1 - int(inside[worst, ::-1].argmin())]
        left[still.pop(worst)] = (so_far, beaten_by)
    left[still[0]] = (1.0, still[0])
    return left


def _rounded(p_values: Array) -> Array:
    """P-values to ten digits: those that rounding alone tells apart are the same, and which leaves first is settled."""
    unit = 10.0 ** np.floor(np.log10(np.maximum(p_values, np.finfo(np.float64).tiny)) - 9)
    return np.asarray(np.round(p_values / unit) * unit)


def _of_place(contrasts: Contrasts, place: int) -> StudentT:
    parts = (contrasts.estimate, contrasts.standard_error, contrasts.df)
    return StudentT(*(float(part[place]) for part in parts))

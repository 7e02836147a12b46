"""Which of several systems is best? The set of those that cannot be told from the best, and who is shown to be worse.

A system leaves the set if another is shown to be better than it: one-sided, paired by seed and item, and Bonferroni
over the others. The best one leaves only if an inferior one is wrongly shown to be better, so it is in the set with the
probability 1 - alpha or more, whatever the dependence: multiple comparisons with the best (Hsu, *Multiple Comparisons*,
1996, chapter 4). The model confidence set of Hansen, Lunde and Nason (Econometrica 2011) answers the same question.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from embalign.verdicts.frames import check_flag, check_level, checked
from embalign.verdicts.replicates import Replicates, replicates
from embalign.verdicts.statistics import StudentT


@dataclass(frozen=True)
class Standing:
    """One system: its mean, whether it may be the best, and its difference to the system with the best mean.

    `beaten_by` is the system that is shown to be better with the smallest p-value, None for one in the set; `p_value`
    is adjusted for the number of others.
    """

    system: Any
    mean: float
    in_set: bool
    difference: StudentT | None
    beaten_by: Any
    p_value: float


@dataclass(frozen=True)
class BestSet:
    """The standings, best mean first. `alpha` is the error rate of a best system that is left out of the set."""

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
    seeds. Raises ValueError for one system, fewer than two seeds, and values that do not pair or are not finite.

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
    if len(found.settings) < 2:
        raise ValueError(f"one system, {found.settings[0]!r}: there is nothing to compare it with")
    sign = 1.0 if higher_is_better else -1.0
    order = np.argsort(-sign * found.mean, kind="stable")
    standings = [_standing(found, int(place), int(order[0]), sign, alpha) for place in order]
    return BestSet(tuple(standings), alpha, found.seeds, found.items)


def _standing(found: Replicates, place: int, best: int, sign: float, alpha: float) -> Standing:
    others = [other for other in range(len(found.mean)) if other != place]
    gains = [_difference(found, other, place, sign) for other in others]
    p_values = [gain.p_greater() for gain in gains]
    worst = int(np.argmin(p_values))
    p_value = min(1.0, len(others) * p_values[worst])
    beaten = p_value <= alpha
    return Standing(
        system=found.settings[place],
        mean=float(found.mean[place]),
        in_set=not beaten,
        difference=None if place == best else _difference(found, place, best, 1.0),
        beaten_by=found.settings[others[worst]] if beaten else None,
        p_value=p_value,
    )


def _difference(found: Replicates, first: int, second: int, sign: float) -> StudentT:
    weights = np.zeros(len(found.mean))
    weights[first], weights[second] = sign, -sign
    return found.contrast(weights)

"""Does a map keep enough of what the teacher finds? A verdict on the ratio of two means over the same queries.

With a the map's nDCG@10 of a query and b the teacher's own, retention is mean(a) / mean(b), and it is at least `keep`
where the mean of a - keep b is at least 0. So the question is one about the mean of a linear contrast, and the interval
of the retention is all values of `keep` that the contrast rejects on neither side (Fieller, *Some problems in interval
estimation*, JRSS B 16, 1954, 175-185). Whole groups vary, not queries: each gives the sum of its queries' contrasts,
and these sums may be skewed (:mod:`embalign.verdicts.skewed`).

A mean of few groups looks too sure where a rare one fails as a whole and is not among them. So each side is judged as
if one group more had been seen that speaks against it, the idea behind adding pseudo-observations to a proportion
(Agresti & Coull, *Approximate is better than exact*, The American Statistician 52, 1998, 119-126). It is as far off as
the largest of

- two standard deviations of groups, times the mean size that a query sees over the mean size;
- a quarter of that mean size in queries, at least one, of which nothing is found; against a fail, of which twice as
  much is found as by the teacher;
- as many such queries as the largest group has above twice that mean size: where one is far larger than the others,
  others that are as large may be missing.

These sizes were set on draws from the shipped pairs, so that neither error is above 5 % on any of them.

`python benchmark/calibration/cutover.py` prints how often the verdict is wrong where the truth is known.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.lazy import lazy
from embalign.verdicts.frames import check_level, checked
from embalign.verdicts.paired import FEWEST, pair_values, refuse_few
from embalign.verdicts.skewed import SkewedT, skewed_t
from embalign.verdicts.statistics import detectable

brentq = lazy("scipy.optimize").brentq

RetentionKind = Literal["pass", "fail", "undecided"]
ALPHA = 0.05  # of a wrong pass, and of a wrong fail
POWER = 0.8
UNSEEN = 2.0  # standard deviations of groups, by which one that was not seen may be off
LOST = 0.25  # of the mean size that a query sees, in queries
LARGE = 2.0  # times the mean size that a query sees: from there on, the largest group is far larger than others
TWICE = 2.0  # what a map finds over what its teacher does, in queries that speak against a fail
MOST_MORE = 100  # times the queries that there are
HIGHEST = 1e3  # retention that is looked for: a teacher that finds next to nothing bounds it nowhere
ROUNDING = 1e-9  # above 1
DIGITS = 12  # of sums over a group
LEAST_SHARE = 1e-3  # of the variance: a million degrees of freedom are enough

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RetentionVerdict:
    """The judgement of a retention, all scores as means over the queries.

    `kind` is `pass` where it is shown to be at least `keep`, `fail` where it is shown to be less, each at level
    `alpha`, else `undecided`. `interval` has the level 1 - 2 alpha; its upper end is infinite where nothing bounds it.
    `p_pass` and `p_fail` are the one-sided p-values. Without groups each query is one; `effective_groups` is
    (sum n)^2 / sum n^2 of their sizes. `more_queries` says how many more of such queries would decide with power 0.8
    if the retention stays as it is: 0 where it is decided, None for more than a hundred times as many.
    """

    kind: RetentionKind
    retention: float
    interval: tuple[float, float]
    keep: float
    alpha: float
    p_pass: float
    p_fail: float
    of_map: float
    of_teacher: float
    queries: int
    groups: int
    effective_groups: float
    more_queries: int | None


@dataclass(frozen=True, eq=False)
class Groups:
    """Sums over the queries of each of G groups: their number, what the map finds, and what the teacher finds."""

    sizes: Array
    of_map: Array
    of_teacher: Array

    @property
    def effective(self) -> float:
        """The effective number of groups, (sum n)^2 / sum n^2."""
        return float(self.sizes.sum() ** 2 / np.square(self.sizes).sum())

    @property
    def seen(self) -> float:
        """The mean size that a query sees around it."""
        return float(self.sizes.sum()) / self.effective

    @property
    def retention(self) -> float:
        """The mean score of the map over that of the teacher."""
        return float(self.of_map.sum() / self.of_teacher.sum())

    def judge(self, keep: float, alpha: float = ALPHA) -> RetentionKind:
        """Return whether it is shown that so much is kept, or that less is."""
        p_pass, p_fail = self.p_values(keep)
        return "pass" if p_pass <= alpha else "fail" if p_fail <= alpha else "undecided"

    def p_values(self, keep: float) -> tuple[float, float]:
        """Return one-sided p-values of H0: less than `keep` is kept, and of H0: at least as much is."""
        found, (low, high) = skewed_t(self._contrasts(keep)), self._unseen(keep)
        return _with(found, low).p_greater(), (-_with(found, high)).p_greater()

    def to_decide(self, keep: float, alpha: float = ALPHA) -> float | None:
        """Return the queries of such groups that decide with power 0.8 if the retention stays.

        None stands for more than 101 times as many as there are.
        """
        contrasts = self._contrasts(keep)
        found, count = skewed_t(contrasts), len(contrasts)
        unseen = abs(self._unseen(keep)[0 if found.mean > 0 else 1])
        variance = float(contrasts.var(ddof=1))

        def lacking(log_times: float) -> float:
            size = math.exp(log_times) * count
            error = math.sqrt((variance + unseen**2 / size) / size)
            df = max(1.0, found.df * size / count)
            return float(detectable(df, alpha, POWER)) * error + unseen / size - abs(found.mean)

        least, most = math.log(min(1.0, FEWEST / count)), math.log(1.0 + MOST_MORE)
        if lacking(most) > 0:
            return None
        times = math.exp(brentq(lacking, least, most) if lacking(least) > 0 else least)
        return times * float(self.sizes.sum())

    def _contrasts(self, keep: float) -> Array:
        # In an order that those of the rows do not change, and without the rounding of sums.
        return np.sort(np.round(self.of_map - keep * self.of_teacher, DIGITS))

    def _unseen(self, keep: float) -> tuple[float, float]:
        """What one more group would sum up to that speaks against a pass, and one that speaks against a fail."""
        spread = UNSEEN * float(self._contrasts(keep).std(ddof=1)) * self.seen / float(self.sizes.mean())
        best = float(self.of_teacher.sum() / self.sizes.sum())
        queries = max(1.0, LOST * self.seen, float(self.sizes.max()) - LARGE * self.seen)
        lost, found = keep * best, max(0.0, min(1.0, TWICE * best) - keep * best)
        return -max(spread, queries * lost), max(spread, queries * found)


def _with(found: SkewedT, value: float) -> SkewedT:
    """Statistics with one value more, which is not drawn: its share of the variance has no error and no skewness.

    Degrees of freedom are then those of Satterthwaite (1946).
    """
    count, away = found.count, value - found.mean
    of_seen = found.standard_error**2 * count * (count - 1)
    squares = of_seen + away**2 * count / (count + 1)
    share = of_seen / squares if squares > 0 else 1.0
    return replace(
        found,
        mean=found.mean + away / (count + 1),
        standard_error=math.sqrt(squares / count / (count + 1)),
        df=found.df / max(share, LEAST_SHARE) ** 2,
        skewness=found.skewness * share**1.5,
    )


def judge_retention(
    mapped: pd.DataFrame, teacher: pd.DataFrame, keep: float, *, alpha: float = ALPHA
) -> RetentionVerdict:
    """Return the verdict on how much of the teacher's score a map keeps.

    Both frames have columns item, a query, and value, its nDCG@10 or another score from 0 to 1; that of the map may
    also have group, such as the query's topic: whole groups vary. Rows may come in any order. `keep` lies in (0, 1].
    Raises ValueError for rows that do not pair one to one, values outside 0 to 1, a teacher that finds nothing, and
    fewer than eight groups by their effective number; TypeError for what is no frame.

    >>> rng = np.random.default_rng(0)
    >>> teacher = pd.DataFrame({"item": range(400), "value": rng.uniform(0.4, 1.0, 400)})
    >>> mapped = teacher.assign(value=rng.uniform(0.9, 1.0, 400) * teacher["value"])
    >>> found = judge_retention(mapped, teacher, 0.9)
    >>> found.kind, [round(each, 3) for each in (found.retention, *found.interval)]
    ('pass', [0.95, 0.943, 0.954])
    """
    check_keep(keep)
    check_level(alpha, "alpha", 0, 0.5, open_below=True)
    groups = _groups(mapped, teacher)
    refuse_few(groups.effective, "group")
    p_pass, p_fail = groups.p_values(keep)
    kind = groups.judge(keep, alpha)
    queries = int(groups.sizes.sum())
    return RetentionVerdict(
        kind=kind,
        retention=groups.retention,
        interval=_interval(groups, keep, kind, alpha),
        keep=float(keep),
        alpha=alpha,
        p_pass=p_pass,
        p_fail=p_fail,
        of_map=float(groups.of_map.sum() / queries),
        of_teacher=float(groups.of_teacher.sum() / queries),
        queries=queries,
        groups=len(groups.sizes),
        effective_groups=groups.effective,
        more_queries=0 if kind != "undecided" else _more_queries(groups, keep, alpha),
    )


def check_keep(keep: object) -> None:
    """Raise ValueError for what is no number in (0, 1]."""
    check_level(keep, "keep", 0, math.nextafter(1.0, 2.0), open_below=True)


def _groups(mapped: pd.DataFrame, teacher: pd.DataFrame) -> Groups:
    """Sums by group, in an order that the order of the rows does not change. Raises ValueError."""
    names = ("map", "teacher")
    mapped, teacher = (
        checked(frame, name, ("item", "value"), ("group",))
        for frame, name in zip((mapped, teacher), names, strict=True)
    )
    both = pair_values(mapped, teacher, ["item"], names)
    for name, column in zip(names, ("value", "value_of_control"), strict=True):
        if (wrong := ~both[column].between(0, 1 + ROUNDING)).any():
            value, item = both.loc[wrong, column].iloc[0], both.loc[wrong, "item"].iloc[0]
            raise ValueError(f"the {name} has {value:.6g} for {item}: a score lies between 0 and 1")
    if not both["value_of_control"].sum() > 0:
        raise ValueError("the teacher's own search finds nothing, so there is nothing to keep")
    ordered = both.sort_values(["value", "value_of_control"])
    sums = ordered.groupby("group" if "group" in both else "item").agg(
        sizes=("item", "size"), of_map=("value", "sum"), of_teacher=("value_of_control", "sum")
    )
    sums = sums.sort_values(["of_map", "of_teacher", "sizes"])
    return Groups(*(sums[name].to_numpy(np.float64) for name in ("sizes", "of_map", "of_teacher")))


def _interval(groups: Groups, keep: float, kind: RetentionKind, alpha: float) -> tuple[float, float]:
    """The retentions that are rejected on neither side. They hold the verdict: `keep` is outside if it is decided."""

    def unlike_pass(value: float) -> float:
        return groups.p_values(value)[0] - alpha

    def unlike_fail(value: float) -> float:
        return groups.p_values(value)[1] - alpha

    ratio = groups.retention
    low, high = (keep, ratio) if kind == "pass" else (0.0, min(keep, ratio))
    lower = brentq(unlike_pass, low, high) if unlike_pass(low) < 0 < unlike_pass(high) else low
    low, high = (ratio, keep) if kind == "fail" else (max(keep, ratio), HIGHEST)
    if kind != "fail" and unlike_fail(high) > 0:
        return float(lower), math.inf
    upper = brentq(unlike_fail, low, high) if unlike_fail(high) < 0 < unlike_fail(low) else high
    return float(lower), float(upper)


def _more_queries(groups: Groups, keep: float, alpha: float) -> int | None:
    queries = groups.to_decide(keep, alpha)
    return None if queries is None else max(1, math.ceil(queries - groups.sizes.sum()))

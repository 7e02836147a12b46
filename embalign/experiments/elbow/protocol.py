"""What experiment 1 judges, fixed before any run: curves, margins and recipes."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from embalign.evaluation.results import Results
from embalign.pairs.texts import Basis
from embalign.verdicts.basis import BY_TEACHER, named
from embalign.verdicts.elbow import ElbowVerdict, judge_elbow
from embalign.verdicts.enough import smallest_sufficient
from embalign.verdicts.metrics import ALIGNMENT, BY_DEPLOYMENT, JUDGED, METRICS
from embalign.verdicts.metrics import PRIMARY as PRIMARY_METRIC
from embalign.verdicts.sanity import Suspicion, suspect
from embalign.verdicts.use import NO_MAP, Use, compare, judge_uses

# The curve of the headline, and the metrics that are reported beside it.
PRIMARY = {"policy": "random", "budget": "tuned", "metric": PRIMARY_METRIC}
BESIDE = (ALIGNMENT, *(metric for metric in BY_DEPLOYMENT.values() if metric != PRIMARY_METRIC))
# A loss within 5 % of the gain from no training to all data does not matter; the report also says what 1 and 10 % give.
MARGIN_SHARE = 0.05
OTHER_SHARES = (0.01, 0.10)
ALPHA = 0.05
BUDGETS = {"tuned": "tuned steps", "steps": "fixed steps", "epochs": "fixed epochs", "closed_form": "ridge"}
BESIDE_BUDGETS = ("steps", "closed_form")  # the recipes that the answer names beside the headline's
FEWEST_DRAWS = 1.0  # of each item, that a training is judged from
POLICIES = ("random", "density", "coverage", "sparse", "kcenter", "facility")  # any other is of one's own


@dataclass(frozen=True)
class Judged:
    """One curve's verdict, or the reason there is none, with the gain that its margin is a share of.

    `pairs` is the number of training pairs at 100 %, `dimension` that of the draft's vectors (0: unknown), and
    `recommended` maps further shares of the gain to the ratio recommended at them, none where there is no gain. `basis`
    is what says which texts are relevant.
    """

    policy: str
    budget: str
    metric: str
    gain: float
    verdict: ElbowVerdict | None
    reason: str = ""
    pairs: int = 0
    dimension: int = 0
    recommended: dict[float, float] = field(default_factory=dict)
    basis: Basis = "labels"

    @property
    def named(self) -> str:
        """What the metric is called in a sentence that stands alone."""
        return named(self.metric, self.basis)

    @property
    def unseen(self) -> tuple[float, float] | None:
        """The ratio whose difference to all of the data decides what is enough, and the least that is seen of it there.

        That is the largest ratio not shown to be enough; the difference is found with power 0.8, after Holm over the
        ratios. None where every ratio is shown to be enough.
        """
        if (verdict := self.verdict) is None:
            return None
        enough = 1.0 if verdict.recommended_ratio is None else verdict.recommended_ratio
        smaller = [ratio for ratio in verdict.loss if ratio < enough]
        if not smaller:
            return None
        return max(smaller), verdict.loss[max(smaller)].minimum_detectable_effect(ALPHA / len(verdict.loss))


@dataclass(frozen=True)
class Judgement:
    """All that experiment 1 says: suspicions first, then the map of all data in each deployment, then its curves.

    With a fatal suspicion there is no verdict. `uses` holds the map of the headline's recipe by deployment, and
    `unused` the reason for one that could not be judged; `ridge` is the closed form in the same places. `better_from`
    is the smallest ratio from which on every map is shown to be better than no map, for deployments that have one.
    `basis` is what says which texts are relevant.
    """

    suspicions: list[Suspicion]
    uses: dict[str, Use]
    ridge: dict[str, Use]
    unused: dict[str, str]
    curves: list[Judged]
    better_from: dict[str, float] = field(default_factory=dict)
    basis: Basis = "labels"

    @property
    def by_teacher(self) -> bool:
        """Whether relevant is what the teacher itself finds."""
        return self.basis == BY_TEACHER

    @property
    def fatal(self) -> list[Suspicion]:
        """The suspicions that leave no verdict."""
        return [suspicion for suspicion in self.suspicions if suspicion.fatal]

    @property
    def primary(self) -> Judged:
        """The curve of the headline."""
        return primary_of(self.curves)

    @property
    def beside(self) -> dict[str, Judged]:
        """The same curve by other recipes, as far as they were measured."""
        found = {name: find_curve(self.curves, PRIMARY["policy"], name, PRIMARY["metric"]) for name in BESIDE_BUDGETS}
        return {name: curve for name, curve in found.items() if curve is not None}

    def in_use(self, deployment: str, budget: str = PRIMARY["budget"]) -> Judged | None:
        """Return the curve of random selection in a deployment, by default of the headline's recipe."""
        return find_curve(self.curves, PRIMARY["policy"], budget, BY_DEPLOYMENT[deployment])

    def use_of(self, curve: Judged) -> Use | None:
        """Return the map in the deployment that a curve is of, None for a curve of no deployment or not judged."""
        return next((use for name, use in self.uses.items() if BY_DEPLOYMENT[name] == curve.metric), None)


def judge(
    measured: Results, references: Results, rows: Mapping[str, float] | None = None, basis: Basis = "labels"
) -> Judgement:
    """Return what is said of a pair from the maps on every share and their references.

    `rows` says whether draft and teacher belong to the same texts, `basis` what says which texts are relevant: see
    :func:`embalign.verdicts.sanity.suspect`.
    """
    whole = measured.where(ratio=1, policy=PRIMARY["policy"])
    trained = whole.where(budget=PRIMARY["budget"])
    against = {str(name): references.where(reference=name) for name in references.frame["reference"].unique()}
    suspicions = suspect(trained, against, rows, basis)
    if any(suspicion.fatal for suspicion in suspicions):
        keys = measured.frame.groupby(["policy", "budget"], sort=False).groups
        reason = "the data are suspicious"
        curves = [
            Judged(policy, budget, metric, math.nan, None, reason) for policy, budget in keys for metric in JUDGED
        ]
        return Judgement(suspicions, {}, {}, {}, curves, basis=basis)
    uses, unused = judge_uses(trained, against)
    ridge, _ = judge_uses(whole.where(budget="closed_form"), against)
    primary = measured.where(policy=PRIMARY["policy"], budget=PRIMARY["budget"])
    better_from = {
        name: ratio
        for name in uses
        if (ratio := _better_from(primary, against[NO_MAP], BY_DEPLOYMENT[name])) is not None
    }
    curves = [dataclasses.replace(found, basis=basis) for found in judge_curves(measured, references)]
    return Judgement(suspicions, uses, ridge, unused, curves, better_from, basis)


def _better_from(curve: Results, no_map: Results, metric: str) -> float | None:
    """Return the smallest ratio that beats no map, as every larger one does; None if all of the data do not.

    Each is tested at 5 %, one-sided, from 100 % down until one fails: a fixed sequence needs no correction.
    """
    found = None
    for ratio in sorted(set(curve.frame["ratio"]), reverse=True):
        try:
            shown = compare(curve.where(ratio=ratio), no_map, metric).lower_bound() > 0
        except ValueError:
            shown = False
        if not shown:
            return found
        found = float(ratio)
    return found


def judge_curves(measured: Results, references: Results) -> list[Judged]:
    """Return the verdict of every policy, budget and metric; the margin is 5 % of the gain from no training to all."""
    judged = []
    for policy, budget in measured.frame.groupby(["policy", "budget"], sort=False).groups:
        curve = measured.where(policy=policy, budget=budget)
        pairs, dimension = _pairs_and_dimension(curve.frame)
        for metric in JUDGED:
            try:
                _check_draws(curve.frame)
                origin = origin_of(references, metric)
                gain = float(curve.where(ratio=1).frame[metric].mean() - origin["value"].mean())
                within = max(gain, 0.0)
                verdict = judge_elbow(
                    curve.long(metric, "ratio", "n_train"),
                    margin=MARGIN_SHARE * within,
                    origin=origin,
                    dimension=dimension or None,
                )
            except ValueError as error:
                judged.append(Judged(policy, budget, metric, math.nan, None, str(error)))
                continue
            shares = () if verdict.kind == "no_gain" else OTHER_SHARES
            recommended = {share: smallest_sufficient(verdict.loss, share * within) for share in shares}
            judged.append(Judged(policy, budget, metric, gain, verdict, "", pairs, dimension, recommended))
    return judged


def _check_draws(curve: pd.DataFrame) -> None:
    """Raises ValueError for maps whose training has not seen all of its items."""
    draws = curve.get("draws_over_n", pd.Series(dtype=float)).dropna()
    if len(draws) and (least := float(draws.min())) < FEWEST_DRAWS:
        raise ValueError(f"its training draws each item {least:.2g} times, so it has not seen all of the data")


def _pairs_and_dimension(curve: pd.DataFrame) -> tuple[int, int]:
    """Number of training pairs at the largest ratio, and the dimension of the draft."""
    largest = curve.loc[curve["n_train"].idxmax()]
    dimension = round(largest["n_train"] / largest["n_over_d"]) if "n_over_d" in curve else 0
    return int(largest["n_train"]), dimension


def origin_of(references: Results, metric: str) -> pd.DataFrame:
    """Return the values of a metric without training data, by seed (and item): those of its best origin.

    Raises ValueError if none was measured.
    """
    columns = references.frame.reindex(columns=["reference", metric])
    levels = columns.groupby("reference")[metric].mean().reindex(METRICS[metric].origin).dropna()
    if levels.empty:
        raise ValueError(f"no reference says what {METRICS[metric].label} is without training data")
    return references.where(reference=levels.idxmax()).long(metric)


def find_curve(judged: list[Judged], policy: str, budget: str, metric: str) -> Judged | None:
    """Return that curve, or None."""
    wanted = (policy, budget, metric)
    return next((found for found in judged if (found.policy, found.budget, found.metric) == wanted), None)


def primary_of(judged: list[Judged]) -> Judged:
    """Return the curve of the headline."""
    policy, budget, metric = PRIMARY.values()
    unmeasured = Judged(policy, budget, metric, math.nan, None, "none of its cells could be measured")
    return find_curve(judged, policy, budget, metric) or unmeasured


def budget_names(measured: Results) -> dict[str, str]:
    """Return what reports call each budget: those known, then maps of one's own by the name of their function."""
    return BUDGETS | {name: name for name in dict.fromkeys(measured.frame["budget"]) if name not in BUDGETS}

"""A family of contrasts between arms of one experiment: each judged by itself, then adjusted for their number."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from embalign.evaluation.results import Results
from embalign.verdicts.ab import ABKind, ABVerdict, Direction, after_holm, below_margin, judge_ab
from embalign.verdicts.metrics import METRICS
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT, holm

# How loss terms are set: convention, strength, and the start of the maps that are trained with them.
TermSetting = tuple[str, float, str]
GRADIENT_RATIO = "gradient_ratio"  # of the added term to the cosine loss
# The start of maps that have none, such as ridge: they are held against trained maps of every start.
NO_START = "none"


@dataclass(frozen=True)
class Planned:
    """A contrast that is to be tested: a treatment against a control, at one setting of both.

    Both sides that are trained start alike, at `init`; it is "" where a grid does not vary the start. A control without
    a setting of its own (`control_has_setting` False) is the same at every setting.
    """

    treatment: str
    control: str
    convention: str
    strength: float
    init: str
    control_has_setting: bool


@dataclass(frozen=True)
class Contrast:
    """One tested difference between two arms on one metric; `p_holm` is adjusted over settings and metrics.

    It is `inert` where the term of one side hardly had a gradient: whatever the verdict, it is no evidence.
    """

    treatment: str
    control: str
    convention: str
    strength: float
    init: str
    metric: str
    verdict: ABVerdict
    p_holm: float
    inert: bool = False

    @property
    def setting(self) -> TermSetting:
        """How the terms of both sides are set."""
        return self.convention, self.strength, self.init

    @property
    def kind(self) -> ABKind:
        """The verdict's kind after Holm's adjustment."""
        return after_holm(self.verdict, self.p_holm)

    @property
    def below_margin(self) -> Direction | None:
        """Whether an equivalent difference is shown to be better or worse all the same, after Holm's adjustment."""
        return below_margin(self.verdict, self.p_holm, higher_is_better=METRICS[self.metric].higher_is_better)

    @property
    def words(self) -> str:
        """The verdict as reports say it: ``inert``, ``worse, below the margin``, or its kind."""
        if self.inert:
            return "inert"
        return f"{self.below_margin}, below the margin" if self.below_margin else self.kind

    def as_record(self) -> dict[str, Any]:
        """Return the contrast as verdict.json has it."""
        fields = dataclasses.asdict(self) | {"kind": self.kind, "below_margin": self.below_margin}
        return {"weight" if name == "strength" else name: value for name, value in fields.items()}


def judge_contrasts(
    measured: Results, planned: Sequence[Planned], margins: Mapping[str, float], *, inert_below: float = 0.0
) -> list[Contrast]:
    """Return the verdict of every planned contrast on every metric of `margins`.

    A family is a treatment and a control: Holm's adjustment runs over its settings and metrics. Contrasts whose arms
    were not measured, or not on the same seeds, are left out. Those of a term whose gradient, over that of the cosine
    loss, is below `inert_below` are inert: they are no tests of a family, and none of them is ever better or worse.
    """
    contrasts: list[Contrast] = []
    for family in dict.fromkeys((plan.treatment, plan.control) for plan in planned):
        plans = [plan for plan in planned if (plan.treatment, plan.control) == family]
        sides = {plan: _sides(measured, plan) for plan in plans}
        inert = {plan for plan in plans if any(_is_inert(side, inert_below) for side in sides[plan])}
        count = max(1, len(plans) - len(inert)) * len(margins)
        judged = {
            (plan, metric): compare_arms(*sides[plan], metric, margin, family=count)
            for plan in plans
            for metric, margin in margins.items()
        }
        found = {key: verdict for key, verdict in judged.items() if verdict is not None}
        tested = {key: verdict.p_value for key, verdict in found.items() if key[0] not in inert}
        adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
        contrasts += [
            Contrast(
                *family,
                plan.convention,
                plan.strength,
                plan.init,
                metric,
                verdict,
                p_holm=adjusted.get((plan, metric), 1.0),
                inert=plan in inert,
            )
            for (plan, metric), verdict in found.items()
        ]
    return contrasts


def _sides(measured: Results, plan: Planned) -> tuple[Results, Results]:
    """The cells of a contrast's treatment and control."""
    of_start = measured.where(init=[plan.init, NO_START]) if plan.init else measured
    setting = {"convention": plan.convention, "lambda": plan.strength}
    treated = of_start.where(arm=plan.treatment, **setting)
    return treated, of_start.where(arm=plan.control, **(setting if plan.control_has_setting else {}))


def _is_inert(arm: Results, below: float) -> bool:
    """Whether an arm has a term, and one that hardly pulled at the map: its mean gradient ratio over cells."""
    frame = arm.frame
    if GRADIENT_RATIO not in frame or not (frame["convention"] != "none").all():
        return False
    return bool(frame[GRADIENT_RATIO].mean() < below)


def compare_arms(
    treated: Results, against: Results, metric: str, margin: float, *, family: int = 1
) -> ABVerdict | None:
    """Return the verdict on two arms, or None where they do not pair."""
    if treated.frame.empty or against.frame.empty:
        return None
    try:
        pair = over_draws(treated, metric), over_draws(against, metric)
        return judge_ab(*pair, margin=margin, higher_is_better=METRICS[metric].higher_is_better, family=family)
    except ValueError:
        return None


def over_draws(rows: Results, metric: str) -> pd.DataFrame:
    """Return one value a seed (and item), the mean over the random draws of an arm: columns seed, item and value."""
    frame = rows.long(metric)
    return frame.groupby([name for name in frame.columns if name != "value"], as_index=False)["value"].mean()


def mean_of(rows: Results, metric: str) -> StudentT | None:
    """Return the mean of an arm over seeds, items and draws with its crossed standard error, None for a single value.

    Its interval covers other held-out topics as well as other seeds, so it is wider than that of a paired difference.
    """
    try:
        return replicates(over_draws(rows, metric).assign(arm="one"), "arm").contrast([1.0])
    except ValueError:
        return None


def find(
    contrasts: Sequence[Contrast], treatment: str, control: str, setting: TermSetting, metric: str
) -> Contrast | None:
    """Return that contrast, or None."""
    wanted = (treatment, control, setting, metric)
    return next((c for c in contrasts if (c.treatment, c.control, c.setting, c.metric) == wanted), None)


def by_strength(settings: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return settings whose last part is a strength once each, from the weakest; other parts stay as they come first.

    >>> by_strength([("small", 0.1), ("small", 1.0), ("linear", 0.1), ("small", 0.01)])
    [('small', 0.01), ('small', 0.1), ('small', 1.0), ('linear', 0.1)]
    """
    once = list(dict.fromkeys(settings))
    places = [{part: place for place, part in reversed(list(enumerate(parts)))} for parts in zip(*once, strict=True)]
    return sorted(once, key=lambda each: (*(of[part] for of, part in zip(places[:-1], each, strict=False)), each[-1]))


def by_setting(contrasts: Sequence[Contrast]) -> list[list[Contrast]]:
    """Return contrasts grouped by treatment, control and setting: the metrics of one comparison side by side.

    Groups are in the order of the contrasts, but for the strength, which rises.
    """
    groups: dict[tuple[Any, ...], list[Contrast]] = {}
    for found in contrasts:
        key = found.treatment, found.control, found.init, found.convention, found.strength
        groups.setdefault(key, []).append(found)
    return [groups[key] for key in by_strength(groups)]

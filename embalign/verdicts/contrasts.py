"""A family of contrasts between arms of one experiment: each judged by itself, then adjusted for their number."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from embalign.evaluation.results import Results
from embalign.verdicts.ab import ABKind, ABVerdict, after_holm, judge_ab
from embalign.verdicts.metrics import METRICS
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT, holm


@dataclass(frozen=True)
class Planned:
    """A contrast that is to be tested: a treatment against a control, at one setting of both.

    A control without a setting of its own (`control_has_setting` False) is the same at every setting.
    """

    treatment: str
    control: str
    convention: str
    strength: float
    control_has_setting: bool


@dataclass(frozen=True)
class Contrast:
    """One tested difference between two arms on one metric; `p_holm` is adjusted over settings and metrics."""

    treatment: str
    control: str
    convention: str
    strength: float
    metric: str
    verdict: ABVerdict
    p_holm: float

    @property
    def kind(self) -> ABKind:
        """The verdict's kind after Holm's adjustment."""
        return after_holm(self.verdict, self.p_holm)

    def as_record(self) -> dict[str, Any]:
        """Return the contrast as verdict.json has it."""
        fields = dataclasses.asdict(self) | {"kind": self.kind}
        return {"weight" if name == "strength" else name: value for name, value in fields.items()}


def judge_contrasts(measured: Results, planned: Sequence[Planned], margins: Mapping[str, float]) -> list[Contrast]:
    """Return the verdict of every planned contrast on every metric of `margins`.

    A family is a treatment and a control: Holm's adjustment runs over its settings and metrics. Contrasts whose arms
    were not measured, or not on the same seeds, are left out.
    """
    contrasts: list[Contrast] = []
    for family in dict.fromkeys((plan.treatment, plan.control) for plan in planned):
        plans = [plan for plan in planned if (plan.treatment, plan.control) == family]
        tested = []
        for plan in plans:
            setting = {"convention": plan.convention, "lambda": plan.strength}
            treated = measured.where(arm=plan.treatment, **setting)
            against = measured.where(arm=plan.control, **(setting if plan.control_has_setting else {}))
            for metric, margin in margins.items():
                verdict = compare_arms(treated, against, metric, margin, family=len(plans) * len(margins))
                if verdict is not None:
                    tested.append((plan, metric, verdict))
        adjusted = holm([verdict.p_value for *_, verdict in tested])
        contrasts += [
            Contrast(*family, plan.convention, plan.strength, metric, verdict, p)
            for (plan, metric, verdict), p in zip(tested, adjusted, strict=True)
        ]
    return contrasts


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
    contrasts: Sequence[Contrast], treatment: str, control: str, setting: tuple[str, float], metric: str
) -> Contrast | None:
    """Return that contrast, or None."""
    wanted = (treatment, control, *setting, metric)
    return next((c for c in contrasts if (c.treatment, c.control, c.convention, c.strength, c.metric) == wanted), None)


def by_setting(contrasts: Sequence[Contrast]) -> list[list[Contrast]]:
    """Return contrasts grouped by treatment, control and setting: the metrics of one comparison side by side."""
    groups: dict[tuple[str, str, str, float], list[Contrast]] = {}
    for found in contrasts:
        groups.setdefault((found.treatment, found.control, found.convention, found.strength), []).append(found)
    return list(groups.values())

"""What experiment 1 judges, fixed before any run: curves, margins, and the claim that the densest items come first."""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from embalign.evaluation.results import Results
from embalign.verdicts.elbow import ElbowVerdict, judge_elbow, smallest_sufficient
from embalign.verdicts.metrics import ALIGNMENT, HEADLINES, JUDGED, METRICS, RETRIEVAL
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT, holm

# The curve of the headline, and the metric that is reported beside it.
PRIMARY = {"policy": "random", "budget": "steps", "metric": ALIGNMENT}
SECOND_METRIC = RETRIEVAL
# A loss within 5 % of the gain from no data to all of it does not matter; the report also says what 1 and 10 % give.
MARGIN_SHARE = 0.05
OTHER_SHARES = (0.01, 0.10)
ALPHA = 0.05
BUDGETS = {"steps": "fixed steps", "epochs": "fixed epochs", "closed_form": "ridge"}
CLAIMED, AGAINST = "density", "random"

Answer = Literal["supported", "refuted", "not settled"]


@dataclass(frozen=True)
class Judged:
    """One curve's verdict, or the reason there is none, with the gain that its margin is a share of.

    `recommended` maps further shares of the gain to the ratio recommended at them.
    """

    policy: str
    budget: str
    metric: str
    gain: float
    verdict: ElbowVerdict | None
    reason: str = ""
    recommended: dict[float, float] = field(default_factory=dict)

    @property
    def all_smaller_worse(self) -> bool:
        """Whether every ratio below the recommended one is shown to lose more than the margin."""
        if (verdict := self.verdict) is None:
            return False
        smaller = [loss for ratio, loss in verdict.loss.items() if ratio < verdict.recommended_ratio]
        return all(loss.lower_bound() > verdict.margin for loss in smaller)


@dataclass(frozen=True)
class Comparison:
    """Gain share of density minus that of random selection at one ratio, and what is said of it after Holm."""

    metric: str
    ratio: float
    share: float
    difference: StudentT
    p_better: float
    p_worse: float

    @property
    def word(self) -> str:
        """What the test says."""
        return "better" if self.p_better <= ALPHA else "worse" if self.p_worse <= ALPHA else "not settled"


def judge_curves(measured: Results, references: pd.DataFrame) -> list[Judged]:
    """Return the verdict of every policy, budget and metric; the margin is 5 % of the gain from no data to all."""
    judged = []
    for policy, budget in measured.frame.groupby(["policy", "budget"], sort=False).groups:
        curve = measured.where(policy=policy, budget=budget)
        for metric in JUDGED:
            gain = whole_gain(curve, references, metric)
            try:
                verdict = judge_elbow(curve.long(metric, "ratio", "n_train"), margin=MARGIN_SHARE * max(gain, 0.0))
            except ValueError as error:
                judged.append(Judged(policy, budget, metric, gain, None, str(error)))
                continue
            recommended = {share: smallest_sufficient(verdict.loss, share * max(gain, 0.0)) for share in OTHER_SHARES}
            judged.append(Judged(policy, budget, metric, gain, verdict, recommended=recommended))
    return judged


def find_curve(judged: list[Judged], policy: str, budget: str, metric: str) -> Judged | None:
    """Return that curve, or None."""
    wanted = (policy, budget, metric)
    return next((found for found in judged if (found.policy, found.budget, found.metric) == wanted), None)


def primary_of(judged: list[Judged]) -> Judged:
    """Return the curve of the headline."""
    policy, budget, metric = PRIMARY.values()
    unmeasured = Judged(policy, budget, metric, 0.0, None, "none of its cells could be measured")
    return find_curve(judged, policy, budget, metric) or unmeasured


def whole_gain(measured: Results, references: pd.DataFrame, metric: str) -> float:
    """Return m(1) - m(0): the mean at 100 % minus what no data gives."""
    origin = references.loc[references["reference"] == METRICS[metric].origin, metric].mean()
    return float(measured.where(ratio=1).frame[metric].mean() - origin)


def compare_density(measured: Results, references: pd.DataFrame, budget: str) -> list[Comparison]:
    """Return density against random selection at every ratio below 1, Holm over ratios and metrics."""
    chosen = measured.where(budget=budget, policy=[CLAIMED, AGAINST])
    found = []
    for metric in HEADLINES:
        gain = whole_gain(chosen, references, metric)
        if not gain > 0:
            continue
        at_all = chosen.where(ratio=1).frame[metric].mean()
        for ratio in sorted(set(chosen.frame["ratio"]) - {1.0}):
            at_ratio = chosen.where(ratio=ratio)
            frame = at_ratio.long(metric, "policy")
            frame["value"] /= gain
            try:
                pair = replicates(frame, "policy")
                difference = pair.contrast(pair.difference(CLAIMED, AGAINST))
            except ValueError:
                continue
            share = 1 - (at_all - at_ratio.where(policy=CLAIMED).frame[metric].mean()) / gain
            found.append((metric, float(ratio), float(share), difference))
    better = holm([difference.p_greater() for *_, difference in found])
    worse = holm([(-difference).p_greater() for *_, difference in found])
    return [Comparison(*each, up, down) for each, up, down in zip(found, better, worse, strict=True)]


def claim_answer(comparisons: list[Comparison]) -> Answer:
    """Return what the comparisons of one metric say of "the densest items first are better than random ones".

    Supported if better at most of the ratios and worse at none, refuted if worse at most and better at none.
    """
    words = [comparison.word for comparison in comparisons]
    if words.count("better") > len(words) / 2 and "worse" not in words:
        return "supported"
    if words.count("worse") > len(words) / 2 and "better" not in words:
        return "refuted"
    return "not settled"

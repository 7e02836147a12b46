"""Which curves of experiment 1 are judged, at which margins, and the claim that the densest items come first."""

from __future__ import annotations

import dataclasses
from typing import Literal

import pandas as pd

from embalign.experiments.tables import long_frame
from embalign.verdicts.elbow import ElbowVerdict, judge_elbow, smallest_sufficient
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT, holm

PRIMARY = {"policy": "random", "budget": "steps", "metric": "cosine_mean"}
MARGIN_SHARE = 0.05
OTHER_SHARES = (0.01, 0.10)
ALPHA = 0.05
# What a map is worth at no data: the constant predictor for similarity, measured chance for retrieval.
ORIGIN = {"cosine_mean": "mean_vector", "spearman": "mean_vector", "recall_at_1": "chance", "mrr": "chance"}
BUDGETS = {"steps": "fixed steps", "epochs": "fixed epochs", "closed_form": "ridge"}
CLAIM_METRICS = ("cosine_mean", "recall_at_1")

Answer = Literal["supported", "refuted", "not settled"]


@dataclasses.dataclass(frozen=True)
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
    recommended: dict[float, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
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


def judge_all(measured: pd.DataFrame, references: pd.DataFrame) -> list[Judged]:
    """Return the verdict of every policy, budget and metric; the margin is 5 % of the gain from no data to all."""
    judged = []
    for (policy, budget), group in measured.groupby(["policy", "budget"], sort=False):
        for metric in ORIGIN:
            gain = whole_gain(group, references, metric)
            curve = long_frame(group, metric, "ratio", "n_train")
            try:
                verdict = judge_elbow(curve, margin=MARGIN_SHARE * max(gain, 0.0))
            except ValueError as error:
                judged.append(Judged(policy, budget, metric, gain, None, str(error)))
                continue
            recommended = {share: smallest_sufficient(verdict.loss, share * max(gain, 0.0)) for share in OTHER_SHARES}
            judged.append(Judged(policy, budget, metric, gain, verdict, recommended=recommended))
    return judged


def whole_gain(measured: pd.DataFrame, references: pd.DataFrame, metric: str) -> float:
    """Return m(1) - m(0): the mean at 100 % over what no data gives."""
    origin = references.loc[references["reference"] == ORIGIN[metric], metric].mean()
    return float(measured.loc[measured["ratio"] == 1, metric].mean() - origin)


def held_out_by_step(trajectory: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out mean cosine over seeds, one row a ratio and one column a training step."""
    prefix = "cosine_mean_step"
    columns = {name: int(name.removeprefix(prefix)) for name in trajectory.columns if name.startswith(prefix)}
    return trajectory.groupby("ratio")[list(columns)].mean().rename(columns=columns)


def compare_density(measured: pd.DataFrame, references: pd.DataFrame, budget: str) -> list[Comparison]:
    """Return density against random selection at every ratio below 1, Holm over ratios and metrics."""
    chosen = measured[(measured["budget"] == budget) & measured["policy"].isin(["density", "random"])]
    found = []
    for metric in CLAIM_METRICS:
        gain = whole_gain(chosen, references, metric)
        if not gain > 0:
            continue
        for ratio, group in chosen[chosen["ratio"] < 1].groupby("ratio"):
            frame = long_frame(group, metric, "policy")
            try:
                pair = replicates(frame.assign(value=frame["value"] / gain), "policy")
                difference = pair.contrast(pair.difference("density", "random"))
            except ValueError:
                continue
            density = group.loc[group["policy"] == "density", metric].mean()
            share = 1 - (chosen.loc[chosen["ratio"] == 1, metric].mean() - density) / gain
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

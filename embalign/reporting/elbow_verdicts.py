"""Which curves of experiment 1 are judged, at which margin, and the answer in words."""

from __future__ import annotations

import dataclasses

import pandas as pd

from embalign.reporting.tables import percent
from embalign.verdicts.elbow import ElbowVerdict, judge_elbow

PRIMARY = {"policy": "random", "budget": "steps", "metric": "cosine_mean"}
MARGIN_SHARE = 0.05
# What a map is worth at no data: the constant predictor for similarity, measured chance for retrieval.
ORIGIN = {"cosine_mean": "mean_vector", "spearman": "mean_vector", "recall_at_1": "chance", "mrr": "chance"}
NAMES = {"cosine_mean": "mean cosine", "spearman": "Spearman", "recall_at_1": "Recall@1", "mrr": "MRR"}
BUDGETS = {"steps": "fixed steps", "epochs": "fixed epochs", "closed_form": "ridge"}


@dataclasses.dataclass(frozen=True)
class Judged:
    """One curve's verdict, or the reason there is none, with the gain that its margin is a share of."""

    policy: str
    budget: str
    metric: str
    gain: float
    verdict: ElbowVerdict | None
    reason: str = ""


def judge_all(measured: pd.DataFrame, references: pd.DataFrame) -> list[Judged]:
    """Return the verdict of every policy, budget and metric; the margin is 5 % of the gain from no data to all."""
    origins = references.groupby("reference").mean(numeric_only=True)
    judged = []
    for (policy, budget), group in measured.groupby(["policy", "budget"], sort=False):
        for metric, origin in ORIGIN.items():
            gain = group.loc[group["ratio"] == 1, metric].mean() - origins.loc[origin, metric]
            curve = group[["ratio", "seed", metric]].rename(columns={metric: "value"})
            try:
                verdict = judge_elbow(curve, margin=MARGIN_SHARE * max(gain, 0.0))
                judged.append(Judged(policy, budget, metric, gain, verdict))
            except ValueError as error:
                judged.append(Judged(policy, budget, metric, gain, None, str(error)))
    return judged


def answer(found: Judged) -> tuple[str, str]:
    """Return the answer in two sentences: elbow or none, and the recommended ratio."""
    where = f"{NAMES[found.metric]}, {found.policy} selection, {BUDGETS[found.budget]}"
    verdict = found.verdict
    if verdict is None:
        return f"No verdict ({where}): {found.reason}.", "No ratio is recommended."
    spans = verdict.elbow_interval or (1.0, 1.0)
    first = {
        "elbow": f"Returns at least halve at {percent(verdict.elbow or 1)} of the data (candidates "
        f"{percent(spans[0])} to {percent(spans[1])})",
        "gradual": "There is no elbow: more data goes on helping, with no ratio where returns are shown to halve",
        "flat": "There is no elbow: no effect of the amount of data was found",
        "declining": "There is no elbow: a smaller share of the data beats all of it",
        "unidentifiable": "Whether there is an elbow cannot be told from so few ratios or seeds",
    }[verdict.kind]
    low, high = verdict.recommended_interval
    within = f"within {percent(MARGIN_SHARE)} of the whole gain ({verdict.margin:.4f})"
    if verdict.saturated:
        second = f"Recommended ratio: {percent(high)}, the smallest shown to stay {within} of 100 %"
        second += f"; the data do not rule out {percent(low)}." if low < high else "; every smaller one is worse."
    else:
        second = f"Recommended ratio: 100 %, not saturated; no smaller ratio is shown to stay {within}."
    return f"{first} ({where}).", second

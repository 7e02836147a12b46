"""Which contrasts of experiment 2 are judged, at which margins, and the answer in words."""

from __future__ import annotations

import dataclasses

import pandas as pd

from embalign.verdicts.ab import ABVerdict, judge_ab
from embalign.verdicts.statistics import holm

# Fixed before any run: differences inside these do not matter.
MARGINS = {"cosine_mean": 0.002, "recall_at_1": 0.01}
NAMES = {"cosine_mean": "mean cosine", "recall_at_1": "Recall@1"}
ALPHA = 0.05
CONTRASTS = ("signed_permutation", "baseline", "norm_only")


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One tested difference between two arms on one metric; `p_holm` is adjusted over lambda x metric."""

    treatment: str
    control: str
    convention: str
    weight: float
    metric: str
    verdict: ABVerdict
    p_holm: float

    @property
    def kind(self) -> str:
        """The verdict's kind after Holm's adjustment: an unadjusted difference alone does not count."""
        if self.verdict.kind in ("better", "worse") and self.p_holm > ALPHA:
            return "inconclusive"
        return self.verdict.kind


def judge_contrasts(measured: pd.DataFrame) -> list[Contrast]:
    """Return the contrasts of spectral with its controls, and of every other arm with the baseline."""
    planned = []
    for (arm, convention, weight), _ in measured.groupby(["arm", "convention", "lambda"], sort=False):
        controls = CONTRASTS if arm == "spectral" else () if arm == "baseline" else ("baseline",)
        planned += [(arm, control, convention, weight) for control in controls]
    contrasts: list[Contrast] = []
    for family in dict.fromkeys((arm, control) for arm, control, _, _ in planned):
        tested = []
        for arm, control, convention, weight in planned:
            if (arm, control) != family:
                continue
            for metric, margin in MARGINS.items():
                verdict = _judge(measured, arm, control, convention, weight, metric, margin)
                if verdict is not None:
                    tested.append((convention, weight, metric, verdict))
        adjusted = holm([verdict.p_value for *_, verdict in tested])
        contrasts += [
            Contrast(*family, convention, weight, metric, verdict, p)
            for (convention, weight, metric, verdict), p in zip(tested, adjusted, strict=True)
        ]
    return contrasts


def answer(contrasts: list[Contrast]) -> str:
    """Return the answer in one or two sentences: a gain counts as spectral only if it beats both controls."""
    spectral = [found for found in contrasts if found.treatment == "spectral"]
    better = {
        control: {(c.convention, c.weight, c.metric) for c in spectral if c.control == control and c.kind == "better"}
        for control in CONTRASTS
    }
    held = sorted(better["baseline"] & better["signed_permutation"] & better["norm_only"])
    if held:
        where = ", ".join(f"{NAMES[metric]} at lambda {weight:g} ({convention})" for convention, weight, metric in held)
        return f"The spectral loss beats the baseline and both controls on {where}."
    if better["baseline"]:
        return (
            "The spectral loss beats the baseline somewhere, but not both controls there: the gain is not shown to be "
            "spectral."
        )
    against_baseline = [found for found in spectral if found.control == "baseline"]
    same = sum(found.kind == "equivalent" for found in against_baseline)
    worse = sum(found.kind == "worse" for found in against_baseline)
    return (
        f"The spectral loss is not shown to help: of {len(against_baseline)} comparisons with the baseline {same} are "
        f"equivalent within the margin, {worse} worse, none better."
    )


def _judge(
    measured: pd.DataFrame, arm: str, control: str, convention: str, weight: float, metric: str, margin: float
) -> ABVerdict | None:
    treated = _arm(measured, arm, convention, weight)
    against = _arm(measured, control, convention, weight)
    if treated.empty or against.empty:
        return None
    columns = {metric: "value"}
    try:
        return judge_ab(
            treated.rename(columns=columns)[["seed", "value"]],
            against.rename(columns=columns)[["seed", "value"]],
            margin=margin,
        )
    except ValueError:
        return None


def _arm(measured: pd.DataFrame, arm: str, convention: str, weight: float) -> pd.DataFrame:
    chosen = measured[measured["arm"] == arm]
    if arm in ("baseline", "mean_vector", "ridge", "procrustes"):
        return chosen
    if arm in ("norm_only", "mse"):
        return chosen[chosen["lambda"] == weight]
    return chosen[(chosen["lambda"] == weight) & (chosen["convention"] == convention)]

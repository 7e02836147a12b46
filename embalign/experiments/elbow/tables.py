"""The tables of experiment 1's report, as frames of strings."""

from __future__ import annotations

import math

import pandas as pd

from embalign.experiments.elbow.protocol import BUDGETS, MARGIN_SHARE, Comparison, Judged
from embalign.experiments.tables import mean_with_interval, percent, span
from embalign.verdicts.elbow import MOST_SEEDS, ElbowVerdict
from embalign.verdicts.metrics import JUDGED, label

SHOWN_POLICIES = ("random", "density", "coverage")
OPEN = f"open at {percent(MARGIN_SHARE)}"


def by_metric(curves: list[Judged]) -> pd.DataFrame:
    """Return a table of answers, one metric a row."""
    lines = []
    for found in curves:
        line = {"metric": label(found.metric)}
        verdict = found.verdict
        if verdict is None:
            lines.append(line | {"is there an elbow?": f"no verdict: {found.reason}"})
            continue
        low, high = verdict.recommended_interval
        line |= {"is there an elbow?": _elbow(verdict), f"enough at {percent(MARGIN_SHARE)}": percent(high)}
        line |= {f"at {percent(share)}": percent(ratio) for share, ratio in found.recommended.items()}
        line[OPEN] = "nothing"
        if low < high:
            line[OPEN] = f"{percent(low)} to {percent(high)}: {_what_settles(verdict)} would settle it"
        lines.append(line | {"undetected below": f"{verdict.minimum_detectable_effect:.4f}"})
    return pd.DataFrame(lines).fillna("")


def curve_table(measured: pd.DataFrame, budget: str) -> pd.DataFrame:
    """Return the metrics of each ratio, the main policies side by side."""
    chosen = measured[(measured["budget"] == budget) & measured["policy"].isin(SHOWN_POLICIES)]
    lines: list[tuple[float, dict[str, str]]] = []
    for (ratio, policy), group in chosen.groupby(["ratio", "policy"], sort=False):
        if ratio == 1 and any(known == 1 for known, _ in lines):
            continue
        line = {
            "ratio": percent(ratio),
            "n": str(int(group["n_train"].iloc[0])),
            "n/d": f"{group['n_over_d'].iloc[0]:.2f}",
            "policy": "any" if ratio == 1 else policy,
        }
        lines.append((ratio, line | {label(name): mean_with_interval(group[name]) for name in (*JUDGED, "gate_augrc")}))
    lines.sort(key=lambda pair: pair[0])
    return pd.DataFrame([line for _, line in lines])


def claim_table(claim: list[Comparison]) -> pd.DataFrame:
    """Return the comparisons of density with random selection."""
    lines = []
    for found in claim:
        low, high = found.difference.interval()
        lines.append(
            {
                "ratio": percent(found.ratio),
                "metric": label(found.metric),
                "gain share, density": f"{found.share:.2f}",
                "density - random": f"{found.difference.mean:+.3f}",
                "95 % interval": f"{low:+.3f} to {high:+.3f}",
                "verdict": found.word,
            }
        )
    return pd.DataFrame(lines)


def verdict_table(judged: list[Judged]) -> pd.DataFrame:
    """Return the verdict on every curve."""
    lines = []
    for found in judged:
        line = {"metric": label(found.metric), "policy": found.policy, "budget": BUDGETS[found.budget]}
        line["gain"] = f"{found.gain:+.4f}"
        if found.verdict is None:
            lines.append(line | {"verdict": f"none: {found.reason}"})
            continue
        verdict = found.verdict
        bend = f"{percent(verdict.bend)} ({span(verdict.bend_interval)})" if verdict.bend else "none shown"
        lines.append(
            line
            | {
                "verdict": verdict.kind,
                "bend": bend,
                "slope after/before": _slopes(verdict),
                "recommended": percent(verdict.recommended_ratio),
                "interval": span(verdict.recommended_interval),
                "detectable": f"{verdict.minimum_detectable_effect:.4f}",
            }
        )
    return pd.DataFrame(lines).fillna("")


def by_step(trajectory: pd.DataFrame) -> pd.DataFrame:
    """Return the held-out mean cosine over seeds, one row per ratio and one column per training step."""
    if trajectory.empty:
        return pd.DataFrame()
    return trajectory.pivot_table(index="ratio", columns="step", values="cosine_mean")


def peak_table(followed: pd.DataFrame) -> pd.DataFrame:
    """Return where the held-out cosine of each ratio is highest, and its value there and at the end."""
    return pd.DataFrame(
        [
            {
                "ratio": percent(ratio),
                "highest at step": str(steps.idxmax()),
                "mean cosine there": f"{steps.max():.4f}",
                "at the end": f"{steps.iloc[-1]:.4f}",
            }
            for ratio, steps in followed.iterrows()
        ]
    )


def reference_table(references: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of what maps are held against."""
    lines = []
    for reference, group in references.groupby("reference", sort=False):
        metrics = {label(name): mean_with_interval(group[name]) for name in JUDGED}
        lines.append({"reference": str(reference).replace("_", " ")} | metrics)
    return pd.DataFrame(lines)


def _elbow(verdict: ElbowVerdict) -> str:
    place = f" ({span(verdict.bend_interval)})" if verdict.bend_interval else ""
    return {
        "elbow": f"yes, at {percent(verdict.elbow)}{place}",
        "unidentifiable": f"inconclusive: {verdict.reason}{place}",
        "gradual": f"no: {verdict.reason}",
        "flat": "no: the amount of data has no effect that was found",
        "declining": f"no: {percent(verdict.best_ratio)} beats 100 %",
    }[verdict.kind]


def _what_settles(verdict: ElbowVerdict) -> str:
    if verdict.seeds_needed:
        return f"about {verdict.seeds_needed} seeds"
    return "more test items" if verdict.items else f"no number of seeds up to {MOST_SEEDS}"


def _slopes(verdict: ElbowVerdict) -> str:
    if verdict.slope_ratio is None or verdict.slope_ratio_upper is None:
        return ""
    upper = f"{verdict.slope_ratio_upper:.2f}" if math.isfinite(verdict.slope_ratio_upper) else "above 1"
    return f"{verdict.slope_ratio:.2f} ({upper})"

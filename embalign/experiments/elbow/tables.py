"""The tables of experiment 1's report, as frames of strings, and the sentences that stand beside them."""

from __future__ import annotations

import math

import pandas as pd

from embalign.experiments.elbow.judgement import BUDGETS, Comparison, Judged, held_out_by_step
from embalign.experiments.tables import NAMES, mean_with_interval, percent, span
from embalign.verdicts.elbow import ElbowVerdict
from embalign.verdicts.statistics import student_t

SHOWN_POLICIES = ("random", "density", "coverage")


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
        metrics = {**NAMES, "gate_augrc": "gate AUGRC"}
        lines.append((ratio, line | {name: mean_with_interval(group[metric]) for metric, name in metrics.items()}))
    lines.sort(key=lambda pair: pair[0])
    return pd.DataFrame([line for _, line in lines])


def ridge_sentence(measured: pd.DataFrame) -> str:
    """Return how far the trained maps are from ridge at 100 %."""
    full = measured[(measured["ratio"] == 1) & (measured["policy"] == "random")].set_index(["budget", "seed"])[
        "cosine_mean"
    ]
    try:
        found = student_t((full["steps"] - full["closed_form"]).to_numpy())
    except (KeyError, ValueError):
        return "Ridge was not measured beside the trained maps."
    low, high = found.interval()
    return (
        f"Trained maps against closed-form ridge at 100 %: {found.mean:+.4f} mean cosine (95 % interval {low:+.4f} to "
        f"{high:+.4f})."
    )


def claim_table(claim: list[Comparison]) -> pd.DataFrame:
    """Return the comparisons of density with random selection."""
    lines = []
    for found in claim:
        low, high = found.difference.interval()
        lines.append(
            {
                "ratio": percent(found.ratio),
                "metric": NAMES[found.metric],
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
        line = {"metric": NAMES[found.metric], "policy": found.policy, "budget": BUDGETS[found.budget]}
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


def _slopes(verdict: ElbowVerdict) -> str:
    if verdict.slope_ratio is None or verdict.slope_ratio_upper is None:
        return ""
    upper = f"{verdict.slope_ratio_upper:.2f}" if math.isfinite(verdict.slope_ratio_upper) else "above 1"
    return f"{verdict.slope_ratio:.2f} ({upper})"


def stopping_earlier(trajectory: pd.DataFrame) -> str:
    """Return what the most over-fitted ratio loses between its best step and its last, as a list item."""
    by_step = held_out_by_step(trajectory)
    if by_step.empty:
        return ""
    lost = by_step.max(axis=1) - by_step.iloc[:, -1]
    ratio = float(lost.idxmax())
    return (
        f"- **Stopping earlier**: small subsets over-fit with these steps; {percent(ratio)} loses {lost[ratio]:.4f} "
        "mean cosine between its best step and its last, which bends the curve of fixed steps.\n"
    )


def trajectory_table(trajectory: pd.DataFrame) -> pd.DataFrame:
    """Return where the held-out cosine of each ratio is highest, and what it is there and at the end."""
    return pd.DataFrame(
        [
            {
                "ratio": percent(ratio),
                "highest at step": str(steps.idxmax()),
                "mean cosine there": f"{steps.max():.4f}",
                "at the end": f"{steps.iloc[-1]:.4f}",
            }
            for ratio, steps in held_out_by_step(trajectory).iterrows()
        ]
    )


def reference_table(references: pd.DataFrame) -> pd.DataFrame:
    """Return the metrics of what maps are held against."""
    lines = []
    for reference, group in references.groupby("reference", sort=False):
        metrics = {name: mean_with_interval(group[metric]) for metric, name in NAMES.items()}
        lines.append({"reference": str(reference).replace("_", " ")} | metrics)
    return pd.DataFrame(lines)

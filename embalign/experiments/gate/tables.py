"""Rows of the gate experiment as tables: the accept curve in long form, thresholds, ratios, loss terms, styles."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from embalign.experiments.tables import mean_with_interval, percent

TARGETS = (5, 10, 20)  # percent
SCORES = {"top1": "top-1 similarity", "margin": "margin", "oracle": "cosine to teacher (oracle)"}
# Fixed before any run: differences of a spread over styles inside this do not matter.
SPREADS = {f"spread_{name}": 0.005 for name in ("recall_at_1", "mrr", "accept_top1", "accept_margin")}
SPREAD_NAMES = {
    "spread_recall_at_1": "Recall@1",
    "spread_mrr": "MRR",
    "spread_accept_top1": "accept rate (top-1)",
    "spread_accept_margin": "accept rate (margin)",
}
CURVE = ("pair", "map", "ratio", "arm", "convention", "lambda", "seed", "score", "coverage", "threshold", "risk")


def named_maps(ratios: pd.DataFrame, arms: pd.DataFrame, deployed: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the three tables with the columns that say which map a row is of."""
    plain: dict[str, Any] = {"arm": "baseline", "convention": "none", "lambda": 0.0}
    return {
        "ratio": ratios.assign(map="ratio", **plain),
        "arm": arms.assign(map="arm", ratio=1.0).drop(columns="term"),
        "exported": deployed.assign(map="exported", ratio=1.0, **plain),
    }


def accept_curves(maps: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a map, score and coverage: threshold, selective risk, precision."""
    rows = pd.concat(maps.values(), ignore_index=True)
    levels = sorted(int(name[-3:]) for name in rows.columns if name.startswith("top1_risk_"))
    parts = []
    for score in SCORES:
        for level in levels:
            part = rows[[name for name in CURVE if name in rows.columns] + ["status"]].assign(
                score=score,
                coverage=level / 100,
                threshold=rows[f"{score}_threshold_{level:03d}"],
                risk=rows[f"{score}_risk_{level:03d}"],
            )
            parts.append(part.assign(precision=1 - part["risk"], cell=range(len(part))))
    return pd.concat(parts).sort_values(["cell", "score", "coverage"], kind="stable").drop(columns="cell")


def without_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns that the accept curve holds, and without the outputs of a map."""
    curve = [f"{score}_{what}_" for score in SCORES for what in ("threshold", "risk")]
    return frame.drop(columns=[name for name in frame.columns if name.startswith(tuple(curve)) or name == "outputs"])


def outputs_of(exported: pd.Series) -> pd.DataFrame:
    """Return every held-out output of the exported map: label, scores, whether it is correct."""
    return pd.DataFrame(json.loads(exported["outputs"])).assign(status="ok")


def threshold_table(exported: pd.Series) -> pd.DataFrame:
    """Return the threshold to deploy by risk target, what it accepts, and its check."""
    score, lines = exported["score"], []
    for target in TARGETS:
        threshold, coverage = certified(exported, score, target)
        line = {"risk at most": f"{target} %", "threshold": "not certifiable", "accepts": "", "bound of the risk": ""}
        line["more accepts it would take"] = ""
        if threshold is None:
            more = lacking(exported, score, target)
            line["more accepts it would take"] = "no number would do" if more is None else f"at least {more}"
        else:
            line["threshold"] = f"{score} ≥ {threshold:.4f}"
            line["accepts"] = percent(coverage)
            line["bound of the risk"] = percent(exported[f"{score}_certified_{target:02d}_bound"])
        line["check on other topics"] = _check(exported, target)
        lines.append(line)
    return pd.DataFrame(lines)


def certified(row: pd.Series, score: str, target: int) -> tuple[float | None, float]:
    """Return the certified threshold of a row, or None, and its coverage."""
    threshold = row.get(f"{score}_certified_{target:02d}_threshold")
    coverage = float(row[f"{score}_certified_{target:02d}_coverage"])
    return (None if threshold is None or pd.isna(threshold) else float(threshold)), coverage


def lacking(row: pd.Series, score: str, target: int) -> int | None:
    """Return how many more accepts a certificate would take at the least, or None if no number would do."""
    more = row.get(f"{score}_certified_{target:02d}_lacking")
    return None if more is None or pd.isna(more) else int(more)


def ratio_table(ratios: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the gate by share of training data: means over seeds with their t intervals."""
    lines = []
    for ratio, group in ratios.groupby("ratio"):
        lines.append({"training data": percent(float(ratio)), **_gate_columns(group, score)})
    return pd.DataFrame(lines)


def arm_table(arms: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the gate by loss term: means over seeds with their t intervals."""
    lines = []
    for (arm, convention, weight), group in arms.groupby(["arm", "convention", "lambda"], sort=False):
        line = {"arm": arm, "convention": convention, "lambda": f"{weight:g}"}
        lines.append(line | _gate_columns(group, score))
    return pd.DataFrame(lines)


def score_table(exported: pd.Series, baseline: pd.DataFrame) -> pd.DataFrame:
    """Return the areas of each score: for the exported map, and over seeds of the baseline."""
    return pd.DataFrame(
        [
            {
                "score": name,
                **{area: f"{exported[f'{score}_{column}']:.4f}" for area, column in AREAS.items()},
                "AUGRC, mean over seeds": mean_with_interval(baseline[f"{score}_augrc"]),
            }
            for score, name in SCORES.items()
        ]
    )


AREAS = {"AUGRC": "augrc", "AURC": "aurc", "E-AURC": "e_aurc"}


def style_table(baseline: pd.DataFrame) -> pd.DataFrame:
    """Return the baseline's metrics by surface style, means over seeds."""
    prefix = "recall_at_1_"
    names = [name.removeprefix(prefix) for name in baseline.columns if name.startswith(prefix)]
    lines = []
    for metric, name in SPREAD_NAMES.items():
        column = metric.removeprefix("spread_")
        line = {"metric": name, **{s: mean_with_interval(baseline[f"{column}_{s}"], 3) for s in names}}
        line |= {"standard deviation": mean_with_interval(baseline[metric], 3)}
        lines.append(line | {"range": mean_with_interval(baseline[f"range_{column}"], 3)})
    return pd.DataFrame(lines)


def _gate_columns(group: pd.DataFrame, score: str) -> dict[str, str]:
    columns = {
        "accuracy": mean_with_interval(group["accuracy"]),
        "agrees with teacher": mean_with_interval(group["teacher_agreement"]),
        "AUGRC": mean_with_interval(group[f"{score}_augrc"]),
    }
    for target in TARGETS:
        coverage = group[f"{score}_certified_{target:02d}_coverage"]
        found = int((coverage > 0).sum())
        shown = f"{found} of {len(group)}" + (f", accepts {percent(coverage[coverage > 0].mean())}" if found else "")
        columns[f"certified at {target} %"] = shown
    return columns


def _check(exported: pd.Series, target: int) -> str:
    folds, accepted, wrong = (int(exported[f"check_{target:02d}_{name}"]) for name in ("folds", "accepted", "wrong"))
    if not folds:
        return "not certifiable on four fifths"
    return f"{wrong} of {accepted} wrong" + (f" ({percent(wrong / accepted)})" if accepted else "") + f", {folds} of 5"

"""Experiment 1's report: the answer first, then the figure, the curve, the claim, and the rest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.reporting.elbow_figure import draw
from embalign.reporting.elbow_verdicts import BUDGETS, MARGIN_SHARE, NAMES, PRIMARY, Judged, answer, judge_all
from embalign.reporting.tables import METRICS, markdown, mean_with_interval, percent, rerun_command, write_csv
from embalign.verdicts.statistics import holm, student_t

COLUMNS = ("pair", "policy", "budget", "ratio", "n_train", "seed", *METRICS)


def write_report(frames: Mapping[str, pd.DataFrame], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSV, figure, verdict.json and report.md into `folder`; return the one-line answer."""
    rows, references = frames["data_ratio_vs_metrics"], frames["references"]
    write_csv(rows, folder / "data_ratio_vs_metrics.csv", COLUMNS)
    write_csv(references, folder / "references.csv", ("pair", "reference", "seed"))
    measured = rows[rows["status"] == "ok"]
    judged = judge_all(measured, references)
    unmeasured = Judged(**PRIMARY, gain=0.0, verdict=None, reason="none of its cells could be measured")
    primary = next((found for found in judged if vars(found).items() >= PRIMARY.items()), unmeasured)
    draw(measured, references, primary, folder / "data_ratio_vs_metrics.png")
    verdict = {"primary": _machine_readable(primary), "curves": [_machine_readable(found) for found in judged]}
    (folder / "verdict.json").write_text(json.dumps(verdict, indent=2) + "\n", encoding="ascii")
    (folder / "report.md").write_text(_report(rows, references, judged, primary, about), encoding="utf-8")
    return answer(primary)[0]


def _report(
    rows: pd.DataFrame, references: pd.DataFrame, judged: list[Judged], primary: Judged, about: Mapping[str, Any]
) -> str:
    measured = rows[rows["status"] == "ok"]
    first, second = answer(primary)
    seeds = len(about["seeds"])
    parts = [
        f"# Data-efficiency elbow: {about['pair']}",
        f"**{first}** {second}",
        "![Metrics over the share of training data](data_ratio_vs_metrics.png)",
        "## The curve",
        f"Mean over {seeds} seeds ± half the width of the 95 % t interval, {BUDGETS[primary.budget]}, on held-out "
        "label groups. A ratio of 100 % is one seed's pool, nine tenths of the training items.",
        markdown(_curve_table(measured, primary.budget)),
        _ridge_sentence(measured),
        "## Is the densest data better than random?",
        _claim(measured, primary),
        "## Every curve",
        f"Margin: {percent(MARGIN_SHARE)} of the gain from no data to all of it. The interval holds the ratios that "
        "may be the smallest sufficient one. Detectable: the loss against 100 % that these seeds find with power 0.8.",
        markdown(_verdict_table(judged)),
        "## Floor and ceiling",
        "Constant: the mean teacher vector for every input. Untrained: the map before its first step. Chance: random "
        "vectors. Draft and teacher: their own embeddings, unmapped.",
        markdown(_reference_table(references)),
        "## What this rests on",
        "- The elbow rule is a first, simple one: paired t over seeds, Holm over ratios; its error rates have not been "
        "measured. The recommended ratio is a fixed-sequence non-inferiority test from 100 % downwards.\n"
        f"- {percent(1.0)} of the data is {_pool_size(measured)} items in {about['data']['draft']['dimension']} draft "
        "dimensions; `n_over_d` in the CSV tells how near a ratio is to n = d, where unregularised fits are at their "
        "worst.\n"
        "- Seeds differ in pool, initial map and batch order; the test set is one and the same. The intervals do not "
        "cover the choice of test items.",
    ]
    failed = rows[rows["status"] != "ok"]
    if len(failed):
        listed = "\n".join(
            f"- {row.policy}, {row.budget}, {row.ratio:g}, seed {row.seed}: {row.status}" for row in failed.itertuples()
        )
        parts += ["## Failed cells", listed]
    parts += [
        "## Run it again",
        f"```\n{rerun_command('elbow', about)}\n```",
        "`provenance.json` names data, models, code and versions.",
    ]
    return "\n\n".join(parts) + "\n"


def _curve_table(measured: pd.DataFrame, budget: str) -> pd.DataFrame:
    chosen = measured[measured["budget"] == budget]
    lines: list[tuple[float, dict[str, str]]] = []
    for (ratio, policy), group in chosen.groupby(["ratio", "policy"], sort=False):
        if ratio == 1 and any(known == 1 for known, _ in lines):
            continue
        policy = "any" if ratio == 1 else policy
        line = {"ratio": percent(ratio), "n": str(int(group["n_train"].iloc[0])), "policy": policy}
        metrics = {**NAMES, "gate_augrc": "gate AUGRC"}
        lines.append((ratio, line | {name: mean_with_interval(group[metric]) for metric, name in metrics.items()}))
    lines.sort(key=lambda pair: pair[0])
    return pd.DataFrame([line for _, line in lines])


def _ridge_sentence(measured: pd.DataFrame) -> str:
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
        f"{high:+.4f}), so a bend in the curve is {'not ' if low > -0.01 else ''}a matter of poor training."
    )


def _claim(measured: pd.DataFrame, primary: Judged) -> str:
    chosen = measured[(measured["budget"] == primary.budget) & (measured["ratio"] < 1)]
    lines, tests = [], []
    for ratio in sorted(chosen["ratio"].unique()):
        for metric in ("cosine_mean", "recall_at_1"):
            by_policy = chosen[chosen["ratio"] == ratio].pivot(index="seed", columns="policy", values=metric)
            try:
                found = student_t((by_policy["density"] - by_policy["random"]).to_numpy())
            except (KeyError, ValueError):
                continue
            low, high = found.interval()
            tests.append(found)
            lines.append(
                {
                    "ratio": percent(ratio),
                    "metric": NAMES[metric],
                    "density - random": f"{found.mean:+.4f}",
                    "95 % interval": f"{low:+.4f} to {high:+.4f}",
                }
            )
    if not tests:
        return "Not measured: this grid has no pair of density and random selection."
    better = holm([found.p_greater() for found in tests])
    worse = holm([(-found).p_greater() for found in tests])
    for line, up, down in zip(lines, better, worse, strict=True):
        line["verdict"] = "better" if up <= 0.05 else "worse" if down <= 0.05 else "not settled"
    ups, downs = (sum(line["verdict"] == word for line in lines) for word in ("better", "worse"))
    if ups and not downs:
        words = "Supported in part" if ups < len(lines) else "Supported"
    elif downs and not ups:
        words = "Refuted in part" if downs < len(lines) else "Refuted"
    else:
        words = "Not settled" if not ups else "Mixed"
    return (
        f"**{words}**: of {len(lines)} comparisons, taking the densest items first is better in {ups} and worse in "
        f"{downs} (paired t over seeds, one-sided, Holm over the table).\n\n" + markdown(pd.DataFrame(lines))
    )


def _verdict_table(judged: list[Judged]) -> pd.DataFrame:
    lines = []
    for found in judged:
        line = {"metric": NAMES[found.metric], "policy": found.policy, "budget": BUDGETS[found.budget]}
        line["gain"] = f"{found.gain:+.4f}"
        if found.verdict is None:
            lines.append(line | {"verdict": f"none: {found.reason}"})
            continue
        verdict = found.verdict
        low, high = verdict.recommended_interval
        lines.append(
            line
            | {
                "verdict": verdict.kind,
                "elbow": percent(verdict.elbow) if verdict.elbow else "none",
                "recommended": percent(high) if verdict.saturated else "100 %, not saturated",
                "interval": f"{percent(low)} to {percent(high)}",
                "detectable": f"{verdict.minimum_detectable_effect:.4f}",
            }
        )
    return pd.DataFrame(lines).fillna("")


def _reference_table(references: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for reference, group in references.groupby("reference", sort=False):
        metrics = {name: mean_with_interval(group[metric]) for metric, name in NAMES.items()}
        lines.append({"reference": str(reference).replace("_", " ")} | metrics)
    return pd.DataFrame(lines)


def _pool_size(measured: pd.DataFrame) -> int:
    return int(measured.loc[measured["ratio"] == 1, "n_train"].max())


def _machine_readable(found: Judged) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "policy": found.policy,
        "budget": found.budget,
        "metric": found.metric,
        "gain": found.gain,
    }
    if found.verdict is None:
        return fields | {"kind": None, "reason": found.reason}
    verdict = dataclasses.asdict(found.verdict)
    verdict["loss"] = {f"{ratio:g}": loss for ratio, loss in verdict["loss"].items()}
    return fields | verdict

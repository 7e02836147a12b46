"""Experiment 1's artifacts: CSVs, figures, verdict.json and report.md; the prose is in `report.md.j2`."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.evaluation.results import Results
from embalign.experiments.elbow import protocol
from embalign.experiments.elbow.figures import draw, draw_trajectory
from embalign.experiments.elbow.protocol import BUDGETS, MARGIN_SHARE, SECOND_METRIC, Judged, find_curve
from embalign.experiments.grid import rerun_command
from embalign.experiments.tables import widen, write_by_label, write_csv
from embalign.experiments.templates import render, sentence
from embalign.verdicts.elbow import MOST_SEEDS
from embalign.verdicts.metrics import ALIGNMENT, HEADLINES, PUBLISHED
from embalign.verdicts.statistics import StudentT, student_t

SHOWN_POLICIES = ["random", "density", "coverage"]
COLUMNS = ("pair", "policy", "budget", "ratio", "n_train", "seed", *PUBLISHED)


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the one-line answer."""
    rows, references, trajectory = (results[name] for name in ("data_ratio_vs_metrics", "references", "trajectory"))
    write_csv(rows.frame, folder / "data_ratio_vs_metrics.csv", COLUMNS)
    write_by_label(rows, folder / "data_ratio_vs_metrics_by_label.npz")
    write_csv(references.frame, folder / "references.csv", ("pair", "reference", "seed"))
    steps = widen(
        trajectory.frame, trajectory.tables["trajectory"], ["step"], {"cosine_mean": "cosine_mean_step{:04d}"}
    )
    write_csv(steps, folder / "trajectory.csv", ("pair", "policy", "ratio", "n_train", "seed"))

    measured = rows.ok()
    judged = protocol.judge_curves(measured, references.frame)
    primary = protocol.primary_of(judged)
    policy, budget, metric = primary.policy, primary.budget, primary.metric
    claim = protocol.compare_density(measured, references.frame, budget)
    followed = trajectory.table("trajectory")
    by_step = followed.pivot_table(index="ratio", columns="step", values=ALIGNMENT)
    draw(measured.frame, references.frame, judged, folder / "data_ratio_vs_metrics.png")
    draw_trajectory(by_step, folder / "trajectory.png")
    verdict = {
        "primary": _machine_readable(primary),
        "curves": [_machine_readable(curve) for curve in judged],
        "density_first": {name: protocol.claim_answer([c for c in claim if c.metric == name]) for name in HEADLINES},
        "density_minus_random": [dataclasses.asdict(comparison) for comparison in claim],
    }
    text = json.dumps(_plain(verdict), indent=2, allow_nan=False) + "\n"
    (folder / "verdict.json").write_text(text, encoding="ascii")
    report = render(
        "elbow/report.md.j2",
        about=about,
        protocol=protocol,
        budgets=BUDGETS,
        share=MARGIN_SHARE,
        most_seeds=MOST_SEEDS,
        judged=judged,
        primary=primary,
        main=[found for found in judged if (found.policy, found.budget) == (policy, budget)],
        beside=find_curve(judged, policy, "closed_form", metric),
        second=find_curve(judged, policy, budget, SECOND_METRIC),
        claim=claim,
        rows=rows,
        curve=measured.where(budget=budget, policy=SHOWN_POLICIES).frame,
        whole=measured.where(ratio=1, policy=policy, budget=budget).frame,
        references=references.frame,
        ridge_gap=_ridge_gap(measured.where(ratio=1, policy=protocol.PRIMARY["policy"]).frame),
        followed=by_step,
        followed_seeds=followed["seed"].nunique(),
        lost=by_step.max(axis="columns") - by_step.iloc[:, -1],
        command=rerun_command("elbow", about),
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return sentence("elbow/answer.md.j2", "first", primary, BUDGETS)


def _ridge_gap(whole: pd.DataFrame) -> StudentT | None:
    """Trained maps minus ridge at all of the data, by seed; None where ridge was not measured beside them."""
    by_budget = whole.set_index(["budget", "seed"])[protocol.PRIMARY["metric"]]
    try:
        return student_t((by_budget["steps"] - by_budget["closed_form"]).to_numpy())
    except (KeyError, ValueError):
        return None


def _machine_readable(found: Judged) -> dict[str, Any]:
    fields = {"policy": found.policy, "budget": found.budget, "metric": found.metric, "gain": found.gain}
    if found.verdict is None:
        return fields | {"kind": None, "reason": found.reason}
    return fields | dataclasses.asdict(found.verdict) | {"recommended_at_share": found.recommended}


def _plain(value: Any) -> Any:
    """JSON has no infinity and no numeric keys: null and text in their place."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else f"{key:g}": _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

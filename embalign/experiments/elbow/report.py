"""Experiment 1's artifacts: CSVs, figures, verdict.json and report.md; the prose is in `report.md.j2`."""

from __future__ import annotations

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
from embalign.experiments.elbow.protocol import (
    BUDGETS,
    MARGIN_SHARE,
    OTHER_SHARES,
    SECOND_METRIC,
    Comparison,
    Judged,
)
from embalign.experiments.grid import rerun_command
from embalign.experiments.tables import percent, widen, write_by_label, write_csv
from embalign.experiments.templates import render, sentence
from embalign.verdicts.elbow import MOST_SEEDS
from embalign.verdicts.metrics import ALIGNMENT, HEADLINES, JUDGED, PUBLISHED, RETRIEVAL
from embalign.verdicts.statistics import student_t

SHOWN_POLICIES = ["random", "density", "coverage"]
COLUMNS = ("pair", "policy", "budget", "ratio", "n_train", "seed", *PUBLISHED)


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a report rests on: the cells that were measured, the references, and the verdicts on them."""

    measured: Results
    references: pd.DataFrame
    trajectory: pd.DataFrame
    judged: list[Judged]
    primary: Judged
    claim: list[Comparison]

    def curve(self, policy: str, budget: str, metric: str) -> Judged | None:
        """Return one judged curve, or None."""
        wanted = (policy, budget, metric)
        return next((found for found in self.judged if (found.policy, found.budget, found.metric) == wanted), None)


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
    claim = protocol.compare_density(measured, references.frame, primary.budget)
    followed = trajectory.table("trajectory") if trajectory.tables else pd.DataFrame(columns=["seed"])
    found = Findings(measured, references.frame, followed, judged, primary, claim)

    draw(found.measured.frame, found.references, judged, folder / "data_ratio_vs_metrics.png")
    draw_trajectory(_by_step(followed), folder / "trajectory.png")
    text = json.dumps(_verdict(found), indent=2, allow_nan=False) + "\n"
    (folder / "verdict.json").write_text(text, encoding="ascii")
    failed = rows.frame[rows.frame["status"] != "ok"].to_dict("records")
    report = render("elbow/report.md.j2", about=about, failed=failed, **_context(found, about))
    (folder / "report.md").write_text(report, encoding="utf-8")
    return sentence("elbow/answer.md.j2", "first", primary, BUDGETS)


def _context(found: Findings, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the template needs beside the findings themselves."""
    primary, followed = found.primary, _by_step(found.trajectory)
    return {
        **vars(found),
        "budgets": BUDGETS,
        "share": MARGIN_SHARE,
        "other_shares": OTHER_SHARES,
        "open": f"open at {percent(MARGIN_SHARE)}",
        "most_seeds": MOST_SEEDS,
        "main_metrics": JUDGED,
        "shown": (*JUDGED, "gate_augrc"),
        "main": [c for c in found.judged if (c.policy, c.budget) == (primary.policy, primary.budget)],
        "beside": found.curve(primary.policy, "closed_form", primary.metric),
        "second": found.curve(primary.policy, primary.budget, SECOND_METRIC),
        "headlines": HEADLINES,
        "claim_answer": protocol.claim_answer,
        "trained": _trained(found),
        "added": _added(found),
        "curve": _curve_rows(found.measured.where(budget=primary.budget, policy=SHOWN_POLICIES).frame),
        "ridge_gap": _ridge_gap(found.measured.frame),
        "followed": followed,
        "followed_seeds": found.trajectory["seed"].nunique(),
        "stopping": _stopping(followed),
        "command": rerun_command("elbow", about),
    }


def _by_step(trajectory: pd.DataFrame) -> pd.DataFrame:
    """The held-out mean cosine over seeds, one row per ratio and one column per training step."""
    return trajectory.pivot_table(index="ratio", columns="step", values=ALIGNMENT) if len(trajectory) else trajectory


def _curve_rows(measured: pd.DataFrame) -> list[dict[str, Any]]:
    """The cells of each ratio and policy; at all of the data every policy trains on the same items."""
    rows = [
        {
            "ratio": ratio,
            "n": int(cells["n_train"].iloc[0]),
            "n_over_d": cells["n_over_d"].iloc[0],
            "policy": "any" if ratio == 1 else policy,
            "cells": cells,
        }
        for (ratio, policy), cells in measured.groupby(["ratio", "policy"], sort=False)
        if ratio < 1 or policy == protocol.PRIMARY["policy"]
    ]
    return sorted(rows, key=lambda row: row["ratio"])


def _trained(found: Findings) -> dict[str, tuple[float, float]]:
    """Each metric of the trained map at all of the data and of the untrained map."""
    full = found.measured.where(ratio=1, policy=found.primary.policy, budget=found.primary.budget).frame
    untrained = found.references[found.references["reference"] == "untrained"]
    order = (RETRIEVAL, *(name for name in reversed(JUDGED) if name not in HEADLINES))
    return {metric: (full[metric].mean(), untrained[metric].mean()) for metric in order}


def _added(found: Findings) -> dict[str, Any]:
    """The margin in the retrieval metric, and what training adds to it."""
    at_all, untrained = _trained(found)[RETRIEVAL]
    chance = found.references.loc[found.references["reference"] == "chance", RETRIEVAL].mean()
    return {"metric": RETRIEVAL, "margin": MARGIN_SHARE * (at_all - chance), "value": at_all - untrained}


def _ridge_gap(measured: pd.DataFrame) -> Any:
    """Trained maps minus ridge at all of the data, by seed; None where ridge was not measured beside them."""
    full = measured[(measured["ratio"] == 1) & (measured["policy"] == protocol.PRIMARY["policy"])]
    by_budget = full.set_index(["budget", "seed"])[protocol.PRIMARY["metric"]]
    try:
        return student_t((by_budget["steps"] - by_budget["closed_form"]).to_numpy())
    except (KeyError, ValueError):
        return None


def _stopping(followed: pd.DataFrame) -> dict[str, float] | None:
    """The ratio that loses most between its best step and its last."""
    if followed.empty:
        return None
    lost = followed.max(axis=1) - followed.iloc[:, -1]
    return {"ratio": float(lost.idxmax()), "lost": float(lost.max())}


def _verdict(found: Findings) -> dict[str, Any]:
    claims = {metric: [c for c in found.claim if c.metric == metric] for metric in HEADLINES}
    return {
        "primary": _machine_readable(found.primary),
        "curves": [_machine_readable(curve) for curve in found.judged],
        "density_first": {metric: protocol.claim_answer(own) for metric, own in claims.items()},
        "density_minus_random": [_plain(dataclasses.asdict(comparison)) for comparison in found.claim],
    }


def _machine_readable(found: Judged) -> dict[str, Any]:
    fields = {"policy": found.policy, "budget": found.budget, "metric": found.metric, "gain": found.gain}
    if found.verdict is None:
        return fields | {"kind": None, "reason": found.reason}
    fields |= dataclasses.asdict(found.verdict) | {"recommended_at_share": found.recommended}
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """JSON has no infinity and no numeric keys: null and text in their place."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else f"{key:g}": _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

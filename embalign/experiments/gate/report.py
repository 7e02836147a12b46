"""The gate's artifacts: CSVs, figure, verdict.json and report.md; the prose is in `report.md.j2`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embalign.evaluation.results import Results
from embalign.experiments.gate import tables
from embalign.experiments.gate.figures import draw
from embalign.experiments.gate.protocol import RISK_TARGETS, SCORES, SPREADS
from embalign.experiments.grid import rerun_command
from embalign.experiments.spectral.protocol import BASELINE, TREATMENT, planned
from embalign.experiments.tables import write_by_label, write_csv
from embalign.experiments.templates import render, sentence
from embalign.verdicts.contrasts import Contrast, by_setting, judge_contrasts

FIRST = ("pair", "ratio", "arm", "convention", "lambda", "seed", "accuracy", "teacher_agreement")
SIGNIFICANT = 6  # digits of an accept curve's numbers


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figure, verdict.json and report.md into `folder`; return the one-line answer."""
    maps = tables.named_maps(results)
    for name, found in maps.items():
        write_csv(tables.as_csv(found), folder / f"gate_{name}.csv", FIRST)
    write_by_label(maps["arm"], folder / "gate_arm_by_label.npz")
    measured = {name: found.ok() for name, found in maps.items()}
    failed = [row for found in maps.values() for row in found.frame[found.frame["status"] != "ok"].to_dict("records")]
    shared = {"about": about, "failed": failed, "command": rerun_command("gate", about), "targets": RISK_TARGETS}
    if measured["exported"].frame.empty:
        (folder / "report.md").write_text(render("gate/report.md.j2", exported=None, **shared), encoding="utf-8")
        return "No threshold: the exported map could not be measured."

    curves = pd.concat([found.table("accept_curve") for found in measured.values()], ignore_index=True)
    _write_curves(curves, folder)
    exported = measured["exported"]
    outputs = exported.tables["outputs"].drop(columns="cell").assign(status="ok")
    write_csv(outputs, folder / "gate_outputs.csv")
    score = str(exported.tables["choice"]["score"].iloc[0])
    certificates = tables.certificates_of(exported, score)
    contrasts = _over_styles(measured["arm"])
    steadiness = _steadiness(contrasts)
    draw(curves, certificates, contrasts, folder / "gate_curve.png")
    words = sentence("gate/answer.md.j2", "answer", certificates, steadiness)
    payload = {
        "answer": words,
        "score": score,
        "targets": {
            f"{found['target']:.2f}": {
                "threshold": found["threshold"],
                "coverage": found["coverage"],
                "lacking_accepts": found["lacking"],
            }
            for found in certificates
        },
        "styles": [contrast.as_record() for contrast in contrasts],
    }
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    baseline = measured["arm"].where(arm=BASELINE)
    report = render(
        "gate/report.md.j2",
        **shared,
        exported=exported.frame.iloc[0].to_dict(),
        scores=SCORES,
        score=score,
        certificates=certificates,
        steadiness=steadiness,
        check=exported.tables["check"].set_index("target").to_dict("index"),
        outputs=len(outputs),
        groups=outputs["label"].nunique(),
        baseline=baseline,
        by_ratio={
            ratio: measured["ratio"].where(ratio=ratio) for ratio in sorted(set(measured["ratio"].frame["ratio"]))
        },
        by_arm=_by(measured["arm"], "arm", "convention", "lambda"),
        **_styles(baseline, contrasts),
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return words


def _write_curves(curves: pd.DataFrame, folder: Path) -> None:
    """Accept curves: the mean over seeds as CSV, and every seed's as arrays (maps, seeds, coverages) by score."""
    setting = [*(name for name in tables.MAP if name != "seed"), "score", "coverage"]
    mean = curves.groupby(setting, sort=False, as_index=False)[["threshold", "risk"]].mean()
    write_csv(mean.assign(precision=1 - mean["risk"]).map(_significant), folder / "gate_curve.csv")
    arrays = {}
    for score, own in curves.groupby("score"):
        for value in ("threshold", "risk"):
            wide = own.pivot_table(index=list(tables.MAP), columns="coverage", values=value, sort=False)
            arrays[f"{score}_{value}"] = wide.to_numpy(dtype=np.float32)
    np.savez_compressed(folder / "gate_curve.npz", allow_pickle=False, **arrays)


def _significant(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT}g}") if isinstance(value, float) else value


def _over_styles(arms: Results) -> list[Contrast]:
    return judge_contrasts(arms, planned(arms), SPREADS) if set(SPREADS) <= set(arms.frame.columns) else []


def _steadiness(contrasts: list[Contrast]) -> dict[str, Any] | None:
    """What the spectral loss does to the spread over styles, and whether it goes beyond its controls anywhere."""
    found = [c for c in contrasts if (c.treatment, c.control) == (TREATMENT, BASELINE)]
    if not found:
        return None
    names = {"better": "steadier", "worse": "less steady"}
    kinds = [names.get(c.kind, c.kind) for c in found]

    def beyond(contrast: Contrast) -> bool:
        where = (contrast.convention, contrast.strength, contrast.metric)
        same = [c for c in contrasts if c.treatment == TREATMENT and (c.convention, c.strength, c.metric) == where]
        return all(c.kind == "better" for c in same)

    return {
        "count": len(found),
        "kinds": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "beyond": any(beyond(contrast) for contrast in found),
    }


def _by(found: Results, *settings: str) -> dict[Any, Results]:
    """The cells at each value of some settings, in the order of the grid."""
    keys = found.frame[list(settings)].drop_duplicates().itertuples(index=False, name=None)
    return {key if len(settings) > 1 else key[0]: found.where(**dict(zip(settings, key, strict=True))) for key in keys}


def _styles(baseline: Results, contrasts: list[Contrast]) -> dict[str, Any]:
    if not contrasts:
        return {}
    first, by_style = baseline.frame.iloc[0], baseline.table("styles")
    return {
        "styled": {"contents": int(first["styled_items"]), "groups": int(first["styled_groups"])},
        "styles": list(by_style["style"].unique()),
        "by_style": {key: cells["value"] for key, cells in by_style.groupby(["metric", "style"])},
        "spreads": {spread: spread.removeprefix("spread_") for spread in SPREADS},
        "margin": max(SPREADS.values()),
        "contrasts": by_setting(contrasts),
    }

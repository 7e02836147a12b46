"""The gate's artifacts: CSVs, figure, verdict.json and report.md; the prose is in `report.md.j2`."""

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
    arms = measured["arm"]
    contrasts = judge_contrasts(arms, planned(arms), SPREADS) if set(SPREADS) <= set(arms.frame.columns) else []
    tested = [c for c in contrasts if (c.treatment, c.control) == (TREATMENT, BASELINE)]
    draw(curves, certificates, contrasts, folder / "gate_curve.png")
    words = sentence("gate/answer.md.j2", "answer", certificates, tested, _is_steadier(contrasts))
    payload = {
        "answer": words,
        "score": score,
        "targets": {
            f"{c['target']:.2f}": {name: c[name] for name in ("threshold", "coverage", "lacking_accepts")}
            for c in certificates
        },
        "styles": [contrast.as_record() for contrast in contrasts],
    }
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    report = render(
        "gate/report.md.j2",
        **shared,
        exported=exported.frame.iloc[0],
        scores=SCORES,
        score=score,
        certificates=certificates,
        tested=tested,
        answer=words,
        check=exported.tables["check"].set_index("target"),
        outputs=outputs,
        baseline=arms.where(arm=BASELINE),
        ratios=measured["ratio"],
        arms=arms,
        spreads=SPREADS,
        contrasts=by_setting(contrasts),
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


def _is_steadier(contrasts: list[Contrast]) -> bool:
    """Whether the spectral loss steadies a metric over styles anywhere, and beyond each of its controls."""
    kinds: dict[tuple[str, float, str], set[str]] = {}
    for found in contrasts:
        if found.treatment == TREATMENT:
            kinds.setdefault((found.convention, found.strength, found.metric), set()).add(found.kind)
    return {"better"} in kinds.values()

"""The gate's artifacts: CSVs, figure, verdict.json and report.md; the prose is in `report.md.j2`."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embalign.evaluation.deployment import DEPLOYMENTS, QUERY_ADAPTER
from embalign.evaluation.results import Results
from embalign.experiments.gate import tables
from embalign.experiments.gate.figures import draw
from embalign.experiments.gate.findings import Findings, judge
from embalign.experiments.gate.protocol import (
    ALONE,
    CASCADE_LEVELS,
    RISK_TARGETS,
    ROUTES,
    SCORES,
    SPREADS,
    USES,
    WHOLE,
    prefix,
)
from embalign.experiments.grid import rerun_command
from embalign.experiments.tables import write_by_label, write_csv
from embalign.experiments.templates import render, sentences
from embalign.verdicts.basis import basis_of
from embalign.verdicts.contrasts import by_setting
from embalign.verdicts.metrics import RETRIEVAL

FIRST = ("pair", "ratio", "arm", "convention", "lambda", "seed", "accuracy", "teacher_agreement")
SIGNIFICANT = 6  # digits of an accept curve's numbers


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figure, verdict.json and report.md into `folder`; return the answer, line by line."""
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

    curves, cascades, certificates = (
        pd.concat([found.table(name) for found in measured.values() if name in found.tables], ignore_index=True)
        for name in ("accept_curve", "cascade", "certificates")
    )
    _write_curves(curves, folder)
    setting = [*(name for name in tables.MAP if name != "seed"), "deployment", "index_size", "score", "sent"]
    mean = cascades.groupby(setting, sort=False, as_index=False).mean(numeric_only=True).drop(columns="seed")
    write_csv(mean.map(_significant), folder / "cascade.csv")
    write_csv(certificates, folder / "certificates.csv")
    write_csv(measured["exported"].table("check"), folder / "checks.csv")
    outputs = measured["exported"].tables["outputs"].drop(columns="cell").assign(status="ok")
    write_csv(outputs, folder / "gate_outputs.csv")
    findings = judge(measured, about["data"].get("rows"), basis_of(about))
    draw(curves, findings, folder / "gate_curve.png")
    answer = sentences("gate/answer.md.j2", "lines", findings)
    (folder / "verdict.json").write_text(
        json.dumps(_payload(" ".join(answer), findings), indent=2) + "\n", encoding="ascii"
    )
    report = render(
        "gate/report.md.j2",
        **shared,
        **vars(findings),
        found=findings,
        answer=answer,
        outputs=outputs,
        ratios=measured["ratio"],
        arms=measured["arm"],
        names=SCORES,
        deployments=DEPLOYMENTS,
        whole=WHOLE,
        alone=ALONE,
        prefix=prefix,
        levels=CASCADE_LEVELS,
        share_compared=tables.AT,
        retrieval=RETRIEVAL,
        spreads=SPREADS,
        margin=max(SPREADS[QUERY_ADAPTER].values()),
        by_setting=by_setting,
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return "\n".join(answer)


def _payload(words: str, found: Findings) -> dict[str, Any]:
    """The content of verdict.json: every number with its deployment and index size."""
    kept = ("threshold", "coverage", "bound", "lacking_accepts")
    uses = [
        {
            "deployment": deployment,
            "index": index,
            "index_size": found.of(deployment, index)[0]["index_size"],
            "score": found.scores[deployment],
            "right_without_gate": float(found.exported[prefix(deployment, index) + "accuracy"]),
            "targets": {f"{c['target']:.2f}": {name: c[name] for name in kept} for c in found.of(deployment, index)},
        }
        for deployment, index in USES
    ]
    routes = {"score": found.score, **{name: name for name in ROUTES}}
    cascade = {
        "deployment": QUERY_ADAPTER,
        "index_size": found.index_size,
        "score": found.score,
        "map_ndcg_at_10": float(found.exported["query_adapter_ndcg_at_10"]),
        "teacher_ndcg_at_10": float(found.exported["teacher_ndcg_at_10"]),
        "sent_for": {
            f"{level:.2f}": {name: found.sent(route, level) for name, route in routes.items()}
            for level in CASCADE_LEVELS
        },
    }
    styles = [
        {"deployment": deployment, **contrast.as_record()}
        for deployment, contrasts in found.contrasts.items()
        for contrast in contrasts
    ]
    warnings = [dataclasses.asdict(suspicion) for suspicion in found.suspicions]
    return {
        "answer": words,
        "relevance": found.basis,
        "warnings": warnings,
        "uses": uses,
        "cascade": cascade,
        "styles": styles,
    }


def _write_curves(curves: pd.DataFrame, folder: Path) -> None:
    """Accept curves: the mean over seeds as CSV, and every seed's as arrays (maps and seeds, coverages) by use."""
    of_use = ["deployment", "index", "index_size", "score"]
    setting = [*(name for name in tables.MAP if name != "seed"), *of_use, "coverage"]
    mean = curves.groupby(setting, sort=False, as_index=False)[["threshold", "risk"]].mean()
    write_csv(mean.assign(precision=1 - mean["risk"]).map(_significant), folder / "gate_curve.csv")
    arrays = {}
    for (deployment, index, score), own in curves.groupby(["deployment", "index", "score"]):
        for value in ("threshold", "risk"):
            wide = own.pivot_table(index=list(tables.MAP), columns="coverage", values=value, sort=False)
            arrays[f"{prefix(deployment, index)}{score}_{value}"] = wide.to_numpy(dtype=np.float32)
    np.savez_compressed(folder / "gate_curve.npz", allow_pickle=False, **arrays)


def _significant(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT}g}") if isinstance(value, float) else value

"""Experiment 2's artifacts: CSVs, figures, verdict.json and report.md; the prose is in `report.md.j2`."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.alignment.setting import Setting
from embalign.evaluation.results import Results
from embalign.experiments.grid import rerun_command
from embalign.experiments.spectral import protocol
from embalign.experiments.spectral.figures import draw_differences, draw_spectrum
from embalign.experiments.spectral.protocol import BASELINE, MARGINS, PRIMARY_CONTROL, TREATMENT, Controls, cause
from embalign.experiments.tables import widen, write_by_label, write_csv
from embalign.experiments.templates import render, sentence
from embalign.verdicts.contrasts import Contrast, by_setting, find, judge_contrasts
from embalign.verdicts.metrics import ALIGNMENT, JUDGED, METRICS, PUBLISHED
from embalign.verdicts.statistics import student_t

SPECTRAL = ("spec_cosine", "spec_mse", "spectral_excess", "gradient_ratio", "weight", "fft_norm", "draw")
COLUMNS = ("pair", "arm", "convention", "lambda", "seed", *PUBLISHED, *SPECTRAL)
SHOWN = (*JUDGED, "gate_augrc", "spec_cosine", "spectral_excess", "gradient_ratio")


def write_report(results: Mapping[str, Results], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the one-line answer."""
    rows, control, curves = (results[name] for name in ("spectral_ab", "positive_control", "spectrum"))
    write_csv(rows.frame.assign(fft_norm=_fft_norms(rows.frame)), folder / "spectral_ab.csv", COLUMNS)
    write_by_label(rows, folder / "spectral_ab_by_label.npz")
    write_csv(control.frame, folder / "positive_control.csv", ("pair", "arm", "draw", "seed"))
    wide = widen(curves, "bands", "band", {"amplitude": "band_{:02d}"})
    groups = {"cosine": "cosine_{:02d}", "spec_cosine": "spec_cosine_{:02d}"}
    wide = widen(dataclasses.replace(curves, frame=wide), "groups", "group", groups)
    write_csv(wide, folder / "spectrum.csv", ("pair", "curve", "convention", "lambda", "seed"))

    measured = rows.ok()
    contrasts = judge_contrasts(measured, protocol.planned(measured), MARGINS)
    controls = protocol.judge_controls(control)
    draw_differences(contrasts, folder / "spectral_ab.png")
    draw_spectrum(curves.ok(), folder / "spectrum.png")
    found = _answer(contrasts, controls)
    words = sentence("spectral/answer.md.j2", "answer", found)
    payload = {
        "answer": words,
        "controls": dataclasses.asdict(controls),
        "contrasts": [_machine_readable(contrast, contrasts) for contrast in contrasts],
    }
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    report = render(
        "spectral/report.md.j2",
        about=about,
        found=found,
        margins=MARGINS,
        answers=_answers(contrasts, measured.frame),
        controls=controls,
        control_means=control.ok().frame.groupby("arm")[ALIGNMENT].mean().to_dict() if controls.positive else {},
        items=max((contrast.verdict.items for contrast in contrasts), default=0),
        against_baseline=by_setting([c for c in contrasts if c.control == BASELINE]),
        against_controls=by_setting([c for c in contrasts if c.control != BASELINE]),
        detectable=_detectable(contrasts),
        law=_excess(measured),
        arms=list(measured.frame.groupby(["arm", "convention", "lambda"], sort=False)),
        shown=SHOWN,
        main=ALIGNMENT,
        digits={name: metric.digits for name, metric in METRICS.items()},
        failed=rows.frame[rows.frame["status"] != "ok"].to_dict("records"),
        command=rerun_command("spectral", about),
    )
    (folder / "report.md").write_text(report, encoding="utf-8")
    return words


def _answer(contrasts: Sequence[Contrast], controls: Controls) -> dict[str, Any]:
    """What the answer is made of: gains that are spectral, and counts at the memo's λ and by gradient ratio."""
    tested = [c for c in contrasts if (c.treatment, c.control) == (TREATMENT, BASELINE)]
    by: dict[str, list[Contrast]] = {"lambda": [], "gradient_ratio": []}
    for contrast in tested:
        by[_setting(contrast).by].append(contrast)
    spectral = [c for c in tested if cause(contrasts, (c.convention, c.strength), c.metric) == "spectral"]
    return {
        "controls_found": controls.found,
        "gains": [c for c in spectral if c.kind == "better"],
        "memo": _summary(by["lambda"], contrasts),
        "larger": _summary(by["gradient_ratio"], contrasts),
    }


def _summary(own: Sequence[Contrast], contrasts: Sequence[Contrast]) -> dict[str, Any] | None:
    if not own:
        return None
    kinds = [contrast.kind for contrast in own]
    changed = [
        {
            "metric": contrast.metric,
            "difference": contrast.verdict.difference,
            "strength": contrast.strength,
            "scale": _setting(contrast).scale,
            "cause": cause(contrasts, (contrast.convention, contrast.strength), contrast.metric),
        }
        for contrast in own
        if contrast.kind in ("better", "worse")
    ]
    return {
        "lowest": min(contrast.strength for contrast in own),
        "highest": max(contrast.strength for contrast in own),
        "count": len(own),
        "kinds": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "changed": changed,
    }


def _answers(contrasts: Sequence[Contrast], measured: pd.DataFrame) -> list[dict[str, Any]]:
    """What the spectral loss changes at each setting, and what that is attributed to."""
    share = measured[measured["arm"] == TREATMENT].groupby(["convention", "lambda"])["gradient_ratio"].mean()
    return [
        {
            "convention": setting[0],
            "strength": setting[1],
            "gradient": share[setting],
            "found": {
                metric: (find(contrasts, TREATMENT, BASELINE, setting, metric), cause(contrasts, setting, metric))
                for metric in MARGINS
            },
        }
        for setting in protocol.settings_of(contrasts)
    ]


def _detectable(contrasts: Sequence[Contrast]) -> dict[str, float]:
    """The effect between spectral and scrambled that is found with power 0.8 at the noisiest setting, by metric."""
    primary = [c for c in contrasts if (c.treatment, c.control) == (TREATMENT, PRIMARY_CONTROL)]
    return {
        metric: max((c.verdict.minimum_detectable_effect for c in primary if c.metric == metric), default=math.nan)
        for metric in MARGINS
    }


def _excess(measured: Results) -> dict[str, Any]:
    """The spectral excess over seeds of maps without a spectral loss."""
    found = {arm: measured.where(arm=arm).frame for arm in (BASELINE, "ridge")}
    return {arm: student_t(rows["spectral_excess"].to_numpy()) for arm, rows in found.items() if len(rows) > 1}


def _machine_readable(found: Contrast, contrasts: Sequence[Contrast]) -> dict[str, Any]:
    fields = found.as_record()
    if (found.treatment, found.control) == (TREATMENT, BASELINE):
        fields["put_down_to"] = cause(contrasts, (found.convention, found.strength), found.metric)
    return fields


def _setting(contrast: Contrast) -> Setting:
    return Setting.named(contrast.convention, contrast.strength)


def _fft_norms(rows: pd.DataFrame) -> pd.Series:
    return rows["convention"].map(lambda name: "none" if name == "none" else Setting.named(name, 0).fft_norm)

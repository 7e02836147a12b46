"""Experiment 2's report: does the spectral loss help, and is any effect spectral?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.reporting.spectral_figures import draw_differences, draw_spectrum
from embalign.reporting.spectral_verdicts import MARGINS, NAMES, Contrast, answer, judge_contrasts
from embalign.reporting.tables import METRICS, markdown, mean_with_interval, rerun_command, write_csv

SPECTRAL = ("spec_cosine", "spec_mse", "spectral_excess", "gradient_ratio")
COLUMNS = ("pair", "arm", "convention", "lambda", "seed", *METRICS, *SPECTRAL)


def write_report(frames: Mapping[str, pd.DataFrame], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the one-line answer."""
    rows, curves = frames["spectral_ab"], frames["spectrum"]
    write_csv(rows, folder / "spectral_ab.csv", COLUMNS)
    write_csv(curves, folder / "spectrum.csv", ("pair", "curve", "convention", "lambda", "seed"))
    measured = rows[rows["status"] == "ok"]
    contrasts = judge_contrasts(measured)
    draw_differences(contrasts, folder / "spectral_ab.png")
    draw_spectrum(curves, folder / "spectrum.png")
    payload = {"answer": answer(contrasts), "contrasts": [_machine_readable(found) for found in contrasts]}
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    (folder / "report.md").write_text(_report(rows, contrasts, about), encoding="utf-8")
    return answer(contrasts)


def _report(rows: pd.DataFrame, contrasts: list[Contrast], about: Mapping[str, Any]) -> str:
    seeds = len(about["seeds"])
    measured = rows[rows["status"] == "ok"]
    against = [found for found in contrasts if found.control == "baseline"]
    controls = [found for found in contrasts if found.control != "baseline"]
    parts = [
        f"# Spectral distillation: {about['pair']}",
        f"**{answer(contrasts)}** Gains in spectral cosine or spectral MSE do not count: the loss optimises them.",
        "![Differences of each arm to the baseline](spectral_ab.png)",
        "## A/B: every arm against the baseline",
        f"Paired over {seeds} seeds, 95 % t intervals, Holm over lambda x metric within a contrast. Equivalent means "
        "within " + " and ".join(f"{margin:g} {NAMES[metric]}" for metric, margin in MARGINS.items()) + " (two "
        "one-sided tests). Convention `raw`: the loss as written, on the map's own output, FFT unscaled. `unit`: both "
        "vectors at length 1, orthonormal FFT.",
        markdown(_contrast_table(against)),
        _detectable(contrasts) + ". Adjusted p-values are in `verdict.json`.",
        "## Is any effect spectral?",
        "The same spectral loss on randomly permuted and sign-flipped dimensions, and a penalty on the norm alone. An "
        "effect that does not beat both is not spectral.",
        markdown(_contrast_table(controls)),
        "![Amplitude spectra and the Rayleigh law](spectrum.png)",
        "## Every arm",
        f"Mean over {seeds} seeds ± half the 95 % t interval. Gradient ratio: norm of the added term's gradient over "
        "that of the cosine loss, in W, on the first batch after warm-up.",
        markdown(_arm_table(measured)),
        "## What this rests on",
        "- The rule's error rates have not been measured, and there is no positive control yet: a synthetic task on "
        "which a spectral effect exists and must be found.\n"
        "- One signed permutation a seed. The intervals cover seeds (pool, initial map, batch order), not the choice "
        "of test items.",
    ]
    failed = rows[rows["status"] != "ok"]
    if len(failed):
        listed = "\n".join(
            f"- {row['arm']}, {row['convention']}, lambda {row['lambda']:g}, seed {row['seed']}: {row['status']}"
            for _, row in failed.iterrows()
        )
        parts += ["## Failed cells", listed]
    parts += [
        "## Run it again",
        f"```\n{rerun_command('spectral', about)}\n```",
        "`provenance.json` names data, models, code and versions.",
    ]
    return "\n\n".join(parts) + "\n"


def _contrast_table(contrasts: list[Contrast]) -> pd.DataFrame:
    """One line a treatment, control and setting; difference, interval and verdict side by side for each metric."""
    lines: dict[tuple[Any, ...], dict[str, str]] = {}
    for found in contrasts:
        low, high = found.verdict.interval
        line = lines.setdefault(
            (found.treatment, found.control, found.convention, found.weight),
            {
                "arm": found.treatment,
                "against": found.control,
                "convention": found.convention,
                "lambda": f"{found.weight:g}",
            },
        )
        digits = 5 if found.metric == "cosine_mean" else 4
        name = NAMES[found.metric]
        line[f"{name}: difference"] = f"{found.verdict.difference:+.{digits}f} ({low:+.{digits}f}, {high:+.{digits}f})"
        line[f"{name}: verdict"] = found.kind
    return pd.DataFrame(lines.values()).fillna("")


def _detectable(contrasts: list[Contrast]) -> str:
    worst = {
        metric: max(
            (
                found.verdict.minimum_detectable_effect
                for found in contrasts
                if found.metric == metric and found.weight > 0
            ),
            default=float("nan"),
        )
        for metric in MARGINS
    }
    return "Smallest difference these seeds find with power 0.8, for the noisiest arm: " + ", ".join(
        f"{value:.5f} {NAMES[metric]}" for metric, value in worst.items()
    )


def _arm_table(measured: pd.DataFrame) -> pd.DataFrame:
    metrics = {
        "cosine_mean": ("mean cosine", 4),
        "spearman": ("Spearman", 4),
        "recall_at_1": ("Recall@1", 4),
        "mrr": ("MRR", 4),
        "gate_augrc": ("gate AUGRC", 4),
        "spec_cosine": ("spec. cosine", 4),
        "spectral_excess": ("excess", 5),
        "gradient_ratio": ("gradient ratio", 5),
    }
    lines = []
    for (arm, convention, weight), group in measured.groupby(["arm", "convention", "lambda"], sort=False):
        line = {"arm": arm, "convention": convention, "lambda": f"{weight:g}"}
        lines.append(
            line | {name: mean_with_interval(group[column], digits) for column, (name, digits) in metrics.items()}
        )
    return pd.DataFrame(lines)


def _machine_readable(found: Contrast) -> dict[str, Any]:
    return dataclasses.asdict(found) | {"kind": found.kind}

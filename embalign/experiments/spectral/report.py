"""Experiment 2's report: does the spectral loss help, and is any effect spectral?"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.experiments.spectral.figures import draw_differences, draw_spectrum
from embalign.experiments.spectral.judgement import (
    MARGINS,
    PRIMARY_CONTROL,
    Contrast,
    Controls,
    answer,
    cause,
    find,
    judge_contrasts,
    judge_controls,
    settings_of,
)
from embalign.experiments.tables import (
    METRICS,
    NAMES,
    markdown,
    mean_with_interval,
    rerun_command,
    write_by_label,
    write_csv,
)
from embalign.verdicts.ab import ABVerdict
from embalign.verdicts.statistics import student_t

SPECTRAL = ("spec_cosine", "spec_mse", "spectral_excess", "gradient_ratio", "weight", "fft_norm", "draw")
FFT_NORMS = {"raw": "backward", "unit": "ortho"}
COLUMNS = ("pair", "arm", "convention", "lambda", "seed", *METRICS, *SPECTRAL)


def write_report(frames: Mapping[str, pd.DataFrame], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the one-line answer."""
    rows, control_rows, curves = (frames[name] for name in ("spectral_ab", "positive_control", "spectrum"))
    named = rows.assign(fft_norm=rows["convention"].map(lambda name: FFT_NORMS.get(name.partition("_")[0], "none")))
    write_csv(named, folder / "spectral_ab.csv", COLUMNS)
    write_by_label(rows, folder / "spectral_ab_by_label.npz")
    write_csv(control_rows, folder / "positive_control.csv", ("pair", "arm", "draw", "seed"))
    write_csv(curves, folder / "spectrum.csv", ("pair", "curve", "convention", "lambda", "seed"))
    measured = rows[rows["status"] == "ok"]
    contrasts, controls = judge_contrasts(measured), judge_controls(control_rows)
    draw_differences(contrasts, folder / "spectral_ab.png")
    draw_spectrum(curves, folder / "spectrum.png")
    words = answer(contrasts, controls)
    payload = {
        "answer": words,
        "controls": dataclasses.asdict(controls),
        "contrasts": [_machine_readable(found, contrasts) for found in contrasts],
    }
    (folder / "verdict.json").write_text(json.dumps(payload, indent=2) + "\n", encoding="ascii")
    report = _report(rows, control_rows, contrasts, controls, words, about)
    (folder / "report.md").write_text(report, encoding="utf-8")
    return words


def _report(
    rows: pd.DataFrame,
    control_rows: pd.DataFrame,
    contrasts: list[Contrast],
    controls: Controls,
    words: str,
    about: Mapping[str, Any],
) -> str:
    seeds = len(about["seeds"])
    measured = rows[rows["status"] == "ok"]
    items = max((found.verdict.items for found in contrasts), default=0)
    margins = " and ".join(f"{margin:g} {NAMES[metric]}" for metric, margin in MARGINS.items())
    parts = [
        f"# Spectral distillation: {about['pair']}",
        f"**{words}** Gains in spectral cosine or spectral MSE do not count: the loss optimises them.",
        "![Differences of each arm to the baseline](spectral_ab.png)",
        "## In plain words",
        f"What the spectral loss changes against the baseline, and what that is put down to. Equivalent: within "
        f"{margins}, by two one-sided tests; better, worse: not zero after Holm, and not shown to be within; "
        "inconclusive: neither. Spectral: it also differs, in the same direction, from the same loss on scrambled "
        "dimensions and from a penalty on the norm alone. Gradient: the term's gradient over the cosine loss's, as "
        "measured after warm-up.",
        markdown(_answers(contrasts, measured)),
        "`raw`: loss and λ as the memo writes them, on the map's own output, FFT unscaled. `unit`: "
        "both vectors at length 1, orthonormal FFT. `..._gradient_ratio`: λ set to give the term's gradient "
        "that share of the cosine loss's after a warm-up that the cosine loss alone has led; with the term in it the "
        "share that came about is in the column gradient, the weight it took in the CSV. Scrambled: dimensions "
        "permuted and sign-flipped (arm `signed_permutation`), a new draw each seed.",
        "## Can this experiment find a spectral effect?",
        _controls(controls, control_rows),
        "## A/B: every arm against the baseline",
        f"Paired over {seeds} seeds and {items} label groups of the test set, 95 % intervals, Holm over lambda x "
        "metric within a contrast; random arms are means over their draws.",
        markdown(_contrast_table([found for found in contrasts if found.control == "baseline"])),
        _detectable(contrasts) + ". Adjusted p-values are in `verdict.json`.",
        "## Is any effect spectral?",
        "A model's dimensions can be permuted and sign-flipped without changing what it computes. The first contrast "
        "is with the same loss on such scrambled dimensions, the second with a penalty on the norm alone.",
        markdown(_contrast_table([found for found in contrasts if found.control != "baseline"])),
        "## The spectra",
        "![Amplitude spectra and the Rayleigh law](spectrum.png)",
        _law(measured),
        "## Every arm",
        f"Mean over {seeds} seeds ± half the 95 % t interval over seeds. Gradient ratio: norm of the added term's "
        "gradient over that of the cosine loss, in W, on the first batch after warm-up. Rotation: the spectral loss "
        "after a random rotation of both sides; phase: what the mean squared error has beyond the amplitudes.",
        markdown(_arm_table(measured)),
        "## What this rests on",
        "- Margins and contrasts were fixed before any run. Error rates of the verdict are measured in "
        "`docs/calibration/ab.md`.\n"
        "- The positive control is synthetic and judged by cosine; it shows that an order effect can be found, not how "
        "large one in real embeddings would be.\n"
        f"- One corpus, linear maps, {about['config']['steps']} steps, amplitude only. Arms that train longer or on "
        "other data were not measured.",
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
        "`provenance.json` names data, models, code and versions. `spectral_ab_by_label.npz` holds the values by label "
        "group that standard errors over test items come from, one row a row of the CSV.",
    ]
    return "\n\n".join(parts) + "\n"


def _answers(contrasts: list[Contrast], measured: pd.DataFrame) -> pd.DataFrame:
    spectral = measured[measured["arm"] == "spectral"]
    share = spectral.groupby(["convention", "lambda"])["gradient_ratio"].mean()
    lines = []
    for convention, weight in settings_of(contrasts):
        line = {
            "convention": convention,
            "lambda or ratio": f"{weight:g}",
            "gradient": f"{share[convention, weight]:.2g}",
        }
        for metric in MARGINS:
            name = NAMES[metric]
            found = find(contrasts, "spectral", "baseline", convention, weight, metric)
            if found is not None:
                line[name] = f"{found.kind} ({found.verdict.difference:+.4f})"
                line[f"{name}: put down to"] = cause(contrasts, convention, weight, metric)
        lines.append(line)
    return pd.DataFrame(lines).fillna("")


def _controls(controls: Controls, rows: pd.DataFrame) -> str:
    if controls.positive is None or controls.negative is None:
        return "The controls could not be measured, so no verdict is given."
    means = rows[rows["status"] == "ok"].groupby("arm")["cosine_mean"].mean()
    listed = ", ".join(f"{arm.replace('_', ' ')} {mean:.4f}" for arm, mean in means.items())
    found = "It is found" if controls.found else "It is not found"
    return (
        "Positive control: a synthetic teacher whose dimensions form a band-limited signal, phases noisy in training, "
        f"where the spectral loss is known to help and scrambling its dimensions to undo that. {found}: spectral minus "
        f"scrambled is {_shown(controls.positive)} ({controls.positive.kind}). Mean cosine: {listed}. Negative "
        f"control: one scrambled draw minus another is {_shown(controls.negative)} ({controls.negative.kind})."
    )


def _shown(verdict: ABVerdict) -> str:
    low, high = verdict.interval
    return f"{verdict.difference:+.4f} (95 % interval {low:+.4f} to {high:+.4f})"


def _law(measured: pd.DataFrame) -> str:
    lines = []
    for arm in ("baseline", "ridge"):
        rows = measured[measured["arm"] == arm]
        if len(rows) < 2:
            continue
        excess = student_t(rows["spectral_excess"].to_numpy())
        low, high = excess.interval()
        lines.append(f"{arm} {excess.mean:+.5f} (95 % interval {low:+.5f} to {high:+.5f})")
    return (
        "At a given cosine the Rayleigh law says what spectral cosine to expect of unrelated phases, without a free "
        f"parameter. Spectral excess, what is above it: {'; '.join(lines)}. A spectral cosine near the law is the "
        "cosine in other words."
    )


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
    primary = [found for found in contrasts if (found.treatment, found.control) == ("spectral", PRIMARY_CONTROL)]
    worst = {
        metric: max((c.verdict.minimum_detectable_effect for c in primary if c.metric == metric), default=math.nan)
        for metric in MARGINS
    }
    found = ", ".join(f"{value:.5f} {NAMES[metric]}" for metric, value in worst.items())
    return (
        f"Smallest difference between spectral and scrambled found with power 0.8 after Holm, at its noisiest: {found}"
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
        by_seed = group.groupby("seed").mean(numeric_only=True)
        lines.append(
            line | {name: mean_with_interval(by_seed[column], digits) for column, (name, digits) in metrics.items()}
        )
    return pd.DataFrame(lines)


def _machine_readable(found: Contrast, contrasts: list[Contrast]) -> dict[str, Any]:
    fields = dataclasses.asdict(found) | {"kind": found.kind}
    if (found.treatment, found.control) == ("spectral", "baseline"):
        fields["put_down_to"] = cause(contrasts, found.convention, found.weight, found.metric)
    return fields

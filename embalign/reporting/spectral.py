"""Experiment 2's report: does the spectral loss help, and is any effect spectral?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.reporting.elbow import rerun_command
from embalign.reporting.spectral_figures import draw_differences, draw_spectrum
from embalign.reporting.tables import markdown, mean_with_interval, write_csv
from embalign.verdicts.ab import ABVerdict, judge_ab
from embalign.verdicts.statistics import holm

COLUMNS = [
    "pair",
    "arm",
    "convention",
    "lambda",
    "seed",
    "cosine_mean",
    "cosine_p05",
    "cosine_p50",
    "cosine_p95",
    "skill",
    "spearman",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "mrr",
    "gate_augrc",
    "gate_accept_rate",
    "spec_cosine",
    "spec_mse",
    "spectral_excess",
    "gradient_ratio",
]
# Fixed before any run: differences inside these do not matter.
MARGINS = {"cosine_mean": 0.002, "recall_at_1": 0.01}
NAMES = {"cosine_mean": "mean cosine", "recall_at_1": "Recall@1"}
ALPHA = 0.05
CONTRASTS = ("signed_permutation", "baseline", "norm_only")


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One tested difference between two arms on one metric; `p_holm` is adjusted over lambda x metric."""

    treatment: str
    control: str
    convention: str
    weight: float
    metric: str
    verdict: ABVerdict
    p_holm: float

    @property
    def kind(self) -> str:
        """The verdict's kind after Holm's adjustment: an unadjusted difference alone does not count."""
        if self.verdict.kind in ("better", "worse") and self.p_holm > ALPHA:
            return "inconclusive"
        return self.verdict.kind


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


def judge_contrasts(measured: pd.DataFrame) -> list[Contrast]:
    """Return the contrasts of spectral with its controls, and of every other arm with the baseline."""
    planned = []
    for (arm, convention, weight), _ in measured.groupby(["arm", "convention", "lambda"], sort=False):
        controls = CONTRASTS if arm == "spectral" else () if arm == "baseline" else ("baseline",)
        planned += [(arm, control, convention, weight) for control in controls]
    contrasts: list[Contrast] = []
    for family in dict.fromkeys((arm, control) for arm, control, _, _ in planned):
        tested = []
        for arm, control, convention, weight in planned:
            if (arm, control) != family:
                continue
            for metric, margin in MARGINS.items():
                verdict = _judge(measured, arm, control, convention, weight, metric, margin)
                if verdict is not None:
                    tested.append((convention, weight, metric, verdict))
        adjusted = holm([verdict.p_value for *_, verdict in tested])
        contrasts += [
            Contrast(*family, convention, weight, metric, verdict, p)
            for (convention, weight, metric, verdict), p in zip(tested, adjusted, strict=True)
        ]
    return contrasts


def answer(contrasts: list[Contrast]) -> str:
    """Return the answer in one or two sentences: a gain counts as spectral only if it beats both controls."""
    spectral = [found for found in contrasts if found.treatment == "spectral"]
    better = {
        control: {(c.convention, c.weight, c.metric) for c in spectral if c.control == control and c.kind == "better"}
        for control in CONTRASTS
    }
    held = sorted(better["baseline"] & better["signed_permutation"] & better["norm_only"])
    if held:
        where = ", ".join(f"{NAMES[metric]} at lambda {weight:g} ({convention})" for convention, weight, metric in held)
        return f"The spectral loss beats the baseline and both controls on {where}."
    if better["baseline"]:
        return (
            "The spectral loss beats the baseline somewhere, but not both controls there: the gain is not shown to be "
            "spectral."
        )
    against_baseline = [found for found in spectral if found.control == "baseline"]
    same = sum(found.kind == "equivalent" for found in against_baseline)
    worse = sum(found.kind == "worse" for found in against_baseline)
    return (
        f"The spectral loss is not shown to help: of {len(against_baseline)} comparisons with the baseline {same} are "
        f"equivalent within the margin, {worse} worse, none better."
    )


def _judge(
    measured: pd.DataFrame, arm: str, control: str, convention: str, weight: float, metric: str, margin: float
) -> ABVerdict | None:
    treated = _arm(measured, arm, convention, weight)
    against = _arm(measured, control, convention, weight)
    if treated.empty or against.empty:
        return None
    columns = {metric: "value"}
    try:
        return judge_ab(
            treated.rename(columns=columns)[["seed", "value"]],
            against.rename(columns=columns)[["seed", "value"]],
            margin=margin,
        )
    except ValueError:
        return None


def _arm(measured: pd.DataFrame, arm: str, convention: str, weight: float) -> pd.DataFrame:
    chosen = measured[measured["arm"] == arm]
    if arm in ("baseline", "mean_vector", "ridge", "procrustes"):
        return chosen
    if arm in ("norm_only", "mse"):
        return chosen[chosen["lambda"] == weight]
    return chosen[(chosen["lambda"] == weight) & (chosen["convention"] == convention)]


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

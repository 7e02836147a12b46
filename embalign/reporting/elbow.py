"""Experiment 1's report: the answer first, then the figure, the findings in words, and the tables they rest on."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.reporting.elbow_answers import answer, by_metric, plain_words
from embalign.reporting.elbow_figure import draw, draw_trajectory
from embalign.reporting.elbow_verdicts import (
    BUDGETS,
    MARGIN_SHARE,
    NAMES,
    PRIMARY,
    Comparison,
    Judged,
    compare_density,
    judge_all,
)
from embalign.reporting.tables import (
    METRICS,
    markdown,
    mean_with_interval,
    percent,
    rerun_command,
    span,
    write_by_label,
    write_csv,
)
from embalign.verdicts.elbow import ElbowVerdict
from embalign.verdicts.statistics import student_t

SECOND_METRIC = "recall_at_1"
SHOWN_POLICIES = ("random", "density", "coverage")
COLUMNS = ("pair", "policy", "budget", "ratio", "n_train", "seed", *METRICS)


def write_report(frames: Mapping[str, pd.DataFrame], about: Mapping[str, Any], folder: Path) -> str:
    """Write CSVs, figures, verdict.json and report.md into `folder`; return the one-line answer."""
    rows, references, trajectory = (frames[name] for name in ("data_ratio_vs_metrics", "references", "trajectory"))
    write_csv(rows, folder / "data_ratio_vs_metrics.csv", COLUMNS)
    write_by_label(rows, folder / "data_ratio_vs_metrics_by_label.npz")
    write_csv(references, folder / "references.csv", ("pair", "reference", "seed"))
    write_csv(trajectory, folder / "trajectory.csv", ("pair", "policy", "ratio", "n_train", "seed"))
    measured = rows[rows["status"] == "ok"]
    judged = judge_all(measured, references)
    unmeasured = Judged(
        PRIMARY["policy"],
        PRIMARY["budget"],
        PRIMARY["metric"],
        gain=0.0,
        verdict=None,
        reason="none of its cells could be measured",
    )
    primary = next((found for found in judged if vars(found).items() >= PRIMARY.items()), unmeasured)
    claim = compare_density(measured, references, primary.budget)
    draw(measured, references, judged, folder / "data_ratio_vs_metrics.png")
    draw_trajectory(trajectory[trajectory["status"] == "ok"], folder / "trajectory.png")
    verdict = {
        "primary": _machine_readable(primary),
        "curves": [_machine_readable(found) for found in judged],
        "density_minus_random": [_plain(dataclasses.asdict(comparison)) for comparison in claim],
    }
    (folder / "verdict.json").write_text(json.dumps(verdict, indent=2, allow_nan=False) + "\n", encoding="ascii")
    report = _report(rows, references, trajectory, judged, primary, claim, about)
    (folder / "report.md").write_text(report, encoding="utf-8")
    return answer(primary)[0]


def _report(
    rows: pd.DataFrame,
    references: pd.DataFrame,
    trajectory: pd.DataFrame,
    judged: list[Judged],
    primary: Judged,
    claim: list[Comparison],
    about: Mapping[str, Any],
) -> str:
    measured = rows[rows["status"] == "ok"]
    first, second = answer(primary)
    dimension = about["data"]["draft"]["dimension"]
    parts = [
        f"# Data-efficiency elbow: {about['pair']}",
        f"**{first}** {second}",
        *(
            f"Judged by {NAMES[found.metric]} instead: {' '.join(answer(found))}"
            for found in judged
            if (found.policy, found.budget, found.metric) == (primary.policy, primary.budget, SECOND_METRIC)
        ),
        "![Metrics over the share of training data](data_ratio_vs_metrics.png)",
        "*Grey: the ratio that is enough, with its interval, for random selection. Hatched: where a bend may lie. "
        "Bands: 95 % t intervals over seeds. Policies: random; density, the densest items of the draft's space first "
        "(mean cosine to the 10 nearest); coverage, one from each k-means cluster in turn; sparse, the least dense "
        "first; kcenter, the farthest from those picked; facility, what best covers the pool.*",
        "## In plain words",
        f"For {primary.policy} selection and {BUDGETS[primary.budget]}. Elbow: what a doubling of the data brings at "
        "least halves there; the curve need not be sharp. Enough: the smallest ratio from which on no loss exceeds "
        f"{percent(MARGIN_SHARE)} of the whole gain, and the same at two other margins. Unseen below: the loss against "
        "100 % that is found with power 0.8.",
        markdown(by_metric(judged)),
        "\n".join(plain_words(judged, claim, measured, references)),
        "## The curve",
        f"Mean over {len(about['seeds'])} seeds ± half the width of the 95 % t interval over seeds, "
        f"{BUDGETS[primary.budget]}, on held-out label groups; further policies are in the CSV. 100 % is one seed's "
        "pool, nine tenths of the training items. Where n is near the number of the draft's dimensions "
        f"({dimension}; n/d near 1), fits without a penalty are at their worst; a dip there is not noise in the data.",
        markdown(_curve_table(measured, primary.budget)),
        _ridge_sentence(measured),
        "## Densest first against random",
        "Gain share: the part of the gain from no data to all of it, here under density selection, and what it is over "
        "random selection at the same ratio. Paired by seed and label, one-sided, Holm over the table.",
        markdown(_claim_table(claim)) if claim else "Not measured.",
        "## Every curve",
        "Kinds: `elbow`, returns at least halve (the upper bound of the slope ratio, in brackets, is at most 0.50); "
        "`gradual`, improving without that; `flat`; `declining`, a smaller ratio beats 100 %; `unidentifiable`, the "
        "slope halves where fewer than two ratios lie on one side. Bend: where the slope falls most, with interval.",
        f"Margin for the recommended ratio: {percent(MARGIN_SHARE)} of the gain from no data (constant vector for "
        "cosine and Spearman, chance for retrieval) to all of it. The interval holds the ratios that may be the "
        "smallest sufficient one. Detectable: the loss against 100 % found with power 0.8 at the noisiest ratio.",
        markdown(_verdict_table(judged)),
        "## Along training",
        "![Held-out mean cosine along training](trajectory.png)",
        _trajectory_words(trajectory[trajectory["status"] == "ok"]),
        "## Floor and ceiling",
        "Constant: the mean teacher vector for every input. Untrained: the map before its first step. Chance: random "
        "vectors. Draft and teacher: their own embeddings, unmapped.",
        markdown(_reference_table(references)),
        "## What would change the answer",
        f"- **Another metric or margin**: the first two sentences are about {NAMES[primary.metric]} at "
        f"{percent(MARGIN_SHARE)} of its gain.\n"
        "- **Another budget**: with fixed steps a small subset is passed over more often; with fixed epochs it is "
        "trained for fewer steps, so part of its loss is under-training. Ridge has no steps to run out of.\n"
        f"{_stopping_earlier(trajectory[trajectory['status'] == 'ok'])}"
        "- **More seeds or test items**: intervals shrink, and what is open or `unidentifiable` may be settled.",
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
        "`provenance.json` names data, models, code and versions. `data_ratio_vs_metrics_by_label.npz` holds the "
        "values by label group that standard errors over test items come from, one row a row of the CSV.",
    ]
    return "\n\n".join(parts) + "\n"


def _curve_table(measured: pd.DataFrame, budget: str) -> pd.DataFrame:
    chosen = measured[(measured["budget"] == budget) & measured["policy"].isin(SHOWN_POLICIES)]
    lines: list[tuple[float, dict[str, str]]] = []
    for (ratio, policy), group in chosen.groupby(["ratio", "policy"], sort=False):
        if ratio == 1 and any(known == 1 for known, _ in lines):
            continue
        line = {
            "ratio": percent(ratio),
            "n": str(int(group["n_train"].iloc[0])),
            "n/d": f"{group['n_over_d'].iloc[0]:.2f}",
            "policy": "any" if ratio == 1 else policy,
        }
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
        f"{high:+.4f})."
    )


def _claim_table(claim: list[Comparison]) -> pd.DataFrame:
    lines = []
    for found in claim:
        low, high = found.difference.interval()
        lines.append(
            {
                "ratio": percent(found.ratio),
                "metric": NAMES[found.metric],
                "gain share, density": f"{found.share:.2f}",
                "density - random": f"{found.difference.mean:+.3f}",
                "95 % interval": f"{low:+.3f} to {high:+.3f}",
                "verdict": found.word,
            }
        )
    return pd.DataFrame(lines)


def _verdict_table(judged: list[Judged]) -> pd.DataFrame:
    lines = []
    for found in judged:
        line = {"metric": NAMES[found.metric], "policy": found.policy, "budget": BUDGETS[found.budget]}
        line["gain"] = f"{found.gain:+.4f}"
        if found.verdict is None:
            lines.append(line | {"verdict": f"none: {found.reason}"})
            continue
        verdict = found.verdict
        bend = f"{percent(verdict.bend)} ({span(verdict.bend_interval)})" if verdict.bend else "none shown"
        lines.append(
            line
            | {
                "verdict": verdict.kind,
                "bend": bend,
                "slope after/before": _slopes(verdict),
                "recommended": percent(verdict.recommended_ratio),
                "interval": span(verdict.recommended_interval),
                "detectable": f"{verdict.minimum_detectable_effect:.4f}",
            }
        )
    return pd.DataFrame(lines).fillna("")


def _slopes(verdict: ElbowVerdict) -> str:
    if verdict.slope_ratio is None or verdict.slope_ratio_upper is None:
        return ""
    upper = f"{verdict.slope_ratio_upper:.2f}" if math.isfinite(verdict.slope_ratio_upper) else "above 1"
    return f"{verdict.slope_ratio:.2f} ({upper})"


def _stopping_earlier(trajectory: pd.DataFrame) -> str:
    """What the best step of the worst over-fitted ratio would have given."""
    columns = [name for name in trajectory.columns if name.startswith("cosine_mean_step")]
    if trajectory.empty:
        return ""
    mean = trajectory.groupby("ratio")[columns].mean()
    lost = mean.max(axis=1) - mean[columns[-1]]
    ratio = float(lost.idxmax())
    return (
        f"- **Stopping earlier**: small subsets over-fit with these steps; {percent(ratio)} loses {lost[ratio]:.4f} "
        "mean cosine between its best step and its last, which bends the curve of fixed steps.\n"
    )


def _trajectory_words(trajectory: pd.DataFrame) -> str:
    """Where the held-out cosine of each ratio is highest, and what is lost from there to the end."""
    columns = [name for name in trajectory.columns if name.startswith("cosine_mean_step")]
    lines = []
    for ratio, group in trajectory.groupby("ratio"):
        mean = group[columns].mean()
        peak = str(mean.idxmax())
        lines.append(
            {
                "ratio": percent(ratio),
                "highest at step": str(int(peak.removeprefix("cosine_mean_step"))),
                "mean cosine there": f"{mean[peak]:.4f}",
                "at the end": f"{mean[columns[-1]]:.4f}",
            }
        )
    return (
        "Held-out mean cosine along the training of randomly selected subsets, mean over "
        f"{trajectory['seed'].nunique()} seeds. Nothing is chosen by it: a ratio that peaks before the end over-fits "
        "with this budget.\n\n" + markdown(pd.DataFrame(lines))
        if lines
        else "Not measured."
    )


def _reference_table(references: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for reference, group in references.groupby("reference", sort=False):
        metrics = {name: mean_with_interval(group[metric]) for metric, name in NAMES.items()}
        lines.append({"reference": str(reference).replace("_", " ")} | metrics)
    return pd.DataFrame(lines)


def _machine_readable(found: Judged) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "policy": found.policy,
        "budget": found.budget,
        "metric": found.metric,
        "gain": found.gain,
    }
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

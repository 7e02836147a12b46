"""Experiment 1's report: the answer first, then the figure, the findings in words, and the tables they rest on."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.experiments.elbow.answers import answer, beside_ridge, by_metric, plain_words
from embalign.experiments.elbow.figures import draw, draw_trajectory
from embalign.experiments.elbow.judgement import (
    BUDGETS,
    CLAIM_METRICS,
    MARGIN_SHARE,
    PRIMARY,
    Comparison,
    Judged,
    claim_answer,
    compare_density,
    judge_all,
)
from embalign.experiments.elbow.tables import (
    claim_table,
    curve_table,
    reference_table,
    ridge_sentence,
    stopping_earlier,
    trajectory_table,
    verdict_table,
)
from embalign.experiments.tables import METRICS, NAMES, markdown, percent, rerun_command, write_by_label, write_csv

SECOND_METRIC = "recall_at_1"
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
    followed = trajectory[trajectory["status"] == "ok"]
    draw_trajectory(followed, folder / "trajectory.png")
    verdict = {
        "primary": _machine_readable(primary),
        "curves": [_machine_readable(found) for found in judged],
        "density_first": {metric: claim_answer([c for c in claim if c.metric == metric]) for metric in CLAIM_METRICS},
        "density_minus_random": [_plain(dataclasses.asdict(comparison)) for comparison in claim],
    }
    (folder / "verdict.json").write_text(json.dumps(verdict, indent=2, allow_nan=False) + "\n", encoding="ascii")
    report = _report(rows, references, followed, judged, primary, claim, about)
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
        f"**{first}** {second} {beside_ridge(judged, primary)}".strip(),
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
        f"{percent(MARGIN_SHARE)} of the whole gain, and the same at two other margins. Unseen below: the loss or gain "
        "against 100 % that is found with power 0.8, after Holm over the ratios.",
        markdown(by_metric(judged)),
        "\n".join(plain_words(judged, claim, measured, references)),
        "## The curve",
        f"Mean over {len(about['seeds'])} seeds ± half the width of the 95 % t interval over seeds, "
        f"{BUDGETS[primary.budget]}, on held-out label groups; further policies are in the CSV. 100 % is one seed's "
        "pool, nine tenths of the training items. Where n is near the number of the draft's dimensions "
        f"({dimension}; n/d near 1), fits without a penalty are at their worst; a dip there is not noise in the data.",
        markdown(curve_table(measured, primary.budget)),
        ridge_sentence(measured),
        "## Densest first against random",
        "Gain share: the part of the gain from no data to all of it, here under density selection, and what it is over "
        "random selection at the same ratio. Paired by seed and label, one-sided, Holm over the table.",
        markdown(claim_table(claim)) if claim else "Not measured.",
        "## Every curve",
        "Kinds: `elbow`, returns at least halve (the upper bound of the slope ratio, in brackets, is at most 0.50); "
        "`gradual`, improving without that; `flat`; `declining`, a smaller ratio beats 100 %; `unidentifiable`, the "
        "slope halves where fewer than two ratios lie on one side. Bend: where the slope falls most, with interval.",
        f"Margin for the recommended ratio: {percent(MARGIN_SHARE)} of the gain from no data (constant vector for "
        "cosine and Spearman, chance for retrieval) to all of it. The interval holds the ratios that may be the "
        "smallest sufficient one. Detectable: the loss or gain against 100 % found with power 0.8 at the noisiest "
        "ratio, after Holm over the ratios.",
        markdown(verdict_table(judged)),
        "## Along training",
        "![Held-out mean cosine along training](trajectory.png)",
        f"Held-out mean cosine along the training of randomly selected subsets, mean over "
        f"{trajectory['seed'].nunique()} seeds. Nothing is chosen by it: a ratio that peaks before the end over-fits "
        "with this budget.",
        markdown(trajectory_table(trajectory)) if len(trajectory) else "Not measured.",
        "## Floor and ceiling",
        "Constant: the mean teacher vector for every input. Untrained: the map before its first step. Chance: random "
        "vectors. Draft and teacher: their own embeddings, unmapped.",
        markdown(reference_table(references)),
        "## What would change the answer",
        f"- **Another metric or margin**: the first two sentences are about {NAMES[primary.metric]} at "
        f"{percent(MARGIN_SHARE)} of its gain.\n"
        "- **Another budget**: with fixed steps a small subset is passed over more often; with fixed epochs it is "
        "trained for fewer steps, so part of its loss is under-training. Ridge has no steps to run out of.\n"
        f"{stopping_earlier(trajectory)}"
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

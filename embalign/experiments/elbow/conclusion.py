"""What experiment 1's conclusion says: the values that conclusion.md.j2 needs."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from embalign.escaping import markdown
from embalign.experiments.templates import render
from embalign.verdicts.metrics import ALIGNMENT, HEADLINES, PRIMARY, RETRIEVAL, label

CURVES = "data_ratio_vs_metrics.csv"
# What the verdict is given by: metric and budget, for random selection.
ANSWERS = {
    **{label(metric): (metric, "tuned") for metric in HEADLINES},
    f"{label(PRIMARY)}, fixed steps on the same subsets": (PRIMARY, "steps"),
    f"{label(PRIMARY)}, ridge on the same subsets": (PRIMARY, "closed_form"),
    f"{label(ALIGNMENT)}, ridge on the same subsets": (ALIGNMENT, "closed_form"),
}

# What a text may call things that have a digit in their name.
CUT_OFFS = [label(metric).split()[-1] for metric in (PRIMARY, RETRIEVAL)]


def conclude(folder: Path, about: Mapping[str, Any], bind: Callable[..., str]) -> tuple[str, str, list[str]]:
    """Return title, text and names with digits, from the raw data in `folder` and the run's provenance."""
    verdict = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    with (folder / CURVES).open(encoding="utf-8", newline="") as file:
        measured = [row for row in csv.DictReader(file) if row["budget"] == "tuned"]
    compared = any(row["policy"] == "density" for row in measured)
    shown = ("random", "difference") if compared else ("random",)
    text = render(
        "elbow/conclusion.md.j2",
        about=about,
        answers={name: found for name, wanted in ANSWERS.items() if (found := _curve(verdict, *wanted))},
        bind=bind,
        uses=verdict["deployments"],
        score=CUT_OFFS[0],
        columns=["share of data (%)", *(f"{label(metric)}, {what}" for metric in HEADLINES for what in shown)],
        compared=compared,
        density={label(metric): verdict["density_first"][metric] for metric in HEADLINES},
        has=lambda target: (folder / target).exists(),
        items=verdict["primary"].get("items"),
        metrics=HEADLINES,
        retrieval=RETRIEVAL,
        ratios=sorted({float(row["ratio"]) for row in measured if row["policy"] == "random"}),
        table=CURVES,
    )
    return f"How much alignment data is enough? {markdown(about['pair'])}", text, CUT_OFFS


def _curve(verdict: Mapping[str, Any], metric: str, budget: str) -> dict[str, Any] | None:
    """Return the verdict on one curve of random selection, with its `path` in verdict.json."""
    wanted = {"policy": "random", "budget": budget, "metric": metric}
    for place, curve in enumerate(verdict["curves"]):
        if curve.items() >= wanted.items():
            return {**curve, "path": f"curves/{place}"}
    return None

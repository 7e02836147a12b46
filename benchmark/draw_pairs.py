"""Draw README's first picture from committed reports: what a map finds, over the number of pairs it is fitted on.

    python benchmark/draw_pairs.py [--out docs/pairs.png]

One panel a pair, nDCG@10 as a query adapter and as an index migration, random selection, each against no map and the
teacher itself. The numbers are those of `benchmark/<pair>/reports/elbow/`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from embalign.evaluation.deployment import INDEX_MIGRATION, QUERY_ADAPTER
from embalign.experiments.elbow.figures import band
from embalign.experiments.style import BLUE, GREEN, GREY, figure_style, level_labels, note, save
from embalign.verdicts.metrics import BY_DEPLOYMENT

PAIRS = {
    "qwen-sentence-align": "Qwen2.5-Coder 0.5B → 1.5B",
    "debian-static-minilm": "static encoder → all-MiniLM-L6-v2",
}
LINES = {
    (QUERY_ADAPTER, "tuned"): ("query adapter", {"color": BLUE, "marker": "o", "linestyle": "-"}),
    (QUERY_ADAPTER, "steps"): ("query adapter, fixed steps", {"color": BLUE, "marker": "", "linestyle": (0, (1, 1.5))}),
    (QUERY_ADAPTER, "closed_form"): ("query adapter, ridge", {"color": BLUE, "marker": "", "linestyle": (0, (7, 2))}),
    (INDEX_MIGRATION, "tuned"): ("index migration", {"color": GREEN, "marker": "^", "linestyle": (0, (2, 1))}),
}


def draw_pair(axis: Axes, pair: str, models: str) -> None:
    """Draw one pair's panel from its report."""
    reports = ROOT / "benchmark" / pair / "reports" / "elbow"
    measured = pd.read_csv(reports / "data_ratio_vs_metrics.csv")
    levels = pd.read_csv(reports / "references.csv").groupby("reference")[BY_DEPLOYMENT[QUERY_ADAPTER]].mean()
    about = json.loads((reports / "provenance.json").read_text(encoding="utf-8"))
    axis.set_xscale("log")
    for (deployment, budget), (name, look) in LINES.items():
        chosen = measured[(measured["policy"] == "random") & (measured["budget"] == budget)]
        by_seed = chosen.pivot(index="seed", columns="n_train", values=BY_DEPLOYMENT[deployment])
        axis.plot(by_seed.columns, by_seed.mean(), label=name, markeredgecolor="white", markeredgewidth=0.6, **look)
        if budget == "tuned":
            band(axis, by_seed, str(look["color"]))
    heights = {"no map": float(levels["draft"]), "teacher": float(levels["teacher"])}
    for height in heights.values():
        axis.axhline(height, color=GREY, linewidth=0.9, linestyle=":")
    axis.set_ylim(0, 1.12 * heights["teacher"])
    level_labels(axis, heights)
    sizes = sorted(measured["n_train"].unique())
    ticks = [size for size in sizes if not any(0.6 < size / other < 1 for other in sizes)]
    axis.set_xticks(ticks, [f"{size:,}" for size in ticks], fontsize=7.5)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    dimension = about["data"]["draft"]["dimension"]
    most = sizes[-1] / dimension
    note(axis, f"up to {most:.1f} pairs a dimension of the draft", (0.02, 0.985), xycoords="axes fraction", va="top")
    axis.set_title(f"{pair}\n{models}", fontsize=9)
    axis.set_xlabel("training pairs, log scale")


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pairs.png")
    out = parser.parse_args().out
    with figure_style():
        figure, axes = pyplot.subplots(1, 2, figsize=(8.3, 3.9), layout="constrained")
        for axis, (pair, models) in zip(axes, PAIRS.items(), strict=True):
            draw_pair(axis, pair, models)
        axes[0].set_ylabel("nDCG@10, index of the whole corpus")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
        save(figure, out)


if __name__ == "__main__":
    main()

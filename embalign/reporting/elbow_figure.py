"""data_ratio_vs_metrics.png: metrics over the share of training data, by policy and budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from embalign.reporting.style import BLUE, GREEN, GREY, ORANGE, PURPLE, figure_style, save
from embalign.verdicts.statistics import student_t

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from embalign.reporting.elbow_verdicts import Judged

LINES: dict[str, dict[str, Any]] = {
    "random": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "density": {"color": ORANGE, "marker": "s", "linestyle": "-"},
    "coverage": {"color": GREEN, "marker": "^", "linestyle": "-"},
    "sparse": {"color": PURPLE, "marker": "D", "linestyle": "-"},
}
RIDGE: dict[str, Any] = {"color": GREY, "marker": "", "linestyle": (0, (5, 2))}
PANELS = {"cosine_mean": "Mean cosine to teacher", "recall_at_1": "Recall@1"}
ROWS = {"steps": "fixed steps", "epochs": "fixed epochs"}


def draw(measured: pd.DataFrame, references: pd.DataFrame, primary: Judged, path: Path) -> None:
    """Draw the curves with 95 % t bands over seeds, ridge dashed, floor and ceiling, and the primary verdict shaded."""
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, NullLocator

    levels = references.groupby("reference").mean(numeric_only=True)
    ratios = sorted(measured["ratio"].unique())
    with figure_style():
        figure, axes = pyplot.subplots(2, 2, figsize=(8.3, 6.4), sharex=True, layout="constrained")
        for panels, (budget, title) in zip(axes, ROWS.items(), strict=True):
            for axis, (metric, label) in zip(panels, PANELS.items(), strict=True):
                axis.set_xscale("log")
                for policy, style in LINES.items():
                    _curve(axis, measured, policy, budget, metric, style)
                _curve(axis, measured, "random", "closed_form", metric, RIDGE)
                _levels(axis, levels, metric)
                axis.set_title(f"{label}, {title}")
                axis.set_xticks(ratios, [f"{100 * ratio:g}" for ratio in ratios])
                axis.xaxis.set_minor_locator(NullLocator())
                axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                if (budget, metric) == (primary.budget, primary.metric):
                    _verdict(axis, primary)
        for axis in axes[1]:
            axis.set_xlabel("training data used (% of pool, log scale)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        save(figure, path)


def _curve(axis: Axes, measured: pd.DataFrame, policy: str, budget: str, metric: str, style: dict[str, Any]) -> None:
    chosen = measured[(measured["policy"] == policy) & (measured["budget"] == budget)]
    if chosen.empty:
        return
    by_ratio = chosen.pivot(index="seed", columns="ratio", values=metric)
    mean = by_ratio.mean()
    label = "ridge (random)" if budget == "closed_form" else policy
    axis.plot(mean.index, mean, label=label, markeredgecolor="white", markeredgewidth=0.6, **style)
    complete = by_ratio.dropna()
    if budget != "closed_form" and len(complete) > 1:
        bounds = np.array([student_t(complete[ratio].to_numpy()).interval() for ratio in mean.index]).T
        axis.fill_between(mean.index, *bounds, color=style["color"], alpha=0.18, linewidth=0)


def _levels(axis: Axes, levels: pd.DataFrame, metric: str) -> None:
    lines = {
        "cosine_mean": {"mean_vector": "constant vector"},
        "recall_at_1": {"draft": "raw draft", "teacher": "teacher"},
    }
    for reference, label in lines[metric].items():
        height = levels.loc[reference, metric]
        axis.axhline(height, color=GREY, linewidth=0.9, linestyle=":")
        axis.annotate(
            label,
            (0.995, height),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7.5,
            color=GREY,
        )


def _verdict(axis: Axes, primary: Judged) -> None:
    verdict = primary.verdict
    if verdict is None:
        return
    low, high = verdict.recommended_interval
    axis.axvspan(low * 0.93, high * 1.07, color="#BBBBBB", alpha=0.35, linewidth=0)
    axis.annotate(
        f"recommended\n{100 * high:g} %" + ("" if verdict.saturated else " (not\nsaturated)"),
        (high * 0.93 if low == high else low * 0.93, 0.04),
        xycoords=("data", "axes fraction"),
        xytext=(-3, 0),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
        color="black",
    )
    if verdict.elbow:
        axis.axvline(verdict.elbow, color="black", linewidth=1.0, linestyle="-.")
        axis.annotate(
            "elbow",
            (verdict.elbow, 0.98),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            va="top",
            fontsize=7.5,
        )

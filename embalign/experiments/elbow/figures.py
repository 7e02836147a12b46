"""data_ratio_vs_metrics.png, metrics over the share of training data, and trajectory.png, cosine along training."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from embalign.experiments.elbow.protocol import Judged
from embalign.experiments.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, figure_style, note, save
from embalign.verdicts.elbow import ElbowVerdict
from embalign.verdicts.metrics import ALIGNMENT, RETRIEVAL, label
from embalign.verdicts.statistics import student_t

LINES: dict[str, dict[str, Any]] = {
    "random": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "density": {"color": ORANGE, "marker": "s", "linestyle": "-"},
    "coverage": {"color": GREEN, "marker": "^", "linestyle": "-"},
}
THIN: dict[str, Any] = {"linestyle": ":", "linewidth": 1.0, "markersize": 3.0}
MORE_LINES: dict[str, dict[str, Any]] = {
    "sparse": {"color": PURPLE, "marker": "D", **THIN},
    "kcenter": {"color": SKY, "marker": "v", **THIN},
    "facility": {"color": "black", "marker": "x", **THIN},
}
RIDGE: dict[str, Any] = {"color": GREY, "marker": "", "linestyle": (0, (5, 2))}
PANELS = {ALIGNMENT: "Mean cosine to teacher", RETRIEVAL: label(RETRIEVAL)}
# Horizontal lines: what no map, or the teacher itself, would give.
LEVELS = {ALIGNMENT: {"mean_vector": "constant vector"}, RETRIEVAL: {"draft": "raw draft", "teacher": "teacher"}}
ROWS = {"steps": "fixed steps", "epochs": "fixed epochs"}


def draw(measured: pd.DataFrame, references: pd.DataFrame, judged: list[Judged], path: Path) -> None:
    """Draw the curves with 95 % t bands over seeds, ridge dashed, floor and ceiling.

    Each panel shades its own verdict for random selection: the recommended ratio, and a bend hatched.
    """
    verdicts = {(found.budget, found.metric): found.verdict for found in judged if found.policy == "random"}
    levels = references.groupby("reference").mean(numeric_only=True)
    ratios = sorted(measured["ratio"].unique())

    def by_seed(policy: str, budget: str, metric: str) -> pd.DataFrame:
        chosen = measured[(measured["policy"] == policy) & (measured["budget"] == budget)]
        return chosen.pivot(index="seed", columns="ratio", values=metric)

    with figure_style():
        figure, axes = pyplot.subplots(2, 2, figsize=(8.3, 6.6), sharex=True, layout="constrained")
        for panels, (budget, title) in zip(axes, ROWS.items(), strict=True):
            for axis, (metric, name) in zip(panels, PANELS.items(), strict=True):
                axis.set_xscale("log")
                if (verdict := verdicts.get((budget, metric))) is not None:
                    _shade(axis, verdict)
                for policy, style in (MORE_LINES | LINES).items():
                    _curve(axis, by_seed(policy, budget, metric), policy, style)
                    if policy in LINES:
                        _band(axis, by_seed(policy, budget, metric), style["color"])
                _curve(axis, by_seed("random", "closed_form", metric), "ridge (random)", RIDGE)
                _levels(axis, levels, metric)
                axis.set_title(f"{name}, {title}")
                axis.set_xticks(ratios, [f"{100 * ratio:g}" for ratio in ratios], fontsize=8)
                axis.xaxis.set_minor_locator(NullLocator())
                axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for axis in axes[1]:
            axis.set_xlabel("training data used (% of pool, log scale)")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        order = [labels.index(name) for name in (*LINES, "ridge (random)", *MORE_LINES) if name in labels]
        figure.legend([handles[i] for i in order], [labels[i] for i in order], loc="outside upper center", ncols=7)
        save(figure, path)


def draw_trajectory(by_step: pd.DataFrame, path: Path) -> None:
    """Draw the held-out mean cosine, one row per ratio and one column per training step, its peak marked."""
    with figure_style():
        figure, axis = pyplot.subplots(figsize=(8.3, 3.6), layout="constrained")
        shades = colormaps["viridis"](np.linspace(0.85, 0.0, len(by_step)))
        heights = _spread(by_step.iloc[:, -1].to_list())
        for (ratio, mean), height, shade in zip(by_step.iterrows(), heights, shades, strict=True):
            axis.plot(mean.index, mean, color=shade)
            axis.plot(mean.idxmax(), mean.max(), color=shade, marker="o", markeredgecolor="white")
            note(axis, f"{100 * ratio:g} %", (mean.index[-1], height), (5, 0), va="center", fontsize=8, color=shade)
        title = "Held-out mean cosine along training, random selection (dot: highest)"
        axis.set(title=title, xlabel="training step", ylabel="mean cosine to teacher")
        save(figure, path)


def _spread(heights: list[float]) -> list[float]:
    """Move label heights apart so that neighbours do not overlap, keeping their order."""
    least = 0.055 * (max(heights) - min(heights))
    order = np.argsort(heights)
    moved = np.array(heights)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + least)
    return [float(height) for height in moved]


def _curve(axis: Axes, by_seed: pd.DataFrame, name: str, style: dict[str, Any]) -> None:
    if not by_seed.empty:
        mean = by_seed.mean()
        axis.plot(mean.index, mean, label=name, markeredgecolor="white", markeredgewidth=0.6, **style)


def _band(axis: Axes, by_seed: pd.DataFrame, color: str) -> None:
    complete = by_seed.dropna()
    if len(complete) > 1:
        bounds = np.array([student_t(complete[ratio].to_numpy()).interval() for ratio in complete.columns]).T
        axis.fill_between(complete.columns, *bounds, color=color, alpha=0.18, linewidth=0)


def _levels(axis: Axes, levels: pd.DataFrame, metric: str) -> None:
    for reference, words in LEVELS[metric].items():
        height = levels.loc[reference, metric]
        axis.axhline(height, color=GREY, linewidth=0.9, linestyle=":")
        place = ("axes fraction", "data")
        note(axis, words, (0.995, height), (0, 2), xycoords=place, ha="right", va="bottom", color=GREY)


def _shade(axis: Axes, verdict: ElbowVerdict) -> None:
    """Shade the recommended ratio with its interval, and hatch the interval of an elbow or of a bend."""
    low, high = verdict.recommended_interval
    axis.axvspan(low * 0.93, high * 1.07, color="#BBBBBB", alpha=0.45, linewidth=0)
    recommended = f"enough: {100 * high:g} %" if verdict.saturated else "not saturated\nat 100 %"
    _beside(axis, low * 0.93, 0.04, recommended, "bottom")
    if verdict.bend is not None and verdict.bend_interval is not None:
        start, end = verdict.bend_interval
        axis.axvspan(start, max(end, start * 1.02), facecolor="none", edgecolor="#888888", hatch="////", linewidth=0)
        name = {"elbow": "elbow", "unidentifiable": "bend, may lie\noutside the grid"}.get(
            verdict.kind, "bend,\nno elbow"
        )
        _beside(axis, start, 0.9, name, "top")


def _beside(axis: Axes, ratio: float, height: float, text: str, va: str) -> None:
    """Write a text left of a ratio, or right of it where there is no room."""
    side, offset = ("right", -3) if ratio > 0.03 else ("left", 3)
    note(axis, text, (ratio, height), (offset, 0), xycoords=("data", "axes fraction"), ha=side, va=va)

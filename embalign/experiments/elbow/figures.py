"""data_ratio_vs_metrics.png, metrics over the amount of training data, and trajectory.png, cosine along training."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from embalign.evaluation.deployment import INDEX_MIGRATION, QUERY_ADAPTER
from embalign.experiments.elbow.protocol import BUDGETS, POLICIES, Judged
from embalign.experiments.style import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    HEADROOM,
    ORANGE,
    PURPLE,
    SKY,
    draw_bend,
    figure_style,
    level_labels,
    note,
    save,
    spread,
)
from embalign.pairs.texts import Basis
from embalign.verdicts.basis import BY_TEACHER, OF_TEACHER
from embalign.verdicts.elbow import ElbowVerdict
from embalign.verdicts.metrics import ALIGNMENT, BY_DEPLOYMENT, label
from embalign.verdicts.statistics import student_t

LINES: dict[str, dict[str, Any]] = {
    "random": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "density": {"color": ORANGE, "marker": "s", "linestyle": (0, (4, 1))},
    "coverage": {"color": GREEN, "marker": "^", "linestyle": (0, (1, 1))},
}
THIN: dict[str, Any] = {"linestyle": ":", "linewidth": 1.0, "markersize": 3.0}
MORE_LINES: dict[str, dict[str, Any]] = {
    "sparse": {"color": PURPLE, "marker": "D", **THIN},
    "kcenter": {"color": SKY, "marker": "v", **THIN},
    "facility": {"color": "black", "marker": "x", **THIN},
}
RIDGE: dict[str, Any] = {"color": GREY, "marker": "", "linestyle": (0, (7, 2)), "linewidth": 1.2}
DENSITY_RIDGE = RIDGE | {"color": ORANGE, "marker": "s", "markersize": 3.5}
OWN: dict[str, Any] = {"color": "#B2182B", "linestyle": (0, (5, 1, 1, 1)), "linewidth": 1.2, "markersize": 4.0}
OWN_MARKERS = ("P", "X", "*", "p", "h")
FIXED: dict[str, Any] = {"color": BLUE, "marker": "", "linestyle": (0, (1, 1.5)), "linewidth": 1.4}
# Budget and metric of each panel: alignment by two budgets on the left, the map in use on the right.
PANELS = (
    (("tuned", ALIGNMENT), ("tuned", BY_DEPLOYMENT[QUERY_ADAPTER])),
    (("steps", ALIGNMENT), ("tuned", BY_DEPLOYMENT[INDEX_MIGRATION])),
)
OTHER_RECIPES = ("random, fixed steps", "ridge (random)", "density (ridge)")
# Horizontal lines: what no map, or the teacher itself, would give.
ALIGNED = {"mean_vector": "constant\nvector"}
SEARCHED = {"draft": "no map", "teacher": "teacher"}
AGREED = {"draft": "no map"}  # with the teacher's own ranking, which the teacher itself finds
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def draw(measured: pd.DataFrame, references: pd.DataFrame, judged: list[Judged], path: Path) -> None:
    """Draw the curves with bands over seeds, ridge dashed, and the levels that a map is held against.

    Each panel says what its own verdict for random selection is: the amount that is enough, shaded, and where a bend
    may lie, in brackets.
    """
    verdicts = {(found.budget, found.metric): found for found in judged if found.policy == "random"}
    levels = references.groupby("reference").mean(numeric_only=True)
    with figure_style():
        figure, axes = pyplot.subplots(2, 2, figsize=(8.3, 7.0), layout="constrained")
        for axis, (budget, metric) in zip(axes.flat, itertools.chain.from_iterable(PANELS), strict=True):
            _panel(axis, measured, (budget, metric), levels, judged[0].basis if judged else "labels")
            if (found := verdicts.get((budget, metric))) is not None and found.verdict is not None:
                _mark(axis, found, found.verdict)
        for axis in axes[1]:
            axis.set_xlabel("training pairs (share of all), log scale")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        order = [labels.index(name) for name in (*LINES, *OTHER_RECIPES, *MORE_LINES) if name in labels]
        order += [place for place in range(len(labels)) if place not in order]
        chosen = [handles[i] for i in order], [labels[i] for i in order]
        figure.legend(*chosen, loc="outside upper center", ncols=5)
        save(figure, path)


def _panel(axis: Axes, measured: pd.DataFrame, panel: tuple[str, str], levels: pd.DataFrame, basis: Basis) -> None:
    budget, metric = panel
    by_teacher = basis == BY_TEACHER and metric != ALIGNMENT

    def by_seed(policy: str, budget: str) -> pd.DataFrame:
        chosen = measured[(measured["policy"] == policy) & (measured["budget"] == budget)]
        return chosen.pivot(index="seed", columns="ratio", values=metric)

    axis.set_xscale("log")
    for policy, style in (MORE_LINES | LINES).items():
        _curve(axis, by_seed(policy, budget), policy, style)
        if policy in LINES:
            band(axis, by_seed(policy, budget), style["color"])
    if budget != "steps":
        _curve(axis, by_seed("random", "steps"), "random, fixed steps", FIXED)
    _curve(axis, by_seed("random", "closed_form"), "ridge (random)", RIDGE)
    if set(measured.loc[measured["policy"] == "density", "budget"]) == {"closed_form"}:
        _curve(axis, by_seed("density", "closed_form"), "density (ridge)", DENSITY_RIDGE)
    for place, (policy, recipe) in enumerate(_own(measured, budget)):
        name = (
            policy if recipe == budget else recipe if policy == "random" else f"{policy}, {BUDGETS.get(recipe, recipe)}"
        )
        _curve(axis, by_seed(policy, recipe), name, {**OWN, "marker": OWN_MARKERS[place % len(OWN_MARKERS)]})
    heights = {
        words: float(levels.loc[reference, metric])
        for reference, words in (ALIGNED if metric == ALIGNMENT else AGREED if by_teacher else SEARCHED).items()
        if reference in levels.index and metric in levels.columns
    }
    for height in heights.values():
        axis.axhline(height, color=GREY, linewidth=0.9, linestyle=":")
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + HEADROOM * (high - low))
    level_labels(axis, heights)
    axis.set_title(f"{label(metric)[:1].upper()}{label(metric)[1:]}, {BUDGETS[budget]}")
    if by_teacher:
        axis.set_ylabel(OF_TEACHER, fontsize=8)
    sizes = measured.groupby("ratio")["n_train"].first()
    ticks = [ratio for ratio in sizes.index if ratio in TICKS] or list(sizes.index)
    axis.set_xticks(ticks, [f"{sizes[ratio]:.0f}\n{100 * ratio:g} %" for ratio in ticks], fontsize=7.5)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _own(measured: pd.DataFrame, budget: str) -> list[tuple[str, str]]:
    """The curves of a panel, by policy and budget, in which either is a function of one's own.

    A policy is drawn in the panel of its budget, or beside ridge where only that was measured.
    """
    pairs = dict.fromkeys(zip(measured["policy"], measured["budget"], strict=True))
    return [
        (policy, recipe)
        for policy, recipe in pairs
        if recipe not in BUDGETS or (policy not in POLICIES and recipe in (budget, "closed_form"))
    ]


def draw_trajectory(by_step: pd.DataFrame, path: Path) -> None:
    """Draw the held-out mean cosine, one row per ratio and one column per training step, its peak marked."""
    with figure_style():
        figure, axis = pyplot.subplots(figsize=(8.3, 3.6), layout="constrained")
        shades = colormaps["viridis"](np.linspace(0.85, 0.0, len(by_step)))
        last = by_step.iloc[:, -1].to_list()
        heights = spread(last, 0.055 * (max(last) - min(last)))
        for (ratio, mean), height, shade in zip(by_step.iterrows(), heights, shades, strict=True):
            axis.plot(mean.index, mean, color=shade)
            axis.plot(mean.idxmax(), mean.max(), color=shade, marker="o", markeredgecolor="white")
            note(axis, f"{100 * ratio:g} %", (mean.index[-1], height), (5, 0), va="center", fontsize=8, color=shade)
        title = "Held-out mean cosine along training, random selection (dot: highest)"
        axis.set(title=title, xlabel="training step", ylabel="mean cosine to teacher")
        save(figure, path)


def _curve(axis: Axes, by_seed: pd.DataFrame, name: str, style: dict[str, Any]) -> None:
    if not by_seed.empty:
        mean = by_seed.mean()
        axis.plot(mean.index, mean, label=name, markeredgecolor="white", markeredgewidth=0.6, **style)


def band(axis: Axes, by_seed: pd.DataFrame, color: str) -> None:
    """Shade 95 % t intervals over seeds, one row of `by_seed` a seed and one column a place on the axis."""
    complete = by_seed.dropna()
    if len(complete) > 1:
        bounds = np.array([student_t(complete[ratio].to_numpy()).interval() for ratio in complete.columns]).T
        axis.fill_between(complete.columns, *bounds, color=color, alpha=0.18, linewidth=0)


def _mark(axis: Axes, found: Judged, verdict: ElbowVerdict) -> None:
    """Shade the amount that is enough, with its interval, bracket where a bend may lie, and say both on top."""
    lines = []
    if verdict.recommended_ratio is not None and verdict.recommended_interval is not None:
        low, high = verdict.recommended_interval[0], verdict.recommended_ratio
        axis.axvspan(low * 0.93, high * 1.07, color="#BBBBBB", alpha=0.45, linewidth=0, zorder=0)
        enough = f"enough: {found.pairs * high:,.0f} pairs ({100 * high:g} %)"
        lines.append(enough if high < 1 else "no smaller number is shown to be enough")
    else:
        lines.append("training brings no gain that is shown")
    lines.append(f"last doubling: {verdict.last_doubling.value:+.3f}")
    if bend := draw_bend(axis, verdict, 0.85 * HEADROOM):
        lines.append(bend)
    note(axis, "\n".join(lines), (0.02, 0.985), xycoords="axes fraction", ha="left", va="top", bbox=CLEAR)

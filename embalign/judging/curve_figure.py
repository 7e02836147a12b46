"""curve.png: a learning curve over log n with intervals, what is enough and where a bend may lie."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from embalign.escaping import visible
from embalign.experiments.style import BLUE, CLEAR, GREY, HEADROOM, draw_bend, figure_style, note, save
from embalign.experiments.tables import percent
from embalign.judging.judged import JudgedCurve

MOST_THIN_LINES = 20
MOST_TICKS, CLOSEST = 8, 0.085  # ticks nearer than this share of the axis would overprint
LONGEST_TITLE = 70


def draw_curves(curves: Sequence[tuple[JudgedCurve, pd.DataFrame]], path: Path) -> None:
    """Draw judged curves with their frames of values, one below the other."""
    with figure_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font has no such script: boxes in a title
        size = (8.3, 4.2 if len(curves) == 1 else 3.6 * len(curves))
        figure, axes = pyplot.subplots(len(curves), 1, figsize=size, layout="constrained", squeeze=False)
        for axis, (found, frame) in zip(axes[:, 0], curves, strict=True):
            _draw(axis, found, frame)
        counted = curves[-1][0].largest is not None
        axes[-1, 0].set_xlabel(f"training items{' (share of all)' if counted else ', share of all'}, log scale")
        save(figure, path)


def _draw(axis: Axes, found: JudgedCurve, frame: pd.DataFrame) -> None:
    ratios = np.array([point.ratio for point in found.points])
    means = np.array([point.mean for point in found.points])
    bounds = np.array([point.interval for point in found.points]).T
    axis.set_xscale("log")
    by_seed = frame.groupby(["seed", "ratio"])["value"].mean().unstack()
    if len(by_seed) <= MOST_THIN_LINES:
        axis.plot(by_seed.columns, by_seed.to_numpy().T, color=GREY, linewidth=0.6, alpha=0.5)
    axis.fill_between(ratios, *bounds, color=BLUE, alpha=0.18, linewidth=0)
    axis.plot(ratios, means, color=BLUE, marker="o", markeredgecolor="white", markeredgewidth=0.6)
    sign = 1 if found.higher_is_better else -1
    if not found.margin_is_noise:
        axis.axhline(means[-1] - sign * found.verdict.margin, color="black", linewidth=0.8, linestyle=(0, (5, 3)))
    low, high = min(by_seed.to_numpy().min(), bounds.min()), max(by_seed.to_numpy().max(), bounds.max())
    if found.origin is not None and _is_near(found.origin, low, high):
        low, high = min(low, found.origin), max(high, found.origin)
        axis.axhline(found.origin, color=GREY, linewidth=0.9, linestyle=":")
        note(axis, "no training", (ratios[-1], found.origin), (0, 2), ha="right", va="bottom", color=GREY)
    reach = (high - low) or 1.0
    axis.set_ylim(low - 0.05 * reach, high + HEADROOM * reach)
    _mark(axis, found)
    axis.set_title(f"{drawable(found.metric)}{'' if found.higher_is_better else ' (lower is better)'}")
    _ticks(axis, found)


def drawable(name: str, longest: int = LONGEST_TITLE) -> str:
    """Return a name as a figure can show it: one line, shortened, without mathematics."""
    words = visible(name)
    return (words if len(words) <= longest else f"{words[:longest]}...").replace("$", r"\$")


def _is_near(origin: float, low: float, high: float) -> bool:
    """Whether a level can be drawn without pressing the curve flat."""
    return low - 3 * (high - low) <= origin <= high + 3 * (high - low)


def _mark(axis: Axes, found: JudgedCurve) -> None:
    """Shade what is enough, bracket where a bend may lie, and say both on top."""
    verdict = found.verdict
    lines = []
    if found.margin_is_noise:
        lines.append("no gain is shown")
    elif verdict.recommended_ratio is not None and verdict.recommended_interval is not None:
        low, high = verdict.recommended_interval[0], verdict.recommended_ratio
        axis.axvspan(low * 0.97, high * 1.03, color="#BBBBBB", alpha=0.45, linewidth=0, zorder=0)
        items = "" if found.largest is None else f"n = {high * found.largest:,.0f}, "
        lines.append(f"enough: {items}{percent(high)}" if high < 1 else "no smaller size is shown to be enough")
    else:
        lines.append("training brings no gain that is shown")
    lines.append(f"last doubling: {found.text(verdict.last_doubling.value, '+')}")
    if bend := draw_bend(axis, verdict, 0.82 * HEADROOM):
        lines.append(bend)
    note(axis, "\n".join(lines), (0.02, 0.985), xycoords="axes fraction", ha="left", va="top", bbox=CLEAR)


def _ticks(axis: Axes, found: JudgedCurve) -> None:
    """Name sizes from the largest down, those that do not overprint."""
    reach = -np.log(found.points[0].ratio)
    chosen: list[Any] = []
    for point in reversed(found.points):
        if not chosen or np.log(chosen[-1].ratio / point.ratio) > CLOSEST * reach:
            chosen.append(point)
    step = -(-len(chosen) // MOST_TICKS)
    shown = chosen[::step]
    names = [percent(p.ratio) if p.n is None else f"{p.n:,.10g}\n{percent(p.ratio)}" for p in shown]
    axis.set_xticks([point.ratio for point in shown], names, fontsize=7.5)
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

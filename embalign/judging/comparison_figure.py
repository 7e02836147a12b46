"""comparison.png: the mean difference of two systems with its interval, and the single differences behind it."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from embalign.experiments.style import BLUE, draw_margin, figure_style, save
from embalign.judging.curve_figure import drawable

if TYPE_CHECKING:
    from embalign.judging.comparison import Comparison

Differences = np.ndarray[Any, np.dtype[np.float64]]
MOST_POINTS = 2000  # of the sorted differences


def draw_comparisons(compared: Sequence[tuple["Comparison", Differences]], path: Path) -> None:
    """Draw one row of two panels for each comparison and its sorted differences."""
    with figure_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font has no such script: boxes in a title
        size = (8.3, 0.6 + 2.4 * len(compared))
        figure, axes = pyplot.subplots(len(compared), 2, figsize=size, layout="constrained", squeeze=False)
        for (left, right), (found, differences) in zip(axes, compared, strict=True):
            _draw_mean(left, found)
            _draw_single(right, differences)
        axes[-1, 0].set_xlabel("mean difference, 95 % interval")
        axes[-1, 1].set_xlabel(f"share of {'items' if compared[0][0].verdict.items else 'seeds'}")
        save(figure, path)


def _draw_mean(axis: Axes, found: "Comparison") -> None:
    verdict = found.verdict
    if verdict.margin is not None:
        draw_margin(axis, verdict.margin)
    else:
        axis.axvline(0, color="black", linewidth=0.8)
        axis.grid(axis="y", visible=False)
    low, high = verdict.interval
    errors = [[verdict.difference - low], [high - verdict.difference]]
    look: dict[str, Any] = {"capsize": 3, "elinewidth": 1.4, "color": BLUE, "marker": "o"}
    axis.errorbar(verdict.difference, 0, xerr=errors, **look)
    axis.set_yticks([])
    axis.set_ylim(-1, 1)
    axis.set_title(f"{drawable(found.metric, 40)}: {found.kind}")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _draw_single(axis: Axes, differences: Differences) -> None:
    chosen = np.unique(np.linspace(0, len(differences) - 1, MOST_POINTS).astype(int))
    axis.step((chosen + 0.5) / len(differences), differences[chosen], where="mid", color=BLUE)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_title("single differences, sorted")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

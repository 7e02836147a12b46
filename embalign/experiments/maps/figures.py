"""map_bakeoff.png: what each family finds with all of the data, and over the number of pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.results import Results
from embalign.experiments.maps.protocol import MEMO, METRIC, Bakeoff, Judgement, System, label, pairs_of
from embalign.experiments.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, figure_style, note, save
from embalign.maps.searches import CSLS, PLAIN, column

LOOKS: dict[str, dict[str, Any]] = {PLAIN: {"color": ORANGE, "marker": "s"}, CSLS: {"color": BLUE, "marker": "o"}}
LINES: Sequence[dict[str, Any]] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": GREEN, "marker": "^", "linestyle": (0, (4, 1))},
    {"color": PURPLE, "marker": "D", "linestyle": (0, (1, 1))},
    {"color": SKY, "marker": "v", "linestyle": (0, (5, 1, 1, 1))},
)
LEVELS: Sequence[dict[str, Any]] = (
    {"color": GREY, "linewidth": 1.0, "linestyle": ":"},
    {"color": GREY, "linewidth": 1.0, "linestyle": (0, (6, 2))},
)
LEGEND = 0.45  # of the height, for the names of the lines above them
LABEL = 0.15  # of the width, for a number of pairs
MEMO_LINE: dict[str, Any] = {"color": ORANGE, "marker": "s", "linestyle": (0, (2, 1))}


def draw(judgement: Judgement, measured: Results, path: Path) -> None:
    """Draw, for each deployment, the families with all of the data, and the best ones over the number of pairs."""
    shown = list(judgement.bakeoffs.values())
    with figure_style():
        figure, axes = pyplot.subplots(2, max(1, len(shown)), figsize=(8.3, 7.4), layout="constrained", squeeze=False)
        for place, bakeoff in enumerate(shown):
            _families(axes[0, place], bakeoff)
            _over_pairs(axes[1, place], bakeoff, measured)
        if not shown:
            note(axes[0, 0], "no verdict", (0.5, 0.5), xycoords="axes fraction", ha="center")
        words = {PLAIN: "plain search", CSLS: "CSLS"}
        handles = [Line2D([], [], linestyle="", label=words[how], **look) for how, look in LOOKS.items()]
        handles += [
            Line2D([], [], linestyle="", color="black", marker="o", label="filled: cannot be told from the best"),
            *(Line2D([], [], label=name, **look) for name, look in zip(("no map", "teacher"), LEVELS, strict=True)),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=5)
        save(figure, path)


def _families(axis: Axes, bakeoff: Bakeoff) -> None:
    order = list(dict.fromkeys(row.system.family for row in bakeoff.rows))
    for row in bakeoff.rows:
        look, height = LOOKS[row.system.search], order.index(row.system.family)
        place = height + (0.16 if row.system.search == PLAIN else -0.16)
        low, high = row.no_map.interval()
        errors = [[row.no_map.mean - low], [high - row.no_map.mean]]
        fill: dict[str, Any] = {"markerfacecolor": look["color"] if row.in_set else "white", "markersize": 6}
        axis.errorbar(row.value, place, xerr=errors, capsize=2, elinewidth=1.0, linestyle="", **look, **fill)
    axis.set_yticks(range(len(order)), [label(family) for family in order], fontsize=8)
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.grid(axis="y", visible=False)
    for level, look in zip((bakeoff.no_map, bakeoff.teacher), LEVELS, strict=True):
        axis.axvline(level, **look)
    axis.set(title=f"{DEPLOYMENTS[bakeoff.deployment].label}, all pairs", xlabel="nDCG@10")


def _over_pairs(axis: Axes, bakeoff: Bakeoff, measured: Results) -> None:
    """The best systems of up to four families, and the memo's map, over the number of pairs."""
    by_family: dict[str, System] = {}
    for row in bakeoff.rows:
        by_family.setdefault(row.system.family, row.system)
    systems = [*list(by_family.values())[: len(LINES)], System(MEMO, PLAIN)]
    for system, look in zip(systems, (*LINES[: len(systems) - 1], MEMO_LINE), strict=True):
        cells = measured.where(family=system.family).frame
        values = cells.groupby("ratio")[column(bakeoff.deployment, system.search, METRIC)].mean()
        pairs = pairs_of(cells, bakeoff.deployment).groupby(cells["ratio"]).mean()
        axis.plot(pairs, values, label=system.words, markersize=4, **look)
    axis.set_xscale("log")
    sizes = sorted(set(pairs_of(measured.frame, bakeoff.deployment).dropna()))
    axis.set_xticks(sizes, labels=_labels(sizes))
    axis.xaxis.set_minor_locator(NullLocator())
    for height, look in zip((bakeoff.no_map, bakeoff.teacher), LEVELS, strict=True):
        axis.axhline(height, **look)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + LEGEND * (high - low))
    axis.legend(fontsize=7.5, loc="upper left")
    axis.set(xlabel="training pairs, log scale", ylabel="nDCG@10")


def _labels(sizes: Sequence[float]) -> list[str]:
    """The numbers of pairs, ascending, on a logarithmic axis; none where it would lie on the next larger one.

    >>> _labels([259, 864, 1728, 2592, 4320, 8640])
    ['259', '864', '1,728', '', '4,320', '8,640']
    """
    labels: list[str] = []
    right = np.inf
    for size in reversed(sizes):
        room = np.log(right / size) >= LABEL * np.log(sizes[-1] / sizes[0])
        labels.append(f"{size:,.0f}" if room else "")
        right = size if room else right
    return labels[::-1]

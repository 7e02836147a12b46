"""gate_curve.png: the query adapter's risk and cascade, what the index size does to risk, training data, styles."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from embalign.evaluation.deployment import DEPLOYMENTS, QUERY_ADAPTER
from embalign.experiments import style
from embalign.experiments.gate.findings import Findings
from embalign.experiments.gate.protocol import ALONE, ARM_OF, CASCADE_LEVELS, RISK_TARGETS, SCORES, SPREADS, WHOLE
from embalign.experiments.tables import percent
from embalign.verdicts.metrics import label

SCORE_LINES: dict[str, dict[str, Any]] = {
    "top1": {"color": style.BLUE, "linestyle": "-"},
    "margin": {"color": style.ORANGE, "linestyle": (0, (5, 2))},
    "oracle": {"color": style.GREY, "linestyle": ":"},
}
DEPLOYMENT_LINES: dict[str, dict[str, Any]] = {
    "query_adapter": {"color": style.BLUE, "marker": "o"},
    "index_migration": {"color": style.ORANGE, "marker": "s"},
    "draft_only": {"color": style.GREEN, "marker": "^"},
}
INDEX_LINES: dict[str, dict[str, Any]] = {WHOLE: {"linestyle": "-"}, ALONE: {"linestyle": (0, (4, 2)), "mfc": "white"}}
STEP = 0.2
HEADROOM = 1.5  # of a risk panel, for its legend
EVERY_FIFTH = np.linspace(0, 1, 6)
# Shares of the training data that are drawn, and the dashes that tell them apart without colour.
DRAWN_RATIOS = (0.01, 0.05, 0.20, 0.50, 1.00)
DASHES = ((0, (1, 1)), (0, (3, 1, 1, 1)), (0, (4, 2)), (0, (8, 2)), "-")


def draw(curves: pd.DataFrame, found: Findings, path: Path) -> None:
    """Draw the six panels; curves of maps by training data are means over seeds, the exported map's are its own."""
    score = found.score
    exported = curves[curves["map"] == "exported"]
    adapter = exported[(exported["deployment"] == QUERY_ADAPTER) & (exported["index"] == WHOLE)]
    of_ratios = curves[(curves["map"] == "ratio") & (curves["deployment"] == QUERY_ADAPTER)]
    by_ratio = of_ratios[of_ratios["score"] == score].groupby(["ratio", "coverage"])[["threshold", "risk"]].mean()
    with style.figure_style():
        figure, axes = pyplot.subplots(3, 2, figsize=(8.3, 10.2), layout="constrained")
        (scores, cascade), (indexes, ratios), (spread, rate) = axes
        _by_score(scores, adapter, found)
        _cascade(cascade, found)
        cascade.set_title(f"Cascade to the teacher, {found.index_size:,} items")
        _by_index(indexes, exported, found)
        _by_ratio(ratios, by_ratio, lambda curve: (curve.index, curve["risk"]))
        if len(by_ratio):
            ratios.legend(title="training data", ncols=3, loc="upper left", title_fontsize=8.5)
        ratios.set_title("Query adapter: risk by training data")
        for axis in (scores, indexes, ratios):
            _risk_axes(axis)
        _by_ratio(rate, by_ratio, lambda curve: (curve["threshold"], curve.index))
        rate.set_title("Query adapter: accept rate (lines as above)")
        rate.set(xlabel=f"threshold of {SCORES[score]}", ylabel="coverage: share of queries accepted")
        rate.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _spreads(spread, found)
        style.save(figure, path)


def _risk_axes(axis: Axes) -> None:
    for target in RISK_TARGETS:
        axis.axhline(target, color="black", linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axis.set(xlabel="coverage: share of queries accepted", ylabel="selective risk: wrong among accepted")
    axis.set(xlim=(0, 1.02), ylim=(0, HEADROOM), yticks=EVERY_FIFTH, xticks=EVERY_FIFTH)
    for in_percent in (axis.xaxis, axis.yaxis):
        in_percent.set_major_formatter(PercentFormatter(1, decimals=0))


def _by_score(axis: Axes, curves: pd.DataFrame, found: Findings) -> None:
    for name, look in SCORE_LINES.items():
        curve = curves[curves["score"] == name]
        axis.plot(curve["coverage"], curve["risk"], label=SCORES[name], **look)
    certified = [c for c in found.of(QUERY_ADAPTER, WHOLE) if c["threshold"] is not None]
    curve = curves[curves["score"] == found.score]
    if certified:
        coverage = [c["coverage"] for c in certified]
        at = np.interp(coverage, curve["coverage"], curve["risk"])
        name = "certified for " + ", ".join(f"{100 * c['target']:g} %" for c in certified)
        star: dict[str, Any] = {"marker": "*", "markersize": 12, "color": style.PURPLE, "markeredgecolor": "white"}
        axis.plot(coverage, at, linestyle="", zorder=5, label=name, **star)
    axis.legend(loc="upper left", title="dotted lines: risk targets", title_fontsize=8.5, alignment="left")
    what = "risk" if certified else "nothing certified"
    axis.set_title(f"Query adapter: {what}, {found.index_size:,} items")


def _cascade(axis: Axes, found: Findings) -> None:
    ndcg = found.cascade["ndcg_at_10"]
    level, teacher = CASCADE_LEVELS[0], float(found.exported["teacher_ndcg_at_10"])
    looks: dict[str, dict[str, Any]] = {
        "oracle": {"color": style.GREY, "linestyle": ":"},
        found.score: SCORE_LINES[found.score],
        "random": {"color": "black", "linestyle": (0, (5, 2)), "linewidth": 1.0},
    }
    names = {"oracle": "oracle", found.score: found.score, "random": "random"}
    for route, look in looks.items():
        sent = found.sent(route)
        axis.plot(ndcg.index, ndcg[route], label=f"{names[route]}: {percent(sent)}", **look)
        axis.plot(sent, level * teacher, marker="o", color=look["color"], markeredgecolor="white", zorder=5)
    axis.axhline(level * teacher, color="black", linewidth=0.6, linestyle=(0, (1, 2)))
    low, high = float(ndcg.min().min()), float(ndcg.max().max())
    axis.set_ylim(low - 0.35 * (high - low), high + 0.08 * (high - low))
    title = f"sent to keep {100 * level:g} % of the teacher's"
    axis.legend(loc="lower right", title=title, title_fontsize=8.5)
    axis.set(xlabel="share of queries sent to the teacher", ylabel="nDCG@10 over all queries", xlim=(0, 1.02))
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _by_index(axis: Axes, curves: pd.DataFrame, found: Findings) -> None:
    """The same gate in the small and in the whole index, for each deployment."""
    for name, deployment in DEPLOYMENTS.items():
        mine = curves[(curves["deployment"] == name) & (curves["score"] == found.scores[name])]
        for index, look in INDEX_LINES.items():
            curve = mine[mine["index"] == index]
            words = deployment.label if index == WHOLE else None
            shown = DEPLOYMENT_LINES[name] | look
            axis.plot(curve["coverage"], curve["risk"], markevery=4, linewidth=1.3, label=words, **shown)
    small, large = found.by_index[0]["sizes"]
    sizes = f"solid: {large:,} items, dashed: {small:,}"
    axis.legend(loc="upper left", title=sizes, title_fontsize=8.5, alignment="left")
    axis.set_title("Risk grows with the index")


def _by_ratio(axis: Axes, by_ratio: pd.DataFrame, points: Any) -> None:
    measured = by_ratio.index.unique("ratio")
    ratios = [ratio for ratio in measured if ratio in DRAWN_RATIOS] or list(measured)
    shades = colormaps["viridis"](np.linspace(0.88, 0.0, len(ratios)))
    for ratio, shade, dashes in zip(ratios, shades, itertools.cycle(DASHES), strict=False):
        look = {"color": shade, "linestyle": dashes, "linewidth": 1.5}
        axis.plot(*points(by_ratio.loc[ratio]), label=f"{100 * ratio:g} %", **look)


def _spreads(axis: Axes, findings: Findings) -> None:
    """Differences of the spread over styles to the baseline, at the strongest setting that every arm has."""
    contrasts = findings.contrasts[QUERY_ADAPTER]
    against = [c for c in contrasts if (c.control, c.convention) == ("baseline", "raw_gradient_ratio")]
    if not against:
        words = "no style variants in this pair" if findings.lacks_styles else "styles: not measured"
        axis.text(0.5, 0.5, words, ha="center", va="center", transform=axis.transAxes)
        axis.set_axis_off()
        return
    strongest = max(found.strength for found in against)
    margins = SPREADS[QUERY_ADAPTER]
    style.draw_margin(axis, max(margins.values()))
    metrics, arms = list(margins), [arm for arm in ARM_OF.values() if arm != "baseline"]
    for found in against:
        if found.strength == strongest:
            row = metrics.index(found.metric) + STEP * (arms.index(found.treatment) - 1)
            name = found.treatment.replace("_", " ") if found.metric == metrics[0] else None
            style.draw_difference(axis, found, row, name)
    axis.set_yticks(range(len(metrics)), [label(name).replace(" (", "\n(") for name in metrics])
    axis.set(title=f"Query adapter: spread over styles, gradient ratio {strongest:g}", ylim=(len(metrics) - 0.4, -1.5))
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_xlabel("SD over styles, arm minus baseline\n(shaded: equivalent)")
    # Opaque: no line runs through a label.
    clear: dict[str, Any] = {
        "frameon": True,
        "facecolor": "white",
        "edgecolor": "none",
        "framealpha": 1,
        "borderaxespad": 0,
    }
    axis.legend(loc="upper center", ncols=2, handletextpad=0.2, columnspacing=0.9, **clear)

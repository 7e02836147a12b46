"""gate_curve.png: risk against coverage with the certified point, accept rate against threshold, scores, styles."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from embalign.experiments import style
from embalign.experiments.gate.protocol import ARM_OF, RISK_TARGETS, SCORES, SPREADS
from embalign.verdicts.contrasts import Contrast
from embalign.verdicts.metrics import label

SCORE_LINES: dict[str, dict[str, Any]] = {
    "top1": {"color": style.BLUE, "linestyle": "-"},
    "margin": {"color": style.ORANGE, "linestyle": (0, (5, 2))},
    "oracle": {"color": style.GREY, "linestyle": ":"},
}
STEP = 0.2
CLEAR: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8}


def draw(curves: pd.DataFrame, certificates: list[dict[str, Any]], contrasts: list[Contrast], path: Path) -> None:
    """Draw the four panels; curves are means over seeds, the exported map's are its own."""
    score = certificates[0]["score"]
    own = curves[curves["map"] == "exported"]
    shown = curves[(curves["map"] == "ratio") & (curves["score"] == score)]
    by_ratio = shown.groupby(["ratio", "coverage"])[["threshold", "risk"]].mean()
    with style.figure_style():
        figure, axes = pyplot.subplots(2, 2, figsize=(8.3, 6.8), layout="constrained")
        (risk, rate), (scores, spread) = axes
        _by_ratio(risk, by_ratio, lambda curve: (curve.index, curve["risk"]))
        _by_ratio(rate, by_ratio, lambda curve: (curve["threshold"], curve.index))
        risk.legend(title="training data", ncols=2, loc="upper left", title_fontsize=8.5)
        for name, look in SCORE_LINES.items():
            curve = own[own["score"] == name]
            scores.plot(curve["coverage"], curve["risk"], label=SCORES[name], **look)
        scores.legend(loc="upper left")
        for axis in (risk, scores):
            for target in RISK_TARGETS:
                axis.axhline(target, color="black", linewidth=0.6, linestyle=(0, (1, 2)))
            axis.set(xlabel="coverage: share of outputs accepted", ylabel="selective risk: wrong among accepted")
            axis.set_xlim(0, 1.02)
        top = max(risk.get_ylim()[1], scores.get_ylim()[1])
        risk.set_ylim(0, 1.45 * float(by_ratio["risk"].max()))
        scores.set_ylim(0, top)
        _mark_certified(scores, rate, own[own["score"] == score], certificates)
        risk.set_title(f"Risk by training data, score {score}")
        rate.set_title(f"Accept rate by training data, score {score}")
        rate.set(xlabel=f"threshold of {SCORES[score]}", ylabel="coverage: share of outputs accepted")
        for in_percent in (risk.xaxis, risk.yaxis, scores.xaxis, scores.yaxis, rate.yaxis):
            in_percent.set_major_formatter(PercentFormatter(1, decimals=0))
        scores.set_title("Exported map, by score (dotted: risk targets)")
        _spreads(spread, contrasts)
        style.save(figure, path)


def _by_ratio(axis: Axes, by_ratio: pd.DataFrame, points: Any) -> None:
    ratios = by_ratio.index.unique("ratio")
    shades = colormaps["viridis"](np.linspace(0.88, 0.0, len(ratios)))
    for ratio, shade in zip(ratios, shades, strict=True):
        axis.plot(*points(by_ratio.loc[ratio]), color=shade, linewidth=1.3, label=f"{100 * ratio:g} %")


def _mark_certified(risk: Axes, rate: Axes, curve: pd.DataFrame, certificates: list[dict[str, Any]]) -> None:
    """A star where the exported map is certified, on the curve it belongs to."""
    for certificate in certificates:
        threshold, coverage = certificate["threshold"], certificate["coverage"]
        if threshold is None:
            continue
        words = f"certified {100 * certificate['target']:g} %"
        at = float(np.interp(coverage, curve["coverage"], curve["risk"]))
        star: dict[str, Any] = {"marker": "*", "markersize": 12, "color": style.PURPLE, "markeredgecolor": "white"}
        for axis, point, offset in ((risk, (coverage, at), (9, -12)), (rate, (threshold, coverage), (8, 6))):
            axis.plot(*point, linestyle="", zorder=5, **star)
            style.note(axis, words, point, offset, fontsize=8, color=style.PURPLE, bbox=CLEAR)


def _spreads(axis: Axes, contrasts: list[Contrast]) -> None:
    """Differences of the spread over styles to the baseline, at the strongest setting that every arm has."""
    against = [c for c in contrasts if (c.control, c.convention) == ("baseline", "raw_gradient_ratio")]
    if not against:
        axis.text(0.5, 0.5, "no style variants in this pair", ha="center", va="center", transform=axis.transAxes)
        axis.set_axis_off()
        return
    strongest = max(found.strength for found in against)
    style.draw_margin(axis, max(SPREADS.values()))
    metrics, arms = list(SPREADS), [arm for arm in ARM_OF.values() if arm != "baseline"]
    for found in against:
        if found.strength == strongest:
            row = metrics.index(found.metric) + STEP * (arms.index(found.treatment) - 1)
            name = found.treatment.replace("_", " ") if found.metric == metrics[0] else None
            style.draw_difference(axis, found, row, name)
    axis.set_yticks(range(len(metrics)), [label(name).replace(" (", "\n(") for name in metrics])
    axis.set(title=f"Spread over styles, gradient ratio {strongest:g}, raw", ylim=(len(metrics) - 0.4, -1.0))
    axis.set_xlabel("SD over styles, arm minus baseline (shaded: equivalent)")
    axis.legend(loc="upper center", ncols=3, handletextpad=0.2, columnspacing=0.9)

"""spectral_ab.png and spectrum.png: what each arm changes, and what the spectra look like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from embalign.alignment.setting import Setting
from embalign.evaluation.results import Results
from embalign.evaluation.spectrum import rayleigh_law
from embalign.experiments.spectral.protocol import MARGINS, NAMES, TREATMENT
from embalign.experiments.style import ARMS, BLUE, ORANGE, SKY, draw_difference, draw_margin, figure_style, note, save
from embalign.verdicts.contrasts import Contrast, TermSetting
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY, RETRIEVAL, label

# What each panel measures, and in which deployment.
TITLES = {
    PRIMARY: f"{label(PRIMARY)}\n(whole corpus)",
    ALIGNMENT: "mean cosine\nto the teacher",
    RETRIEVAL: f"{NAMES[RETRIEVAL]}\n(held-out items alone)",
}
# What spectrum.png shows.
CURVES = ("teacher", "permuted_low", "permuted_high", "baseline", "spectral")
OFF_SCALE = 6.0  # margins: a larger difference is written at the edge
ROW = 0.5  # inches
HEADING = 0.75  # rows, from the heading of a start to its first setting
STEP = 0.22  # rows between the arms of one setting: as much as a line of small type needs


def draw_differences(contrasts: Sequence[Contrast], path: Path) -> None:
    """Draw the arms' paired differences to the baseline, start by start and setting by setting.

    The equivalence band is shaded; settings at which the spectral term is inert are called so.
    """
    shown = [found for found in contrasts if found.control == "baseline" and found.treatment in ARMS]
    rows, headings = _rows(list(dict.fromkeys(found.setting for found in shown)))
    inert = {found.setting for found in shown if found.inert and found.treatment == TREATMENT}
    arms = [arm for arm in ARMS if any(found.treatment == arm for found in shown)]
    with figure_style():
        figure, axes = pyplot.subplots(
            1,
            len(MARGINS),
            figsize=(8.3, 1.6 + ROW * (len(rows) + HEADING * len(headings))),
            sharey=True,
            layout="constrained",
        )
        for axis, (metric, margin) in zip(axes, MARGINS.items(), strict=True):
            draw_margin(axis, margin)
            of_metric = [found for found in shown if found.metric == metric]
            limit = _limit(of_metric, margin)
            for found in of_metric:
                row = rows[found.setting]
                place = STEP * (arms.index(found.treatment) - (len(arms) - 1) / 2)
                if abs(found.verdict.difference) <= OFF_SCALE * margin:
                    draw_difference(axis, found, row + place)
                else:
                    _write(axis, found, row + place, limit)
            for row in rows.values():
                axis.axhline(row - 0.5, color="#E4E4E4", linewidth=0.8)
            axis.xaxis.set_major_locator(MaxNLocator(4))
            below = f"arm minus baseline\n(shaded: ±{margin:g}, equivalent)"
            axis.set(title=TITLES.get(metric, NAMES[metric]), xlabel=below, xlim=(-limit, limit))
        words = [Setting.named(*setting[:2]).label + "\n(inert)" * (setting in inert) for setting in rows]
        axes[0].set_yticks(list(rows.values()), words, fontsize=8)
        for name, row in headings.items():
            beside = {"xycoords": ("axes fraction", "data"), "va": "center", "ha": "right"}
            note(axes[0], f"{name} start", (0.0, row), (-6, 0), fontsize=8.5, fontweight="bold", **beside)
        axes[0].set_ylim(max(rows.values(), default=0) + 0.5, -0.5 - HEADING * (len(headings) > 0))
        handles = [Line2D([], [], linestyle="", label=arm.replace("_", " "), **ARMS[arm]) for arm in arms]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(arms))
        save(figure, path)


def draw_spectrum(measured: Results, path: Path) -> None:
    """Draw mean amplitude spectra with the band of signed-permuted teachers, and spectral cosine against the law."""
    curves = measured.frame.set_index("curve")
    bands = measured.table("bands").pivot(index="curve", columns="band", values="amplitude")
    position = (np.arange(bands.shape[1]) + 0.5) / bands.shape[1]
    maps: dict[str, dict[str, Any]] = {
        "spectral": {"color": BLUE, "linestyle": "-", "linewidth": 2.4, "marker": "o", "markersize": 8},
        "baseline": {"color": ORANGE, "linestyle": (0, (4, 2)), "linewidth": 1.2, "marker": "s", "markersize": 3.5},
    }
    weight, convention = curves.loc["spectral", ["lambda", "convention"]]
    labels = {"baseline": "baseline map", "spectral": f"spectral map (λ {weight:g}, {convention})"}
    with figure_style():
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.3, 3.6), layout="constrained")
        label_of_band = "teacher, dimensions permuted\nand flipped (95 % of draws)"
        bounds = bands.loc["permuted_low"], bands.loc["permuted_high"]
        left.fill_between(position, *bounds, color=SKY, alpha=0.45, linewidth=0, label=label_of_band)
        left.plot(position, bands.loc["teacher"], color="black", linewidth=1.8, label="teacher")
        for name, style in maps.items():
            left.plot(position, bands.loc[name], **(style | {"marker": ""}), label=labels[name])
        top, bottom = float(bands.to_numpy().max()), float(bands.to_numpy().min())
        left.set_ylim(bottom - 0.1 * (top - bottom), top + 0.75 * (top - bottom))
        left.set_title("Mean amplitude spectrum, held-out items")
        left.set(xlabel="frequency over embedding dimensions (share of Nyquist)", ylabel="mean |RFFT| of unit vectors")
        left.legend(loc="upper center", ncols=1)

        points = dict(list(measured.table("groups").groupby("curve")))
        low = min(groups["cosine"].min() for groups in points.values())
        line = np.linspace(max(low - 0.05, -1), 1, 200)
        right.plot(line, rayleigh_law(line), color="black", linewidth=1.2, label="Rayleigh law (no free parameter)")
        for name in maps:
            style = maps[name] | {"linestyle": "", "markeredgecolor": "white"}
            right.plot(points[name]["cosine"], points[name]["spec_cosine"], label=labels[name], **style)
        right.set_title("Spectral cosine against cosine")
        right.set(xlabel="cosine to teacher (tenths of the test items)", ylabel="spectral cosine")
        right.legend(loc="upper left")
        save(figure, path)


def _rows(settings: list[TermSetting]) -> tuple[dict[TermSetting, float], dict[str, float]]:
    """The height of each setting, start by start, and of each start's heading above its first."""
    rows: dict[TermSetting, float] = {}
    headings: dict[str, float] = {}
    place = 0.0
    for start in dict.fromkeys(init for *_, init in settings):
        if start:
            place += HEADING * (len(headings) > 0)
            headings[start] = place - HEADING
        for setting in settings:
            if setting[2] == start:
                rows[setting] = place
                place += 1
    return rows, headings


def _write(axis: Axes, found: Contrast, row: float, limit: float) -> None:
    """Write a difference that is off the scale at its edge, beside the arm's marker."""
    difference, look = found.verdict.difference, ARMS[found.treatment]
    side = float(np.sign(difference))
    axis.plot(side * limit, row, clip_on=False, zorder=3, **look)
    text = f"{difference:+.3f} →" if side > 0 else f"← {difference:+.3f}"
    offset, ha = (-6 * side, 0), "right" if side > 0 else "left"
    note(axis, text, (side * limit, row), offset, ha=ha, va="center_baseline", fontsize=7, color=look["color"])


def _limit(shown: list[Contrast], margin: float) -> float:
    """Half-width of the axis: room for the interval of every arm that is drawn, and for the band."""
    drawn = [found.verdict for found in shown if abs(found.verdict.difference) <= OFF_SCALE * margin]
    return 1.15 * max([*(abs(bound) for verdict in drawn for bound in verdict.interval), 1.5 * margin])

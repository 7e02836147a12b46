"""The look all figures share: legible at 830 pixels, in greyscale and to colour-blind readers."""

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from embalign.verdicts.contrasts import Contrast
from embalign.verdicts.elbow import ElbowVerdict

BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#8A4F9E", "#56B4E9", "#555555"
# Arms of experiment 2, wherever they are drawn.
ARMS: dict[str, dict[str, Any]] = {
    "spectral": {"color": BLUE, "marker": "o"},
    "signed_permutation": {"color": ORANGE, "marker": "s"},
    "norm_only": {"color": GREEN, "marker": "^"},
    "mse": {"color": PURPLE, "marker": "D"},
}
CLEAR: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # behind what is written on a curve
HEADROOM = 0.34  # of the height, above all that is drawn, for what is written
COLOURS = 128  # of a PNG's palette: enough for the edges of text and bands
SHEET = Path(__file__).with_name("figures.mplstyle")


@contextmanager
def figure_style() -> Iterator[None]:
    """Apply the style inside the block, whatever the user's own matplotlib settings, drawing without a display."""
    matplotlib.use("agg")
    with pyplot.style.context(["default", SHEET]):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a palette PNG whose bytes depend on the drawing alone, and release the figure."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    pyplot.close(figure)
    picture = Image.open(drawn).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, format="png", optimize=True)


def note(axis: Axes, text: str, point: tuple[float, float], offset: tuple[float, float] = (0, 0), **look: Any) -> None:
    """Write a small text at a point of the data, some points of type aside."""
    axis.annotate(text, point, offset, textcoords="offset points", **{"fontsize": 7.5, **look})


def level_labels(axis: Axes, heights: Mapping[str, float]) -> None:
    """Name horizontal lines right of the axes; lines that lie on each other share one label, and none overprint."""
    low, high = axis.get_ylim()
    joined: list[tuple[float, str]] = []
    for words, height in sorted(heights.items(), key=lambda item: item[1]):
        if joined and height - joined[-1][0] < 0.01 * (high - low):
            joined[-1] = (joined[-1][0], f"{joined[-1][1]},\n{words}")
        else:
            joined.append((height, words))
    lines = max((words.count("\n") + 1 for _, words in joined), default=1)
    places = spread([height for height, _ in joined], 0.045 * lines * (high - low))
    for (_, words), place in zip(joined, places, strict=True):
        note(axis, words, (1.0, place), (3, 0), xycoords=("axes fraction", "data"), va="center", color=GREY)


def spread(heights: Sequence[float], least: float) -> list[float]:
    """Move the heights of labels apart by at least so much, keeping their order."""
    order = np.argsort(heights)
    moved = np.array(heights, dtype=np.float64)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + least)
    return [float(height) for height in moved]


def draw_margin(axis: Axes, margin: float) -> None:
    """Shade the differences that do not matter, around a line at 0."""
    axis.axvspan(-margin, margin, color="#CCCCCC", alpha=0.5, linewidth=0)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.grid(axis="y", visible=False)


def draw_difference(axis: Axes, found: Contrast, row: float, name: str | None = None) -> None:
    """Draw a contrast's difference with its interval on a row of its own."""
    middle, (low, high) = found.verdict.difference, found.verdict.interval
    errors = [[middle - low], [high - middle]]
    look = ARMS[found.treatment]
    axis.errorbar(middle, row, xerr=errors, capsize=2, elinewidth=1.2, linestyle="", label=name, **look)


def draw_bend(axis: Axes, verdict: ElbowVerdict, below: float) -> str | None:
    """Bracket where a bend may lie, a share of the height below the top; return what it is, None if none is shown."""
    if verdict.bend is None or verdict.bend_interval is None:
        return None
    start, end = verdict.bend_interval
    foot, top = axis.get_ylim()
    height = top - below * (top - foot)
    ends: dict[str, Any] = {"marker": "|", "markersize": 7, "color": "black", "linewidth": 1.0}
    axis.plot([start, max(end, start * 1.02)], [height, height], **ends)
    if verdict.kind == "elbow":
        return "bracket: elbow"
    words = {"smooth": "bend of a smooth curve", "either": "bend, smooth or a corner"}
    return f"bracket: {words.get(verdict.shape or '', 'bend, no elbow')}"

"""The look all figures share: legible at 830 pixels, in greyscale and to colour-blind readers."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from embalign.verdicts.contrasts import Contrast

BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#8A4F9E", "#56B4E9", "#555555"
# Arms of experiment 2, wherever they are drawn.
ARMS: dict[str, dict[str, Any]] = {
    "spectral": {"color": BLUE, "marker": "o"},
    "signed_permutation": {"color": ORANGE, "marker": "s"},
    "norm_only": {"color": GREEN, "marker": "^"},
    "mse": {"color": PURPLE, "marker": "D"},
}
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

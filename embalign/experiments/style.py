"""The look all figures share: legible at 830 pixels, in greyscale and to colour-blind readers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

BLUE, ORANGE, GREEN, PURPLE, SKY, GREY = "#0072B2", "#D55E00", "#009E73", "#8A4F9E", "#56B4E9", "#555555"
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

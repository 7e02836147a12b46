"""The figures of a run, embedded in the page: what they show in words, and their pixels as a data URI."""

import base64
import io
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from embalign.errors import PageError
from embalign.page.reading import refuse_outside
from embalign.readers import MEBI, read_bytes

LARGEST = 2 * MEBI  # the largest shipped one has a twentieth of it
MOST_PIXELS = 40_000_000
REMEDY = "run the experiment again"


@dataclass(frozen=True)
class Words:
    """What a figure shows: `alt` for who cannot see it, `caption` for who can and needs to read it right."""

    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure as the page has it; sizes in pixels."""

    uri: str
    width: int
    height: int
    words: Words


# By the name of the file: what the experiments draw. {levels} is what the page knows of a pair in numbers.
KNOWN = {
    "data_ratio_vs_metrics.png": Words(
        "Four panels of curves over the number of training pairs, on a log scale: mean cosine and query adapter "
        "nDCG@10 with tuned steps, below them mean cosine with fixed steps and index migration nDCG@10. One curve for "
        "each way to select the pairs. {levels}"
    ),
    "trajectory.png": Words(
        "Curves of held-out mean cosine over training steps, one for each share of the training data; a dot marks the "
        "highest point of each.",
        "Held-out mean cosine along training, random selection. Dot: highest point. A curve that falls after its dot "
        "over-fits with these steps.",
    ),
    "spectral_ab.png": Words(
        "Panels side by side, one for each metric, a row for each strength of the loss: the difference of each arm to "
        "the baseline as a point with its 95 % interval, beside the shaded margin of equivalence around 0.",
        "Difference of each arm to the baseline, with 95 % intervals. Shaded: too small to matter. An arrow with a "
        "number is a value beyond the axis. The spectral loss is to be read beside its controls.",
    ),
    "spectrum.png": Words(
        "Two panels. Left: mean amplitude over frequency for the teacher, the baseline map and the spectral map, and "
        "the band of the teacher with scrambled dimensions. Right: spectral cosine over cosine for both maps, points "
        "beside the curve of the Rayleigh law.",
        "Left: mean amplitude spectra of held-out items. Right: spectral cosine against cosine, in tenths of the test "
        "items; on the curve it says no more than the cosine does.",
    ),
    "map_bakeoff.png": Words(
        "Four panels, a column for each deployment. Above: nDCG@10 of each family of maps with all pairs as points "
        "with 95 % intervals, by plain search and by CSLS, beside lines for no map and the teacher. Below: curves of "
        "the best families over the number of pairs."
    ),
    "gate_curve.png": Words(
        "Panels of curves. Risk over the share of queries accepted: by score, by deployment and size of the index, by "
        "share of the training data. nDCG@10 over the share of queries sent to the teacher: by score, at random, by an "
        "oracle. Spread over surface styles of each arm minus the baseline, if the pair has styles. Share accepted "
        "over the threshold.",
        "Selective risk is the share of accepted answers that are wrong; lower is better. Cascade: what is kept of "
        "the teacher's nDCG@10 if the least certain queries are sent to the teacher.",
    ),
    "spectral_alignment_baseline.png": Words(
        "Two panels. Left: mean amplitude over frequency of the teacher and of the mapped draft. Right: spectral "
        "cosine over cosine, a point for each sample beside the curve of the Rayleigh law, and the memo's mean.",
        "Left: mean amplitude spectra, at length 1. Right: each sample's spectral cosine against its cosine.",
    ),
}


def read_figure(name: str, alt: str, folder: Path, trusted: Path, levels: str) -> Figure:
    """Return a figure of a report by the name that the report gives it. Raises PageError.

    `alt` is the report's own alternative text, for figures that this package does not draw.
    """
    if not re.fullmatch(r"\w[\w.-]*\.png", name, re.ASCII):
        raise PageError(f"the picture {name!r:.60} is no PNG file beside the report")
    path = folder / name
    refuse_outside(path, trusted)
    content = read_bytes(path, PageError, REMEDY, LARGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a size that would fill the memory is a warning only
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                width, height = image.size
                image.verify()
    except Exception:  # what Pillow says of it names an object in memory, or nothing that a reader knows
        raise PageError(f"{path}: not a whole PNG image, or one too large; {REMEDY}") from None
    if width * height > MOST_PIXELS:
        raise PageError(f"{path}: {width} by {height} pixels; the limit is {MOST_PIXELS} in all; {REMEDY}")
    uri = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Figure(uri, width, height, _words(name, alt, levels))


def _words(name: str, alt: str, levels: str) -> Words:
    known: Mapping[str, Words] = KNOWN
    if name in known:
        return Words(known[name].alt.replace("{levels}", levels).strip(), known[name].caption)
    return Words(alt or f"Figure of the report, {name}")

"""The frequency-domain baseline without spectral loss: CSV, figure and report beside the memo's original line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot

from embalign.evaluation import spectrum
from embalign.evaluation.similarity import cosines
from embalign.experiments.style import BLUE, GREY, ORANGE, figure_style, save
from embalign.experiments.tables import write_csv
from embalign.experiments.templates import render
from embalign.pairs import Vectors
from embalign.verdicts.statistics import student_t

BANDS = 48
NAME = "spectral_alignment_baseline"
# The line the memo printed: 3 samples, qwen2.5:0.5b to qwen2.5:7b through Ollama, d = 3584.
MEMO = {
    "cosine mean": 0.419761,
    "cosine p50": 0.396737,
    "cosine p95": 0.472700,
    "spec_mse mean": 0.00020555,
    "spec_cosine mean": 0.815723,
}
MEMO_BINS = 1793


def measure_samples(ids: list[str], mapped: Vectors, teacher: Vectors) -> pd.DataFrame:
    """Return one row a sample: cosine, spec_mse, spec_cosine, the law's expectation and the excess over it."""
    cosine = cosines(mapped, teacher)
    expected = spectrum.rayleigh_law(cosine)
    spec_cosine = spectrum.spec_cosines(mapped, teacher)
    return pd.DataFrame(
        {
            "sample": ids,
            "cosine": cosine,
            "spec_mse": spectrum.spec_mses(mapped, teacher),
            "spec_cosine": spec_cosine,
            "rayleigh_law": expected,
            "spectral_excess": spec_cosine - expected,
            "status": "ok",
        }
    )


def summarize(samples: pd.DataFrame) -> dict[str, float]:
    """Return the memo's summary of a run: mean, median and P95 of the cosine, means of the spectral metrics."""
    return {
        "cosine mean": float(samples["cosine"].mean()),
        "cosine p50": float(samples["cosine"].median()),
        "cosine p95": float(samples["cosine"].quantile(0.95)),
        "spec_mse mean": float(samples["spec_mse"].mean()),
        "spec_cosine mean": float(samples["spec_cosine"].mean()),
    }


def write_report(
    samples: pd.DataFrame, mapped: Vectors, teacher: Vectors, *, pair: str, which: str, folder: Path
) -> None:
    """Write `spectral_alignment_baseline.{csv,png}` and `..._report.md` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(samples, folder / f"{NAME}.csv", ("sample",))
    _draw(samples, mapped, teacher, folder / f"{NAME}.png")
    (folder / f"{NAME}_report.md").write_text(_report(samples, teacher.shape[1], pair, which), encoding="utf-8")


def _report(samples: pd.DataFrame, dimension: int, pair: str, which: str) -> str:
    spread = float(samples["spectral_excess"].std(ddof=1))
    expected = float(spectrum.rayleigh_law(np.array(MEMO["cosine mean"])))
    return render(
        "spectral/baseline.md.j2",
        pair=pair,
        map=which,
        name=NAME,
        n=len(samples),
        excess=student_t(samples["spectral_excess"].to_numpy()),
        summary=summarize(samples),
        memo=MEMO,
        memo_bins=MEMO_BINS,
        bins=dimension // 2 + 1,
        expected=expected,
        spread=spread,
        three=student_t(np.array([-1.0, 0.0, 1.0]) * spread).interval()[1],
    )


def _draw(samples: pd.DataFrame, mapped: Vectors, teacher: Vectors, path: Path) -> None:
    curves = [spectrum.in_bands(spectrum.amplitude_spectra(side).mean(axis=0), BANDS) for side in (teacher, mapped)]
    position = (np.arange(len(curves[0])) + 0.5) / len(curves[0])
    with figure_style():
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(8.3, 3.5), layout="constrained")
        left.plot(position, curves[0], color="black", label="teacher")
        left.plot(position, curves[1], color=BLUE, linestyle="--", label="mapped draft")
        left.set_title(f"Mean amplitude spectrum, {len(samples)} samples")
        left.set_xlabel("frequency over embedding dimensions (share of Nyquist)")
        left.set_ylabel("amplitude, spectra at length 1")
        left.margins(y=0.25)
        left.legend(loc="upper center", ncols=2)
        start = min(samples["cosine"].min(), MEMO["cosine mean"]) - 0.05
        line = np.linspace(max(start, -1.0), 1, 200)
        right.plot(line, spectrum.rayleigh_law(line), color=GREY, label="Rayleigh law (no free parameter)")
        right.plot(samples["cosine"], samples["spec_cosine"], "o", color=BLUE, markeredgecolor="white", label="sample")
        right.plot(
            MEMO["cosine mean"], MEMO["spec_cosine mean"], "D", color=ORANGE, markersize=7, label="memo's mean (n = 3)"
        )
        right.set_title("Spectral cosine against cosine")
        right.set_xlabel("cosine to teacher")
        right.set_ylabel("spectral cosine")
        right.legend(loc="upper left")
        save(figure, path)

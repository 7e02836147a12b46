"""What `test_spectral_alignment.py` writes: CSV, figure and report of the baseline, beside the memo's original line."""

import numpy as np
import pandas as pd
from matplotlib import pyplot

from embalign.evaluation import spectrum
from embalign.evaluation.similarity import cosines
from embalign.experiments.style import BLUE, GREY, ORANGE, figure_style, save
from embalign.experiments.tables import write_csv
from embalign.experiments.templates import unwrap
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


def measure_samples(ids, mapped, teacher):
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


def summarize(samples):
    """Return the memo's summary of a run: mean, median and P95 of the cosine, means of the spectral metrics."""
    return {
        "cosine mean": float(samples["cosine"].mean()),
        "cosine p50": float(samples["cosine"].median()),
        "cosine p95": float(samples["cosine"].quantile(0.95)),
        "spec_mse mean": float(samples["spec_mse"].mean()),
        "spec_cosine mean": float(samples["spec_cosine"].mean()),
    }


def write_report(samples, mapped, teacher, *, pair, which, folder):
    """Write `spectral_alignment_baseline.{csv,png}` and `..._report.md` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(samples, folder / f"{NAME}.csv", ("sample",))
    _draw(samples, mapped, teacher, folder / f"{NAME}.png")
    (folder / f"{NAME}_report.md").write_text(_report(samples, teacher.shape[1], pair, which), encoding="utf-8")


def _report(samples, dimension, pair, which):
    n, bins, memo_spectral = len(samples), dimension // 2 + 1, MEMO["spec_cosine mean"]
    excess = student_t(samples["spectral_excess"].to_numpy())
    low, high = excess.interval()
    answer = f"Spectral cosine is {'above' if low > 0 else 'below'} what the cosine predicts."
    if low <= 0 <= high:
        answer = "Without a spectral loss, spectral cosine is not shown to differ from what the cosine predicts."
    rows = "\n".join(f"| {name} | {MEMO[name]:.8g} | {value:.8g} |" for name, value in summarize(samples).items())
    expected = spectrum.rayleigh_law(np.array(MEMO["cosine mean"]))
    spread = samples["spectral_excess"].std(ddof=1)
    three = student_t(np.array([-1.0, 0.0, 1.0]) * spread).interval()[1]
    text = f"""# Frequency-domain baseline: {pair}

**{answer}** Spectral excess over {n} samples, without a spectral loss: {excess.mean:+.5f} (95 % interval {low:+.5f} to
{high:+.5f}).

![Spectra, and spectral cosine against cosine]({NAME}.png)

## This run beside the memo's

| metric | memo (n = 3) | this run (n = {n}) |
|:--|--:|--:|
{rows}

Map: {which}. Samples: the first {n} held-out items, which are of few label groups: the excess over all held-out
items is in `report.md` beside this. The two runs differ in models, texts and map, so the columns are not a comparison
of methods.

## What the numbers mean

- spec_mse is spec_cosine in other units: 2 (1 - spec_cosine) / K. The memo's line gives
  {2 * (1 - memo_spectral) / MEMO_BINS:.8f} for K = {MEMO_BINS}, its own spec_mse; here K = {bins}.
- Two unrelated Gaussian vectors already have a spectral cosine of pi/4 = 0.785. At the memo's mean cosine of
  {MEMO["cosine mean"]} the Rayleigh law expects {expected:.4f}; the memo found {memo_spectral:.4f}, a difference of
  {memo_spectral - expected:+.4f}.
- What n = 3 can tell: with this run's spread between samples ({spread:.4f}), three samples settle the mean excess to
  within ±{three:.4f} (95 %). That is enough to see that a spectral cosine of 0.82 is ordinary, and not enough to see a
  small effect of a loss.

## Run it again

```
python tests/test_spectral_alignment.py --n {n} --pair {pair}
```
"""
    return unwrap(text) + "\n"


def _draw(samples, mapped, teacher, path):
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

"""Measure how often the A/B verdict is right and wrong where the true difference is known.

    pip install -c constraints.txt -e .
    python benchmark/calibration/ab.py [--runs 1000] [--item-runs 200] [--out docs/calibration]

A simulated experiment compares arms at 12 settings of lambda x metric with one control, paired by seed, and adjusts by
Holm as the spectral report does. Differences, noise and margin are in units of the margin. Writes ab.md and ab.csv.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from texts import publish, share
from texts_ab import ab_tables

from embalign.evaluation.results import collect
from embalign.experiments.grid import Cell
from embalign.experiments.spectral.control import measure_control
from embalign.experiments.spectral.protocol import judge_controls
from embalign.verdicts.ab import ABKind, ABVerdict, after_holm, judge_ab
from embalign.verdicts.statistics import holm

SETTINGS, MARGIN, ITEMS = 12, 1.0, 66
# Noise of one seed's difference, and of one item's, in margins; skewed noise is lognormal, of the same variance.
NOISE = {"small": (0.3, 1.0), "large": (1.0, 3.0), "small, skewed": (0.3, 1.0)}
SKEWED = 1.0  # standard deviation of the logarithm


def noise_of(rng: np.random.Generator, noise: str, size: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Draw noise of mean 0 and variance 1, normal or lognormal."""
    normal = rng.standard_normal(size)
    if not noise.endswith("skewed"):
        return normal
    mean, variance = np.exp(SKEWED**2 / 2), (np.exp(SKEWED**2) - 1) * np.exp(SKEWED**2)
    return np.asarray((np.exp(SKEWED * normal) - mean) / np.sqrt(variance))


def contrast(rng: np.random.Generator, seeds: int, items: int, noise: str, effect: float) -> ABVerdict:
    """Judge one simulated pair of arms with that true difference."""
    of_seed, of_item = NOISE[noise]
    seed, item = (axis.ravel() for axis in np.meshgrid(range(seeds), range(max(items, 1)), indexing="ij"))
    shared = rng.normal(0, 5, seeds)[seed] + rng.normal(0, 20, max(items, 1))[item]
    difference = effect + of_seed * noise_of(rng, noise, seeds)[seed]
    if items:
        difference += of_item * (noise_of(rng, noise, items)[item] + rng.standard_normal(len(item)))
    control = pd.DataFrame({"seed": seed, **({"item": item} if items else {}), "value": shared})
    return judge_ab(control.assign(value=shared + difference), control, margin=MARGIN)


def declared(verdicts: list[ABVerdict]) -> list[ABKind]:
    """Return each verdict's kind after Holm over the family."""
    adjusted = holm([verdict.p_value for verdict in verdicts])
    return [after_holm(verdict, p) for verdict, p in zip(verdicts, adjusted, strict=True)]


def run(task: tuple[int, int, str, int]) -> dict[str, object]:
    """Count outcomes of whole experiments without effect, at the margin, and with twice the margin at one setting."""
    seeds, items, noise, runs = task
    rng = np.random.default_rng([2, seeds, items, *noise.encode()])
    counts = dict.fromkeys(("false difference", "false equivalence", "power at twice the margin", "equivalence"), 0)
    for _ in range(runs):
        nothing = [contrast(rng, seeds, items, noise, 0.0) for _ in range(SETTINGS)]
        counts["false difference"] += any(kind in ("better", "worse") for kind in declared(nothing))
        counts["equivalence"] += declared(nothing)[0] == "equivalent"
        counts["false equivalence"] += contrast(rng, seeds, items, noise, MARGIN).kind == "equivalent"
        with_effect = [contrast(rng, seeds, items, noise, 2 * MARGIN), *nothing[1:]]
        counts["power at twice the margin"] += declared(with_effect)[0] == "better"
    line: dict[str, object] = {"seeds": seeds, "items": items, "noise": noise, "runs": runs}
    for name, count in counts.items():
        line |= share(name, count, runs)
    return line


def positive_control(first_seed: int) -> bool:
    """Whether the positive control is found by five seeds, as a report judges it."""
    cells = [
        Cell("spectral", "positive_control", "any", (("arm", arm), ("draw", 0)), seed)
        for arm in ("spectral", "signed_permutation")
        for seed in range(first_seed, first_seed + 5)
    ]
    return judge_controls(collect([(cell.identity(), measure_control(None, cell)) for cell in cells])).found


def main() -> None:
    """Run every setting on all cores, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated experiments without items (default 1000)")
    parser.add_argument("--item-runs", type=int, default=200, help="the same with 66 items (default 200)")
    parser.add_argument("--control-runs", type=int, default=50, help="positive controls of five seeds (default 50)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    planned = [
        (seeds, items, noise, arguments.item_runs if items else arguments.runs)
        for items in (0, ITEMS)
        for seeds in (5, 10)
        for noise in NOISE
    ]
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    table = pd.DataFrame(list(pool.map(run, planned)))
    found = list(pool.map(positive_control, range(1000, 1000 + 5 * arguments.control_runs, 5)))
    pool.shutdown()
    publish(table, ab_tables(table, sum(found), len(found)), arguments.out, "ab")


if __name__ == "__main__":
    main()

"""Measure how often `embalign compare` is wrong where the true difference is known.

    pip install -c constraints.txt -e .
    python benchmark/calibration/compare.py [--runs 1000] [--out docs/calibration]

Differences a query are drawn from worlds of known mean: normal, lognormal to either side, and those of right and wrong
answers; of one run each over items or groups of them, and of several seeds. Writes compare.md and compare.csv.
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
from texts_compare import compare_tables

from embalign.verdicts.paired import judge_paired

# How often one of two systems alone is right about an item, half of it either way.
ANSWERS = {"answers, 20 % differ": 0.2, "answers, 6 % differ": 0.06}
NOISES = ("normal", "lognormal", "lognormal, negative", *ANSWERS)
SIZES = (50, 100, 300, 1000)
GROUPED = ((20, 500), (50, 500))  # groups of unequal size, and items
SEEDED = ((3, 100), (5, 100), (5, 1000))  # seeds and items
STANDARD_ERRORS = 3  # the margin, so that equivalence can be shown
SKEWED = 1.0  # standard deviation of the logarithm

Array = np.ndarray[tuple[int], np.dtype[np.float64]]


def spread_of(noise: str) -> float:
    """Return the standard deviation of an item's difference."""
    return float(np.sqrt(ANSWERS[noise])) if noise in ANSWERS else 1.0


def draw(rng: np.random.Generator, noise: str, size: int, mean: float) -> Array:
    """Draw differences by item with that true mean."""
    if noise in ANSWERS:
        share_of = ANSWERS[noise]
        mean = float(np.clip(mean, -share_of, share_of))
        chances = [(share_of - mean) / 2, 1 - share_of, (share_of + mean) / 2]
        return rng.choice([-1.0, 0.0, 1.0], p=chances, size=size)
    normal = rng.standard_normal(size)
    if noise == "normal":
        return mean + normal
    middle, variance = np.exp(SKEWED**2 / 2), (np.exp(SKEWED**2) - 1) * np.exp(SKEWED**2)
    sign = -1 if noise.endswith("negative") else 1
    return np.asarray(mean + sign * (np.exp(SKEWED * normal) - middle) / np.sqrt(variance))


def experiment(
    rng: np.random.Generator, noise: str, shape: tuple[str, int, int], mean: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two systems whose true difference is `mean`: over items, over groups of them, or with several seeds."""
    kind, count, items = shape
    if kind == "seeds":
        seed, item = (axis.ravel() for axis in np.meshgrid(range(count), range(items), indexing="ij"))
        values = draw(rng, noise, items, mean)[item] + rng.normal(0, 0.1 * spread_of(noise), count)[seed]
        frame = pd.DataFrame({"seed": seed, "item": item, "value": values + rng.standard_normal(len(item))})
    elif kind == "groups":
        weights = np.geomspace(8, 1, count)
        group = rng.choice(count, p=weights / weights.sum(), size=items)
        values = 0.5 * draw(rng, noise, count, 0.0)[group] + draw(rng, noise, items, mean)
        frame = pd.DataFrame({"item": np.arange(items), "group": group, "value": values})
    else:
        frame = pd.DataFrame({"item": np.arange(items), "value": draw(rng, noise, items, mean)})
    control = frame.drop(columns="group", errors="ignore").assign(value=0.0)
    return frame, control


def run(task: tuple[str, tuple[str, int, int], int]) -> dict[str, object]:
    """Count what is said without a difference, and with one of exactly the margin."""
    noise, shape, runs = task
    kind, count, items = shape
    rng = np.random.default_rng([22, items, count, *kind.encode(), *noise.encode()])
    units = count if kind == "groups" else items
    margin = STANDARD_ERRORS * spread_of(noise) / np.sqrt(units)
    if noise in ANSWERS:
        margin = min(margin, 0.75 * ANSWERS[noise])
    counts = dict.fromkeys(("false difference", "false equivalence", "equivalence", "found at the margin"), 0)
    for _ in range(runs):
        try:
            nothing = judge_paired(*experiment(rng, noise, shape, 0.0), margin=margin)
            there = judge_paired(*experiment(rng, noise, shape, margin), margin=margin)
        except ValueError:  # no pair of values differs: refused
            continue
        counts["false difference"] += nothing.direction is not None
        counts["equivalence"] += nothing.kind == "equivalent"
        counts["false equivalence"] += there.kind == "equivalent"
        counts["found at the margin"] += there.direction is not None
    line: dict[str, object] = {
        "over": {"items": "items", "groups": "groups", "seeds": "seeds and items"}[kind],
        "seeds": count if kind == "seeds" else 1,
        "groups": count if kind == "groups" else 0,
        "items": items,
        "noise": noise,
        "runs": runs,
    }
    for name, found in counts.items():
        line |= share(name, found, runs)
    return line


def main() -> None:
    """Run every world on all cores, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated comparisons of each world (default 1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    shapes = [
        *(("items", 1, size) for size in SIZES),
        *(("groups", *shape) for shape in GROUPED),
        *(("seeds", *shape) for shape in SEEDED),
    ]
    planned = [(noise, shape, arguments.runs) for shape in shapes for noise in NOISES]
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    table = pd.DataFrame(list(pool.map(run, planned)))
    pool.shutdown()
    publish(table, compare_tables(table), arguments.out, "compare")


if __name__ == "__main__":
    main()

"""Measure how often an interval over seeds and label groups holds the truth, where groups are of unequal size.

    pip install -c constraints.txt -e .
    python benchmark/calibration/intervals.py [--runs 4000] [--out docs/calibration]

Group sizes are equal, or Pareto with exponent 1 or 0.6: a few groups then hold most of the test items. A group has an
effect of its own, so has a seed, and every item of a seed has noise. The truth is the mean over all groups there could
be. Values by group are what a cell stores (`embalign.evaluation.scorecard.label_values`); runs of fewer than eight
effective groups, (sum n)^2 / sum n^2, get no verdict. Beside it: the plain linearised values with as many degrees of
freedom as there are groups. Writes intervals.md and intervals.csv.
"""

from __future__ import annotations

import argparse
import itertools
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
from numpy.typing import NDArray
from scipy.special import stdtrit
from texts import markdown, publish, rate, share

from embalign.evaluation.scorecard import label_values
from embalign.verdicts.replicates import from_array
from embalign.verdicts.sanity import FEWEST_GROUPS

SIZES: dict[str, float | None] = {"equal": None, "Pareto(1)": 1.0, "Pareto(0.6)": 0.6}
GROUPS, SEEDS = (20, 66, 200), 5
EFFECT, OF_SEED, NOISE = 0.3, 0.05, 0.4  # standard deviations
LARGEST = 2_000  # items of a group, so that runs stay small


def draw(
    rng: np.random.Generator, exponent: float | None, groups: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values (seeds, items) of mean 0 over all groups there could be, and the group of each item."""
    sizes = np.full(groups, 10)
    if exponent is not None:
        sizes = np.ceil(3 * (1 + rng.pareto(exponent, groups))).clip(max=LARGEST).astype(np.int64)
    group = np.repeat(np.arange(groups), sizes)
    values = EFFECT * rng.standard_normal(groups)[group] + OF_SEED * rng.standard_normal((SEEDS, 1))
    return values + NOISE * rng.standard_normal((SEEDS, len(group))), group


def linearised(values: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one value a group as the ratio estimator has it, a large group's pull on the mean left in."""
    sizes = np.bincount(group)
    return np.asarray(values.mean() + (np.bincount(group, weights=values) - sizes * values.mean()) / sizes.mean())


def run(task: tuple[str, int, int]) -> dict[str, object]:
    """Count how often intervals hold the truth, and how many runs get none."""
    name, groups, runs = task
    rng = np.random.default_rng([9, groups, *name.encode()])
    held, plain, refused = 0, 0, 0
    for _ in range(runs):
        values, group = draw(rng, SIZES[name], groups)
        sizes = np.bincount(group).astype(np.float64)
        if sizes.sum() ** 2 / (sizes**2).sum() < FEWEST_GROUPS:
            refused += 1
            continue
        by_group = np.array([[label_values(of_seed, group) for of_seed in values]])
        low, high = from_array(by_group, [0]).contrast([1.0]).interval()
        held += low <= 0 <= high
        mean_squares = from_array(np.array([[linearised(of_seed, group) for of_seed in values]]), [0]).contrast([1.0])
        half = float(stdtrit(groups - 1, 0.975)) * mean_squares.standard_error
        plain += abs(mean_squares.mean) <= half
    judged = max(1, runs - refused)
    line: dict[str, object] = {"sizes": name, "groups": groups, "runs": runs, "refused": refused / runs}
    return line | share("covered", int(held), judged) | share("plain", int(plain), judged)


def as_text(table: pd.DataFrame) -> str:
    """Return the coverage of the intervals as Markdown."""
    lines = [
        {
            "group sizes": row["sizes"],
            "groups": f"{row['groups']}",
            "no verdict": f"{row['refused']:.3f}",
            "interval holds the truth": rate(row, "covered"),
            "plain": rate(row, "plain"),
            "demand": "met" if row["covered high"] >= 0.93 and row["covered low"] <= 0.97 else "not met",
        }
        for _, row in table.iterrows()
    ]
    parts = [
        "# How often an interval over seeds and label groups holds the truth",
        f"{int(table['runs'].max())} simulated tests of {SEEDS} seeds a row, 95 % intervals. Demand: the truth is "
        f"held in 93 to 97 %, or there is no verdict, since fewer than {FEWEST_GROUPS} effective groups are too few. "
        "Plain: the linearised ratio estimator with a degree of freedom for each group. In brackets: 95 % "
        "Clopper-Pearson intervals.",
        "```\npip install -c constraints.txt -e .\npython benchmark/calibration/intervals.py\n```",
        markdown(pd.DataFrame(lines)),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Run every setting on all cores, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4000, help="simulated tests a setting (default 4000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    tasks = [(name, groups, arguments.runs) for name, groups in itertools.product(SIZES, GROUPS)]
    table = pd.DataFrame(list(pool.map(run, tasks)))
    pool.shutdown()
    publish(table, as_text(table), arguments.out, "intervals")


if __name__ == "__main__":
    main()

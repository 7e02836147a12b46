"""Measure what is said of amounts of data where the truth is known: what is enough, and what twice as much brings.

    pip install -c constraints.txt --group calibration -e .
    python benchmark/calibration/amounts.py [--runs 1000] [--out docs/calibration]

Power laws and a straight line in log n are measured on four grids of ratios of the same 10,000 pairs, with ten seeds,
and with five and twice the noise. The number of pairs that is enough, at a margin of 5 % of the gain from 1 % of the
data on, must not follow the grid. Then what the verdict foresees of the next doubling, which was not shown to it, there
and on curves of other shapes. Writes amounts.md and amounts.csv.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from texts import publish, share
from texts_amounts import amounts_tables
from worlds import (
    EARLY,
    ELBOW_WORLDS,
    GRIDS,
    LATE,
    MARGIN,
    NOISE,
    POWER_LAWS,
    STRAIGHT_WORLDS,
    World,
    scaled_log,
    simulate,
)

from embalign.verdicts.elbow import ElbowVerdict, judge_elbow

PAIRS = 10_000
LAWS = {world.name: world for world in (*POWER_LAWS, STRAIGHT_WORLDS[1])}
WORLDS = LAWS | {world.name: world for world in (EARLY, LATE, ELBOW_WORLDS[2])}
NOISES = {"ten seeds": (10, NOISE), "five seeds, twice the noise": (5, 2 * NOISE)}


def enough(world: World) -> float:
    """Return the number of pairs at which a law has lost the margin."""
    return PAIRS * float(brentq(lambda ratio: 1 - MARGIN - float(world.curve(scaled_log([ratio]))[0]), 0.01, 1))


def to_come(world: World) -> float:
    """Return what the next doubling brings in truth: nothing after a corner to a plateau."""
    if world.elbow is not None:
        return 0.0
    return float(np.diff(world.curve(scaled_log([1.0, 2.0])))[0])


def run(task: tuple[str, str, str, int]) -> tuple[dict[str, object], NDArray[np.int64]]:
    """Judge one world on one grid many times; return its line of the table and the intervals of enough (runs, 2)."""
    name, grid, noise, runs = task
    world, ratios, (seeds, scale) = WORLDS[name], GRIDS[grid], NOISES[noise]
    rng = np.random.default_rng([3, seeds, *name.encode(), *grid.encode()])
    verdicts = [_judged(world, ratios, seeds, scale, rng) for _ in range(runs)]
    spans = np.array([verdict.recommended_items_interval for verdict in verdicts])
    line: dict[str, object] = {"world": name, "grid": grid, "noise": noise, "runs": runs}
    line |= share("elbow", sum(verdict.kind == "elbow" for verdict in verdicts), runs)
    if name in LAWS:
        truth = enough(world)
        line["enough"] = round(truth)
        line |= share("covered", int(((spans[:, 0] <= truth) & (truth <= spans[:, 1])).sum()), runs)
        line["median width"] = float(np.median(spans[:, 1] / spans[:, 0]))
    foreseen = [(v.last_doubling.value, *v.next_doubling.bracket) for v in verdicts if v.next_doubling.bracket]
    last, low, high = np.array(foreseen or [(np.nan, 1.0, 0.0)]).T
    truth = to_come(world)
    line["foreseen"] = len(foreseen) / runs
    line |= share("came", int(((low <= truth) & (truth <= high)).sum()), max(1, len(foreseen)))
    line["bracket over last"] = float(np.median(high - low) / np.median(last)) if world.elbow is None else np.nan
    return line, spans


def _judged(world: World, ratios: Sequence[float], seeds: int, scale: float, rng: np.random.Generator) -> ElbowVerdict:
    rows = simulate(world, ratios, seeds, rng, scale)
    return judge_elbow(rows.assign(n_train=(PAIRS * rows["ratio"]).round()), margin=MARGIN)


def overlapping(spans: dict[tuple[str, str, str], NDArray[np.int64]], name: str, noise: str) -> float:
    """Return how often the intervals of enough overlap, on the two grids where they do so least often."""
    of_grid = [spans[name, grid, noise] for grid in GRIDS]
    return min(
        float(((one[:, 0] <= other[:, 1]) & (other[:, 0] <= one[:, 1])).mean())
        for one, other in itertools.combinations(of_grid, 2)
    )


def main() -> None:
    """Run every world on every grid on all cores, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated curves a world and grid (default 1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    tasks = [(name, grid, noise, arguments.runs) for name, grid, noise in itertools.product(WORLDS, GRIDS, NOISES)]
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    lines, spans = [], {}
    for task, (line, own) in zip(tasks, pool.map(run, tasks), strict=True):
        lines.append(line)
        spans[task[:3]] = own
    pool.shutdown()
    table = pd.DataFrame(lines)
    table["overlap"] = [
        overlapping(spans, name, noise) if name in LAWS else np.nan
        for name, noise in zip(table["world"], table["noise"], strict=True)
    ]
    publish(table, amounts_tables(table), arguments.out, "amounts")


if __name__ == "__main__":
    main()

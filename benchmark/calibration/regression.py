"""Measure the error rates of the regression check: how often it raises a false alarm, how small a loss it detects.

    pip install -c constraints.txt -e .
    python benchmark/calibration/regression.py [--repeats 2] [--reruns 1000] [--out docs/calibration] [--write]

Two runs of one code differ in rounding only, from machine to machine. That is done here for real: the gate's grid is
trained again on embeddings changed by a millionth, which is what another order of summation does. From these changes
come each metric's repeatability and, drawn by seed, null re-runs.

A loss is not the same at every seed. How it differs is measured too: the grid is trained under settings that really
change it, or its families of maps are replaced by others. Their changes by seed, less their mean, are drawn and shifted
by a loss of known size.

--write puts the repeatability into the baselines. Writes regression.md, regression.csv and regression.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmark")]

import msgspec
import numpy as np
import pandas as pd
from test_elbow import ELBOW
from test_maps import MAPS
from test_spectral import SPECTRAL
from texts import publish, share
from texts_gates import draw_regression, regression_tables

from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.experiments.grid import Cell
from embalign.pairs.config import find_pair
from embalign.pairs.pair import Pair, load_pair
from embalign.regression.baseline import baseline_path, read_baseline, write_baseline
from embalign.verdicts.metrics import METRICS, smallest_effect
from embalign.verdicts.regression import judge_regression

EXPERIMENTS = {experiment.name: experiment for experiment in (ELBOW, SPECTRAL, MAPS)}
# The maps of one pair: on the other a run takes half an hour.
MEASURED = {"qwen-sentence-align": ("elbow", "spectral"), "smollm2-mpnet": ("elbow", "spectral", "maps")}
ROUNDING = 1e-6
SIZES = (0.5, 1.0, 1.5, 2.0, 3.0)  # of a loss, in smallest effects that matter
TRAININGS = (TrainingConfig(batch_size=8), TrainingConfig(batch_size=128), TrainingConfig(learning_rate=2e-3))
FAMILIES = (
    {"ridge": "affine", "deshrunk": "reversed", "contrastive": "cosine"},
    {"ridge": "procrustes", "deshrunk": "lowrank", "contrastive": "residual"},
)
REAL_CHANGES = {"elbow": TRAININGS, "spectral": TRAININGS, "maps": FAMILIES}

Run = int | TrainingConfig | dict[str, str]  # which rounding of the embeddings, settings, or families by those replaced
Changes = dict[str, np.ndarray]  # of each metric, by run and seed, means over the cells of the grid


def measure_again(task: tuple[str, str, Cell, Run]) -> dict[str, float]:
    """Return the gated metrics of a cell, measured again in that way."""
    pair_name, experiment, cell, run = task
    pair = _rounded(pair_name, run) if isinstance(run, int) else _as_it_is(pair_name)
    measured = EXPERIMENTS[experiment]
    found = measured.table(cell.table).run(pair, _changed(cell, run))
    return {metric: float(found.metrics[metric]) for metric in measured.checked}


@functools.lru_cache(maxsize=1)
def _as_it_is(name: str) -> Pair:
    return load_pair(find_pair(name, ROOT))


@functools.lru_cache(maxsize=1)
def _rounded(name: str, run: int) -> Pair:
    pair, rng = _as_it_is(name), np.random.default_rng([8, run])
    draft, teacher = (
        vectors * (1 + ROUNDING * rng.standard_normal(vectors.shape)).astype(np.float32)
        for vectors in (pair.draft, pair.teacher)
    )
    return pair.with_vectors(draft=draft, teacher=teacher)


def _changed(cell: Cell, run: Run) -> Cell:
    if isinstance(run, dict):
        settings = dict(cell.settings)
        return dataclasses.replace(cell, settings=tuple((settings | {"family": run[cell["family"]]}).items()))
    return dataclasses.replace(cell, training=DEFAULT if isinstance(run, int) else run)


def changes_of(pair: str, experiment: str, runs: Sequence[Run], pool: ProcessPoolExecutor) -> Changes:
    """Return the changes against the baseline that measuring the grid again in these ways makes."""
    checked = EXPERIMENTS[experiment].checked
    baseline = read_baseline(baseline_path(ROOT, pair, experiment), checked)
    cells = EXPERIMENTS[experiment].cells(pair, "regression")
    tasks = [(pair, experiment, cell, run) for run in runs for cell in cells]
    found = pd.DataFrame(
        [
            {"run": runs.index(run), "seed": cell.seed}
            | {metric: row[metric] - baseline.values[f"{cell.table}/{cell.id}"][metric] for metric in checked}
            for (_, _, cell, run), row in zip(tasks, pool.map(measure_again, tasks), strict=True)
        ]
    )
    by_seed = found.groupby(["run", "seed"]).mean()
    return {metric: by_seed[metric].unstack().to_numpy() for metric in checked}


def differences_between_seeds(real: Changes) -> Changes:
    """Return what of real changes differs between seeds: less their mean, widened for having lost it."""
    return {
        metric: (values - values.mean(axis=1, keepdims=True)) * np.sqrt(values.shape[1] / (values.shape[1] - 1))
        for metric, values in real.items()
    }


def operate(
    changes: Changes, between: Changes, repeatability: dict[str, float], reruns: int
) -> list[dict[str, object]]:
    """Return false alarms of null re-runs, and detections of losses, by metric and size."""
    rng = np.random.default_rng(9)
    alarms = 0
    seen = {(metric, size): 0 for metric in changes for size in SIZES}
    for _ in range(reruns):
        drawn = {
            metric: {seed: float(values[rng.integers(len(values)), seed]) for seed in range(values.shape[1])}
            for metric, values in changes.items()
        }
        alarms += any(found.kind == "regressed" for found in judge_regression(drawn, repeatability))
        change = rng.integers(len(next(iter(between.values()))))
        place = rng.integers(next(iter(between.values())).shape[1], size=len(next(iter(drawn.values()))))
        changed = {
            metric: {seed: value + between[metric][change, place[seed]] for seed, value in by_seed.items()}
            for metric, by_seed in drawn.items()
        }
        for metric, size in seen:
            loss = size * smallest_effect(metric) * (-1 if METRICS[metric].higher_is_better else 1)
            lost = changed | {metric: {seed: value + loss for seed, value in changed[metric].items()}}
            kinds = {found.metric: found.kind for found in judge_regression(lost, repeatability)}
            seen[metric, size] += kinds[metric] == "regressed"
    rows: list[dict[str, object]] = [
        {"metric": "any", "size": 0.0, "reruns": reruns} | share("regressed", alarms, reruns)
    ]
    return rows + [
        {"metric": metric, "size": size, "reruns": reruns} | share("regressed", count, reruns)
        for (metric, size), count in seen.items()
    ]


def main() -> None:
    """Measure, write table, figure and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2, help="trainings of the whole grid on changed embeddings")
    parser.add_argument("--reruns", type=int, default=1000, help="null re-runs drawn from them")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    parser.add_argument("--write", action="store_true", help="put the repeatability into the baselines")
    arguments = parser.parse_args()
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    rows = []
    for pair, experiments in MEASURED.items():
        for experiment in experiments:
            changes = changes_of(pair, experiment, range(arguments.repeats), pool)
            between = differences_between_seeds(changes_of(pair, experiment, REAL_CHANGES[experiment], pool))
            repeatability = {metric: float(np.sqrt((values**2).mean())) for metric, values in changes.items()}
            for row in operate(changes, between, repeatability, arguments.reruns):
                known, name = {}, str(row["metric"])
                if name != "any":
                    spread = float(np.sqrt((between[name] ** 2).mean()))
                    known = {
                        "repeatability": repeatability[name],
                        "spread": spread,
                        "min_effect": smallest_effect(name),
                    }
                rows.append({"pair": pair, "experiment": experiment, "repeats": arguments.repeats, **row, **known})
            if arguments.write:
                path = baseline_path(ROOT, pair, experiment)
                rounded = {metric: float(f"{value:.3g}") for metric, value in repeatability.items()}
                write_baseline(path, msgspec.structs.replace(read_baseline(path, list(rounded)), repeatability=rounded))
    pool.shutdown()
    table = pd.DataFrame(rows)
    publish(table, regression_tables(table), arguments.out, "regression")
    draw_regression(table, arguments.out / "regression.png")


if __name__ == "__main__":
    main()

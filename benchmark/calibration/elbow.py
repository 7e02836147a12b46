"""Measure how often the elbow verdict is right and wrong in simulated worlds of known truth, beside its peers.

    pip install -c constraints.txt --group calibration -e .
    python benchmark/calibration/elbow.py [--runs 2000] [--slow-runs 500] [--out docs/calibration]

Writes elbow.md, elbow.csv and elbow.png. kneed (Satopaa et al. 2011) and piecewise-regression (Muggeo 2003) see the
same simulated curves: kneed their means over seeds, on the ratio and on its logarithm; piecewise-regression all values
over log ratio. kneed counts as reporting an elbow when it returns a knee, piecewise-regression when it converges and
its Davies test, where it gives a p-value, is below 5 %.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import get_args

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from texts import draw_elbow, elbow_tables, publish, share
from worlds import (
    ALMOST,
    AT_MARGIN,
    DECLINE,
    ELBOW_WORLDS,
    MARGIN,
    PLATEAU,
    POWER_LAWS,
    SHAPES,
    SIX_RATIOS,
    STRAIGHT_WORLDS,
    TEN_RATIOS,
    World,
    simulate,
    simulate_items,
)

from embalign.verdicts.elbow import Kind, judge_elbow
from embalign.verdicts.replicates import from_array

WITH_PEERS = (*STRAIGHT_WORLDS, POWER_LAWS[2], *ELBOW_WORLDS)
WORLDS = {
    world.name: world
    for world in (*STRAIGHT_WORLDS, *POWER_LAWS, *ELBOW_WORLDS, *SHAPES, *ALMOST, DECLINE, PLATEAU, AT_MARGIN)
}
PROFILES = {"quick": (SIX_RATIOS, 5), "full": (TEN_RATIOS, 10)}

KINDS = get_args(Kind)

Outcome = dict[str, float]


def judge(world: World, ratios: tuple[float, ...], seeds: int, rng: np.random.Generator) -> Outcome:
    """Judge one curve: kind, and for elbow worlds whether the interval covers the truth."""
    verdict = judge_elbow(simulate(world, ratios, seeds, rng), margin=MARGIN)
    found: Outcome = {kind: verdict.kind == kind for kind in KINDS}
    found["line rejected"] = verdict.straight_line_p_value <= 0.05
    found["recommends less"] = verdict.recommended_ratio < 1
    found["last rising"] = verdict.last_doubling.kind == "rising"
    found["last saturated"] = verdict.last_doubling.kind == "saturated"
    if verdict.elbow_interval and world.elbow:
        low, high = verdict.elbow_interval
        found["covered"] = low <= world.elbow * (1 + 1e-9) and world.elbow * (1 - 1e-9) <= high
        found["width"] = float(np.log10(high / low))
    return found


def judge_items(world: World, ratios: tuple[float, ...], seeds: int, rng: np.random.Generator) -> Outcome:
    """Judge one curve with 60 items whose own curves differ."""
    verdict = judge_elbow(simulate_items(world, ratios, seeds, 60, rng), margin=MARGIN)
    return {
        "elbow": verdict.kind == "elbow",
        "line rejected": verdict.straight_line_p_value <= 0.05,
        "recommends less": verdict.recommended_ratio < 1,
    }


def kneed(world: World, ratios: tuple[float, ...], seeds: int, rng: np.random.Generator) -> Outcome:
    """Whether kneed reports a knee on the mean curve, on a linear and on a log axis."""
    from kneed import KneeLocator

    mean = simulate(world, ratios, seeds, rng).groupby("ratio")["value"].mean()
    found: Outcome = {}
    for axis, x in {"linear": mean.index.to_numpy(), "log": np.log(mean.index.to_numpy())}.items():
        found[axis] = KneeLocator(x, mean.to_numpy(), curve="concave", direction="increasing").knee is not None
    return found


def piecewise(world: World, ratios: tuple[float, ...], seeds: int, rng: np.random.Generator) -> Outcome:
    """Whether piecewise-regression reports a breakpoint over log ratio, and whether its interval covers the truth."""
    import piecewise_regression

    curve = simulate(world, ratios, seeds, rng)
    state = np.random.get_state()
    np.random.seed(rng.integers(2**32))  # its bootstrap restarting draws from the global generator
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fit = piecewise_regression.Fit(
                np.log(curve["ratio"].to_numpy()), curve["value"].to_numpy(), n_breakpoints=1, n_boot=20
            ).get_results()
    finally:
        np.random.set_state(state)
    estimates = fit["estimates"] if fit["converged"] else None
    reported = estimates is not None and not fit["davies"] > 0.05
    found: Outcome = {"elbow": reported, "no Davies p-value": bool(np.isnan(fit["davies"]))}
    if reported and world.elbow:
        low, high = np.exp(estimates["breakpoint1"]["confidence_interval"])
        found["covered"] = bool(low <= world.elbow <= high)
    return found


def declining_by_halves(world: World, ratios: tuple[float, ...], seeds: int, rng: np.random.Generator) -> Outcome:
    """Another way to find a decline: choose the best ratio on half of the seeds, test it on the other half."""
    curve = simulate(world, ratios, seeds, rng).pivot(index="ratio", columns="seed", values="value").to_numpy()
    half = seeds // 2
    best = int(curve[:, :half].mean(axis=1).argmax())
    if best == len(curve) - 1:
        return {"declining": False}
    test = from_array(curve[[best, -1]][:, half:], ["best", "all"]).contrast([1.0, -1.0])
    return {"declining": test.p_greater() <= 0.05}


Judge = Callable[[World, tuple[float, ...], int, np.random.Generator], Outcome]
# Method, judge, name of the world (a world holds functions, which cannot be sent to a process), profile, ratios, seeds,
# runs.
Task = tuple[str, Judge, str, str, tuple[float, ...], int, int]


def run(task: Task) -> dict[str, object]:
    """Repeat one judge in one world and count its outcomes; every task has a random stream of its own."""
    method, judge_one, world, profile, ratios, seeds, runs = task
    rng = np.random.default_rng([20240229, len(ratios), seeds, *world.encode()])
    outcomes = pd.DataFrame([judge_one(WORLDS[world], ratios, seeds, rng) for _ in range(runs)])
    line: dict[str, object] = {
        "method": method,
        "world": world,
        "profile": profile,
        "ratios": len(ratios),
        "seeds": seeds,
        "runs": runs,
    }
    for name in outcomes:
        counted = outcomes[name].dropna()
        if name == "width":
            line["median width"] = float(counted.median())
            continue
        line |= share(name, int(counted.astype(bool).sum()), len(counted))
    return line


def tasks(runs: int, slow_runs: int) -> list[Task]:
    """Return every method, world and grid to run."""
    planned: list[Task] = []
    for profile, (ratios, seeds) in PROFILES.items():
        planned += [
            ("embalign", judge, world.name, profile, ratios, seeds, runs)
            for world in WORLDS.values()
            if world != AT_MARGIN
        ]
        planned += [("kneed", kneed, world.name, profile, ratios, seeds, runs) for world in WITH_PEERS]
        planned += [
            ("embalign, items", judge_items, world.name, profile, ratios, seeds, runs)
            for world in (STRAIGHT_WORLDS[1], AT_MARGIN)
        ]
        planned += [
            ("split halves", declining_by_halves, world.name, profile, ratios, seeds, runs)
            for world in (DECLINE, PLATEAU, STRAIGHT_WORLDS[0])
        ]
    planned += [
        ("piecewise-regression", piecewise, world.name, "full", *PROFILES["full"], slow_runs) for world in WITH_PEERS
    ]
    planned += [("embalign", judge, AT_MARGIN.name, "margin", SIX_RATIOS, seeds, runs) for seeds in (3, 5, 10)]
    planned += [
        ("embalign", judge, world.name, "ten ratios, three seeds", TEN_RATIOS, 3, runs) for world in ELBOW_WORLDS
    ]
    return planned


def main() -> None:
    """Run every task on all cores, write table, text and figure, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulated curves a world (default 2000)")
    parser.add_argument("--slow-runs", type=int, default=500, help="the same for slow peers (default 500)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    parser.add_argument("--keep-peers", action="store_true", help="take the peers' rows from OUT/elbow.csv")
    arguments = parser.parse_args()
    planned = tasks(arguments.runs, arguments.slow_runs)
    kept = pd.DataFrame()
    if arguments.keep_peers:
        known = pd.read_csv(arguments.out / "elbow.csv")
        kept = known[~known["method"].str.startswith("embalign")]
        planned = [task for task in planned if task[0].startswith("embalign")]
    lines = []
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    for count, line in enumerate(pool.map(run, planned), 1):
        lines.append(line)
        print(f"{count} of {len(planned)}: {line['method']}, {line['world']}, {line['profile']}", file=sys.stderr)
    pool.shutdown()
    table = pd.concat([pd.DataFrame(lines), kept], ignore_index=True)
    publish(table, elbow_tables(table), arguments.out, "elbow")
    draw_elbow(table, arguments.out / "elbow.png")


if __name__ == "__main__":
    main()

"""Measure how often the gate's promise breaks: real outputs drawn again and again, and simulated ones of known risk.

    pip install -c constraints.txt -e .
    python benchmark/calibration/gate.py [--draws 1000] [--out docs/calibration]

A promise is broken if a threshold was certified and the risk above it, in the population that the calibration outputs
were drawn from, is higher than the target. For a shipped pair the population is every held-out output of the exported
map, so its risk is known exactly; calibration outputs are drawn

- halves: a random half of the outputs, without replacement, certified as independent outputs;
- outputs: as many outputs as there are, with replacement, certified as independent outputs;
- topics: as many whole label groups as there are, with replacement, certified with their groups (the gate's own way);
- topics, blind: the same, certified as if they were independent outputs.

The simulated pair has a known risk at every threshold and new label groups in each draw. In hot topics, a few topics
have the highest scores and are wholly right or wholly wrong. Writes gate.md and gate.csv.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from texts import publish, share
from texts_gates import gate_tables

from embalign.alignment.training import apply_map
from embalign.deploy import RISK_TARGETS
from embalign.deploy.recipe import fit_better
from embalign.deploy.thresholds import choose_scores
from embalign.evaluation import gate
from embalign.evaluation.certificate import certify
from embalign.evaluation.deployment import DRAFT_ONLY
from embalign.evaluation.gate import Outcomes
from embalign.pairs.config import find_pair
from embalign.pairs.pair import load_pair

PAIRS = ("qwen-sentence-align", "smollm2-mpnet")
WAYS = ("halves", "outputs", "topics", "topics, blind")
GROUPS, SIZE, SLOPE, CORRELATION = 66, 10, 0.6, 0.3  # of the simulated pair

# Topics of the highest scores, and the share of them that is wholly wrong; half of all other outputs are.
HOT = tuple(itertools.product((8, 12, 15), (0.06, 0.12, 0.25)))

Outputs = tuple[NDArray[np.float64], Outcomes, NDArray[np.int64]]
Draw = Callable[[np.random.Generator], tuple[Outputs, Callable[[float], float]]]


def held_out_outputs(name: str) -> Outputs:
    """Return score, outcome and label group of each held-out query of a pair's exported map.

    In the deployment that certifies most, so that there are promises to break: draft only, the held-out items alone.
    """
    pair = load_pair(find_pair(name, ROOT))
    weights, test = fit_better(pair)[0], pair.holdout.test
    mapped, labels = apply_map(weights, pair.draft[test]), pair.labels[test]
    found, correct = gate.leave_one_out(mapped, labels)
    scores = getattr(found, choose_scores(pair, weights)[DRAFT_ONLY])
    return scores, correct, np.unique(labels, return_inverse=True)[1]


def drawn(outputs: Outputs, way: str) -> Draw:
    """Return a function that draws calibration outputs from held-out ones."""
    scores, correct, groups = outputs
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]

    def risk(threshold: float) -> float:
        return float((1 - correct[scores >= threshold]).mean())

    def draw(rng: np.random.Generator) -> tuple[Outputs, Callable[[float], float]]:
        n = len(scores)
        if way == "halves":
            rows = rng.permutation(n)[: n // 2]
            names = np.arange(len(rows))
        elif way == "outputs":
            rows = rng.integers(0, n, n)
            names = np.arange(n)
        else:
            chosen = [members[group] for group in rng.integers(0, len(members), len(members))]
            rows = np.concatenate(chosen)
            names = np.repeat(np.arange(len(chosen)), [len(group) for group in chosen])
        return (scores[rows], correct[rows], names), risk

    return draw


def simulated(rng: np.random.Generator) -> tuple[Outputs, Callable[[float], float]]:
    """Draw outputs with uniform scores s, wrong with probability SLOPE (1 - s), outcomes of a group correlated."""
    groups = np.repeat(np.arange(GROUPS), SIZE)
    scores = rng.random(len(groups))
    latent = np.sqrt(CORRELATION) * rng.standard_normal(GROUPS)[groups]
    latent = latent + np.sqrt(1 - CORRELATION) * rng.standard_normal(len(groups))
    correct = norm.cdf(latent) > SLOPE * (1 - scores)
    return (scores, correct, groups), lambda threshold: SLOPE * (1 - threshold) / 2


def hot_topics(topics: int, wrong: float) -> Draw:
    """Return a function that draws outputs whose first `topics` are each wrong as a whole, with that probability."""

    def draw(rng: np.random.Generator) -> tuple[Outputs, Callable[[float], float]]:
        groups = np.repeat(np.arange(GROUPS), SIZE)
        hot = groups < topics
        scores = (rng.random(len(groups)) + hot) / 2
        correct = np.where(hot, (rng.random(GROUPS) >= wrong)[groups], rng.random(len(groups)) >= 0.5)

        def risk(threshold: float) -> float:
            others = (GROUPS - topics) * max(0.0, 1 - 2 * threshold)
            of_hot = topics * min(1.0, 2 - 2 * threshold)
            return (of_hot * wrong + others * 0.5) / (of_hot + others)

        return (scores, correct, groups), risk

    return draw


def run(world: str, outputs: Outputs | tuple[int, float] | None, way: str, draws: int) -> list[dict[str, object]]:
    """Certify over many draws; return one row a risk target."""
    rng = np.random.default_rng([6, *world.encode(), *way.encode()])
    if outputs is None:
        draw: Draw = simulated
    else:
        draw = hot_topics(*outputs) if len(outputs) == 2 else drawn(outputs, way)
    counts = {target: {"broken": 0, "certified": 0, "coverage": 0.0} for target in RISK_TARGETS}
    for _ in range(draws):
        (scores, correct, groups), risk = draw(rng)
        for target, count in counts.items():
            found = certify(scores, correct, risk_target=target, groups=groups if way == "topics" else None)
            if found.threshold is not None:
                count["certified"] += 1
                count["broken"] += risk(found.threshold) > target
                count["coverage"] += found.accepted / len(scores)
    return [
        {"world": world, "calibration": way, "target": target, "draws": draws}
        | share("broken", int(count["broken"]), draws)
        | {"certified": count["certified"] / draws, "coverage": count["coverage"] / draws}
        for target, count in counts.items()
    ]


def main() -> None:
    """Run every world on all cores, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="draws a world and way (default 1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    pool = ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn"))
    outputs = dict(zip(PAIRS, pool.map(held_out_outputs, PAIRS), strict=True))
    tasks = [(name, outputs[name], way, arguments.draws) for name, way in itertools.product(PAIRS, WAYS)]
    tasks += [("simulated", None, way, arguments.draws) for way in ("topics", "topics, blind")]
    tasks += [
        (f"{topics} hot topics, {100 * wrong:g} % wrong", (topics, wrong), way, arguments.draws)
        for (topics, wrong), way in itertools.product(HOT, ("topics", "topics, blind"))
    ]
    table = pd.DataFrame([row for rows in pool.map(run, *zip(*tasks, strict=True)) for row in rows])
    pool.shutdown()
    publish(table, gate_tables(table), arguments.out, "gate")


if __name__ == "__main__":
    main()

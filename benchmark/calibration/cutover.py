"""Measure how often `embalign cutover` is wrong where the true retention is known, and isotrieve's gate beside it.

    pip install -c constraints.txt --group calibration -e .
    python benchmark/calibration/cutover.py [--draws 1000] [--populations FOLDER] [--out docs/calibration]

A population is every query of a shipped pair that can ask, with what the teacher and a map find for it: ridge, fitted
on four fifths of the groups, asked by the fifth. So its retention is known. Whole groups are drawn from it with
replacement, and judged with a `keep` at a known distance. Writes cutover.md and cutover.csv. Takes some twenty minutes
on two cores; `--populations` keeps what the pairs give for the next time.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from label_free import PAIRS, without_labels
from numpy.typing import NDArray
from texts import publish, share
from texts_cutover import cutover_tables

from embalign.alignment.closed_form import choose_penalty, solve_ridge
from embalign.alignment.training import apply_map
from embalign.evaluation.deployment import asked_by, vectors_of
from embalign.evaluation.scorecard import map_task, search_task
from embalign.pairs.config import find_pair
from embalign.pairs.pair import Pair, load_pair
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.paired import FEWEST
from embalign.verdicts.retention import ALPHA, Groups
from embalign.verdicts.statistics import student_t

DEPLOYMENTS = ("index_migration", "query_adapter")
FOLDS = 5
QUERIES = 1000
GAPS = (0.0, 0.02, -0.02, 0.05, -0.05)  # keep minus the true retention
FEW_GROUPS = (10, 20, 40)
NEEDED = (0.02, 0.05, 0.1)
MOST_NEEDED = 50_000
# Hot topics, each wrong as a whole with that probability, of so many times the size of the others.
HOT, WRONG, TIMES = 8, (0.06, 0.12, 0.25, 0.5), (1, 3, 5)
VERDICTS = ("pass", "fail", "undecided")
PEER_KEEP = 0.75  # what isotrieve's gate asks for by default
PEER_SHARE, NEEDED_SHARE = 5, 4  # of the draws are enough there: one in so many

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Population:
    """The groups of a pair's queries in a deployment, and for each query its group and a text that the map maps.

    `mapped` and `teacher` (Q, d) are the vectors of these texts, for the peer; None where it is not asked.
    """

    pair: str
    relevance: str
    deployment: str
    groups: Groups
    group_of: NDArray[np.int64]
    mapped: NDArray[np.float32] | None = None
    teacher: NDArray[np.float32] | None = None

    @property
    def about(self) -> dict[str, Any]:
        """The first columns of its rows."""
        found = self.groups
        return {
            "pair": self.pair,
            "relevance": self.relevance,
            "deployment": self.deployment,
            "retention": found.retention,
            "teacher": float(found.of_teacher.sum() / found.sizes.sum()),
            "groups there": len(found.sizes),
        }


def populations_of(name: str) -> list[Population]:
    """Return what a pair gives, by its own labels or judgements and by the teacher's ranking, in both deployments."""
    pair = load_pair(find_pair(name, ROOT))
    every = np.arange(len(pair.groups)) if pair.judgements is None else np.unique(pair.judgements.queries)
    draft, teacher = (pair.query_draft, pair.query_teacher) if pair.own_queries else (pair.draft, pair.teacher)
    names, number = np.unique(pair.groups, return_inverse=True)
    fold = np.random.default_rng(23).permutation(len(names))[number] % FOLDS
    penalty = choose_penalty(draft, teacher, pair.groups)
    texts = _mapped_texts(pair, every)
    mapped = np.zeros((len(every), pair.teacher.shape[1]), np.float32)
    bases = {pair.relevance: pair.groups, BY_TEACHER: without_labels(pair).groups}
    found = {(basis, use): np.zeros(len(every)) for basis in bases for use in (*DEPLOYMENTS, "teacher")}
    for each in range(FOLDS):
        train, asked = np.flatnonzero(fold != each), fold[every] == each
        weights = solve_ridge(draft[train], teacher[train], penalty)
        mapped[asked] = apply_map(weights, pair.draft[texts[asked]])
        task = asked_by(pair, every[asked])
        for basis, each_task in ((pair.relevance, task), (BY_TEACHER, task.ranked())):
            made = map_task(weights, each_task)
            found[basis, "teacher"][asked] = search_task(each_task, each_task.teacher).ndcg
            for use in DEPLOYMENTS:
                found[basis, use][asked] = search_task(each_task, vectors_of(use, made, each_task.teacher)).ndcg
    populations = []
    for basis, use in itertools.product(bases, DEPLOYMENTS):
        best = found[basis, "teacher"]
        known = ~np.isnan(best)
        _, group_of = np.unique(bases[basis][every][known], return_inverse=True)
        sums = [np.bincount(group_of, weights=each) for each in (found[basis, use][known], best[known])]
        groups = Groups(np.bincount(group_of).astype(float), *sums)
        for_peer = use == DEPLOYMENTS[0] and basis != BY_TEACHER
        vectors = (mapped[known], pair.teacher[texts[known]].astype(np.float32)) if for_peer else (None, None)
        populations.append(Population(pair.name, basis, use, groups, group_of, *vectors))
    return populations


def _mapped_texts(pair: Pair, queries: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of the index that a query stands for: its own, or its first relevant document."""
    if pair.judgements is None:
        return queries
    return pair.judgements.documents[np.searchsorted(pair.judgements.queries, queries)]


def some(groups: Groups, rows: NDArray[np.int64]) -> Groups:
    """Return some of the groups, each as often as it is named."""
    return Groups(groups.sizes[rows], groups.of_map[rows], groups.of_teacher[rows])


def draw_queries(rng: np.random.Generator, groups: Groups, queries: int) -> NDArray[np.int64]:
    """Draw whole groups until they have so many queries."""
    most = rng.integers(0, len(groups.sizes), int(3 * queries / groups.sizes.mean()) + 20)
    return most[: int(np.searchsorted(np.cumsum(groups.sizes[most]), queries)) + 1]


def with_hot_topics(rng: np.random.Generator, groups: Groups, wrong: float, times: int) -> tuple[Groups, float]:
    """Return a draw in which eight topics are each kept as the teacher has them or lost, and its true retention."""
    size = times * groups.sizes.mean()
    found = float(groups.of_teacher.sum() / groups.sizes.sum()) * size
    others = max(HOT, round(QUERIES / groups.sizes.mean()) - HOT * times)
    drawn = some(groups, rng.integers(0, len(groups.sizes), others))
    kept = np.where(rng.random(HOT) < wrong, 0.0, found)
    every = Groups(
        np.append(drawn.sizes, np.full(HOT, size)),
        np.append(drawn.of_map, kept),
        np.append(drawn.of_teacher, np.full(HOT, found)),
    )
    expected = others * groups.of_map.mean() + HOT * (1 - wrong) * found
    return every, float(expected / (others * groups.of_teacher.mean() + HOT * found))


def by_student(groups: Groups, keep: float) -> str:
    """Return what plain Student's t over the groups' sums says, which knows of neither skewness nor unseen groups."""
    found = student_t(groups.of_map - keep * groups.of_teacher)
    return "pass" if found.p_greater() <= ALPHA else "fail" if (-found).p_greater() <= ALPHA else "undecided"


def run(task: tuple[Population, dict[str, Any], int]) -> dict[str, Any]:
    """Judge draws of one world and count the verdicts."""
    population, world, draws = task
    draws = -(-draws // NEEDED_SHARE) if world["world"] == "needed" else draws
    groups, about = population.groups, population.about
    rng = np.random.default_rng([23, *f"{about['pair']} {about['relevance']} {about['deployment']}".encode()])
    counts, refused, drawn_groups = dict.fromkeys(VERDICTS, 0), 0, []
    beside = dict.fromkeys(VERDICTS, 0)
    for _ in range(draws):
        keep = about["retention"] + world["gap"]
        if world["world"] == "hot topics":
            drawn, keep = with_hot_topics(rng, groups, world["wrong"], world["times"])
        elif world["world"] == "few groups":
            drawn = some(groups, rng.integers(0, len(groups.sizes), world["groups_asked"]))
        else:
            drawn = some(groups, draw_queries(rng, groups, world["queries"]))
        drawn_groups.append(len(drawn.sizes))
        if drawn.effective < FEWEST or not drawn.of_teacher.sum() > 0:
            refused += 1
            continue
        counts[drawn.judge(keep)] += 1
        if world["world"] == "queries":
            beside[by_student(drawn, keep)] += 1
    row = about | world | {"groups": round(float(np.mean(drawn_groups))), "draws": draws, "refused": refused}
    for name, count in counts.items():
        row |= share(name, count, draws)
    if world["world"] == "queries":
        row |= {f"student {name}": count / draws for name, count in beside.items()}
    return row


def worlds_of(population: Population) -> Iterator[dict[str, Any]]:
    """Yield the worlds of a population."""
    for gap in GAPS:
        yield {"world": "queries", "gap": gap, "queries": QUERIES}
    yield {"world": "queries", "gap": 0.0, "queries": 200}
    for few in FEW_GROUPS:
        yield {"world": "few groups", "gap": 0.0, "groups_asked": few}
    if population.relevance != BY_TEACHER:
        for wrong, times in itertools.product(WRONG, TIMES):
            yield {"world": "hot topics", "gap": 0.0, "wrong": wrong, "times": times}
    for gap in NEEDED:
        for keep in (gap, -gap):
            found = population.groups.to_decide(population.groups.retention + keep)
            if found is not None and found <= MOST_NEEDED:
                yield {"world": "needed", "gap": keep, "queries": int(np.ceil(found))}


def run_peer(task: tuple[Population, int]) -> list[dict[str, Any]]:
    """Ask isotrieve's gate and ours about the same draws: whole groups, a thousand queries."""
    from isotrieve.mapping.external import ExternalMapping
    from isotrieve.quality.gate import QualityGate

    population, draws = task
    assert population.mapped is not None
    assert population.teacher is not None
    mapped, teacher, truth = population.mapped, population.teacher, population.groups.retention
    mapping, gate = ExternalMapping(lambda rows: mapped[rows[:, 0].astype(np.int64)]), QualityGate()
    keeps = {"its default": PEER_KEEP, "0.02 too little": truth + 0.02, "0.02 more": truth - 0.02}
    rng = np.random.default_rng([23, *population.pair.encode()])
    verdicts = {(judge, name): dict.fromkeys(VERDICTS, 0) for name in keeps for judge in ("embalign", "isotrieve")}
    for _ in range(draws):
        drawn = draw_queries(rng, population.groups, QUERIES)
        rows = np.flatnonzero(np.isin(population.group_of, drawn))  # a text once: a copy would look like an error
        report = gate.evaluate(mapping, rows[:, None].astype(np.float64), teacher[rows])
        low, high = report.prediction_interval
        for name, keep in keeps.items():
            if name == "its default":
                said = {"PASS": "pass", "FAIL": "fail", "WARN": "undecided"}[report.verdict.value]
            else:  # its rule, with both of its thresholds at keep
                said = "pass" if low >= keep else "fail" if high < keep else "undecided"
            verdicts["isotrieve", name][said] += 1
            verdicts["embalign", name][some(population.groups, drawn).judge(keep)] += 1
    lines = []
    for (judge, name), counts in verdicts.items():
        about = {"world": "peer", "judge": judge, "asked": name, "version": metadata.version("isotrieve")}
        row = population.about | about | {"gap": keeps[name] - truth, "draws": draws}
        for verdict, count in counts.items():
            row |= share(verdict, count, draws)
        lines.append(row)
    return lines


def kept_populations(folder: Path | None, workers: int) -> list[Population]:
    """Return the populations of all pairs, from the folder that has kept them or to be kept there."""
    from joblib import dump, load

    if folder is not None and (folder / "populations.joblib").is_file():
        return list(load(folder / "populations.joblib"))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        found = [each for of_pair in pool.map(populations_of, PAIRS) for each in of_pair]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        dump(found, folder / "populations.joblib")
    return found


def main() -> None:
    """Run every world, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000, help="draws of each world (default 1000)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--populations", type=Path, help="folder that keeps what the pairs give (default: none)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    populations = kept_populations(arguments.populations, arguments.workers)
    peers = [(each, -(-arguments.draws // PEER_SHARE)) for each in populations if each.mapped is not None]
    light = [dataclasses.replace(each, mapped=None, teacher=None) for each in populations]
    planned = [(each, world, arguments.draws) for each in light for world in worlds_of(each)]
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(run, planned, chunksize=8))
        rows += [row for of_pair in pool.map(run_peer, peers) for row in of_pair]
    table = pd.DataFrame(rows)
    publish(table, cutover_tables(table), arguments.out, "cutover")


if __name__ == "__main__":
    main()

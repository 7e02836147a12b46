"""Measure how far answers without labels agree with those by labels and judgements, on the shipped pairs.

    pip install -c constraints.txt -e .
    python benchmark/calibration/label_free.py [--pair NAME] [--out docs/calibration]

Labels and judgements of each pair are dropped: relevant is then what the teacher finds, and held out are clusters of
its vectors. Eighteen maps are fitted on the training items of either split, and so is the curve of ridge over the
number of pairs. Then both answers stand side by side. Writes label-free.md and label-free.csv. Takes some ten minutes
on a core.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import msgspec
import numpy as np
import pandas as pd
from label_free_text import label_free_tables
from numpy.typing import NDArray
from scipy.stats import rankdata
from texts import publish

from embalign.alignment.closed_form import choose_penalty, fit_procrustes, fit_ridge, solve_ridge
from embalign.alignment.config import DEFAULT
from embalign.alignment.selection import draw_pool, head, selection_order
from embalign.alignment.terms import make_term
from embalign.alignment.training import initial_map, train_map
from embalign.evaluation.deployment import DEPLOYMENTS, SearchTask, task_of, vectors_of
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import search
from embalign.evaluation.scorecard import label_values, map_task
from embalign.pairs import Vectors
from embalign.pairs.config import find_pair
from embalign.pairs.pair import Pair, load_pair
from embalign.verdicts.elbow import ElbowVerdict, judge_elbow
from embalign.verdicts.statistics import group_t

PAIRS = ("qwen-sentence-align", "smollm2-mpnet", "debian-static-minilm", "debian-minilm-mpnet", "zh-en")
RATIOS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
SEEDS, MOST_ASKED, MARGIN_SHARE, DRAWS = 3, 600, 0.05, 1000
Values = NDArray[np.float64]


def without_labels(pair: Pair) -> Pair:
    """Return the pair as it would be if nobody had said what is relevant to what."""
    free = Pair(pair.folder)
    kept = ("config", "draft", "teacher", "styled_draft", "query_draft", "query_teacher")
    texts = {
        name: tuple(msgspec.structs.replace(text, label=None) for text in getattr(pair, name))
        for name in ("items", "styled", "queries")
    }
    vars(free).update({name: getattr(pair, name) for name in kept} | texts, judgements=None)
    return free


def maps_of(pair: Pair) -> Iterator[tuple[str, Vectors]]:
    """Yield the maps that are ranked, by name, fitted on the training items of a pair's own split."""
    fitted = pair.fitted_on()
    draft, teacher, groups = (side[fitted.train] for side in (fitted.draft, fitted.teacher, fitted.groups))
    size, dimension = len(draft), teacher.shape[1]
    random, dense = (selection_order(policy, draft, 0) for policy in ("random", "density"))
    yield "untrained", initial_map(dimension, draft.shape[1], 0)
    for ratio in RATIOS:
        rows = head(random, ratio)
        yield f"ridge, {ratio:g}", fit_ridge(draft[rows], teacher[rows], groups[rows]).weights
    penalty = choose_penalty(draft, teacher, groups)
    for factor in (0.01, 100.0):
        yield f"ridge, penalty x {factor:g}", solve_ridge(draft, teacher, factor * penalty)
    for ratio in (1 / 16, 1 / 4):
        rows = head(dense, ratio)
        yield f"ridge, densest {ratio:g}", solve_ridge(draft[rows], teacher[rows], penalty)
    for ratio in (1 / 16, 1.0):
        rows = head(random, ratio)
        yield f"Procrustes, {ratio:g}", fit_procrustes(draft[rows], teacher[rows])
    steps = DEFAULT.steps_for(size)
    stops = sorted({steps // 32, steps // 8, steps})
    trained = train_map(draft, teacher, seed=0, steps=steps, checkpoints=stops)
    for stop in stops:
        yield f"trained, {stop / steps:.3f} of the steps", trained.checkpoints[stop]
    rows = head(random, 1 / 8)
    yield "trained, 0.125", train_map(draft[rows], teacher[rows], seed=0, steps=steps).weights
    for arm, weight in (("mse", 1.0), ("spectral", 10.0)):
        term = make_term(arm, weight, dimension=dimension, scale="unit")
        yield f"trained, {arm}", train_map(draft, teacher, seed=0, steps=steps // 4, term=term).weights


def found_by(task: SearchTask, weights: Vectors | None) -> dict[str, Values]:
    """Return nDCG@10 by query in each deployment, of a map, or of the raw draft's own search."""
    mapped = None if weights is None else map_task(weights, task)
    found = {}
    for name in DEPLOYMENTS:
        vectors = task.draft if mapped is None else vectors_of(name, mapped, task.teacher)
        found[name] = search(vectors.queries, vectors.searched, task.relevant, own=task.own).ndcg
    return found


def equal_gains(relevant: Relevance) -> Relevance:
    """Return the relevance in which the teacher's tenth counts as its first."""
    return dataclasses.replace(relevant, gains=None)


@dataclasses.dataclass(frozen=True)
class Side:
    """nDCG@10 by query of maps (maps, Q) and of no map (Q,), one deployment, and the groups that errors are over."""

    maps: Values
    no_map: Values
    teacher: float
    groups: NDArray[np.str_]

    def retention(self, rng: np.random.Generator | None = None) -> Values:
        """Return the means over queries (maps,) over the teacher's own; with `rng`, over groups drawn with return."""
        _, group = np.unique(self.groups, return_inverse=True)
        known = ~np.isnan(self.no_map)
        count = group.max() + 1
        drawn = np.ones(count) if rng is None else np.bincount(rng.integers(0, count, count), minlength=count)
        weight = np.where(known, drawn[group], 0.0)
        return np.asarray(np.nan_to_num(self.maps) @ weight / weight.sum() / self.teacher)

    def answers(self) -> list[str]:
        """Return what is said of each map: better or worse than no map, or not shown."""
        said = []
        for values in self.maps:
            test = group_t(label_values(values - self.no_map, self.groups))
            said.append("better" if test.lower_bound() > 0 else "worse" if test.upper_bound() < 0 else "not shown")
        return said


def sides_of(task: SearchTask, maps: dict[str, Vectors]) -> dict[str, Side]:
    """Return what a task says of maps, by deployment."""
    found = [found_by(task, weights) for weights in maps.values()]
    none = found_by(task, None)
    own = search(task.teacher.queries, task.teacher.searched, task.relevant, own=task.own).ndcg
    return {
        name: Side(np.array([each[name] for each in found]), none[name], float(np.nanmean(own)), task.blocks)
        for name in DEPLOYMENTS
    }


def correlation(one: Values, other: Values) -> float:
    """Return Spearman's rank correlation."""
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def agreement(one: Side, other: Side, seed: int, *, paired: bool) -> tuple[float, float, float]:
    """Return how alike two sides order maps, and its 95 % interval over groups; paired where both have the same."""
    draws = []
    for draw in range(DRAWS):
        rngs = [np.random.default_rng([seed, draw, side]) for side in ((0, 0) if paired else (0, 1))]
        draws.append(correlation(one.retention(rngs[0]), other.retention(rngs[1])))
    low, high = np.quantile(draws, [0.025, 0.975])
    return correlation(one.retention(), other.retention()), float(low), float(high)


def fitted_on_documents(pair: Pair, task: SearchTask, same_task: SearchTask) -> dict[str, dict[str, float]]:
    """Return retention of ridge from queries to the teacher's queries, and to its vectors of their documents.

    By deployment, and each by judgements and by the teacher's own ranking; nothing for pairs without queries.
    """
    if not pair.own_queries:
        return {name: {} for name in DEPLOYMENTS}
    maps = {}
    for kind in ("queries", "query_document"):
        fitted = pair.fitted_on(kind)
        maps[kind] = fit_ridge(*(side[fitted.train] for side in (fitted.draft, fitted.teacher, fitted.groups))).weights
    found = {by: sides_of(each, maps) for by, each in (("labels", task), ("teacher", same_task))}
    return {
        name: {
            f"{kind} by {by}": float(value)
            for by, sides in found.items()
            for kind, value in zip(maps, sides[name].retention(), strict=True)
        }
        for name in DEPLOYMENTS
    }


def enough(pair: Pair, task: SearchTask) -> dict[str, ElbowVerdict]:
    """Return the verdict on the curve of ridge over the number of pairs, by deployment."""
    fitted = pair.fitted_on()
    rows, starts = [], []
    for seed in range(SEEDS):
        pool = draw_pool(fitted.train, seed)
        order = selection_order("random", fitted.draft[pool], seed)
        start = found_by(task, initial_map(fitted.teacher.shape[1], fitted.draft.shape[1], seed))
        starts += [_long(start, task, seed)]
        for ratio in RATIOS:
            chosen = pool[head(order, ratio)]
            ridge = fit_ridge(fitted.draft[chosen], fitted.teacher[chosen], fitted.groups[chosen])
            rows.append(_long(found_by(task, ridge.weights), task, seed).assign(ratio=ratio, n_train=len(chosen)))
    curve, origin = pd.concat(rows), pd.concat(starts)
    verdicts = {}
    for name in DEPLOYMENTS:
        own = curve[curve["deployment"] == name].drop(columns="deployment")
        start = origin[origin["deployment"] == name].drop(columns="deployment")
        gain = own.loc[own["ratio"] == 1, "value"].mean() - start["value"].mean()
        verdicts[name] = judge_elbow(own, margin=MARGIN_SHARE * max(float(gain), 0.0), origin=start)
    return verdicts


def _long(found: dict[str, Values], task: SearchTask, seed: int) -> pd.DataFrame:
    frames = []
    for name, values in found.items():
        by_group = label_values(values, task.blocks)
        frames.append(
            pd.DataFrame({"deployment": name, "seed": seed, "item": np.arange(len(by_group)), "value": by_group})
        )
    return pd.concat(frames)


def compare(name: str) -> list[dict[str, object]]:
    """Return one line a deployment of a shipped pair."""
    pair = load_pair(find_pair(name, ROOT))
    free = without_labels(pair)
    pair, free = pair.asked_by(MOST_ASKED), free.asked_by(MOST_ASKED)
    task, free_task = task_of(pair), task_of(free)
    same_task = dataclasses.replace(task, by_teacher=True).ranked()
    maps = dict(maps_of(pair))
    by_labels, by_same = sides_of(task, maps), sides_of(same_task, maps)
    by_equal = sides_of(dataclasses.replace(same_task, relevant=equal_gains(same_task.relevant)), maps)
    by_teacher = sides_of(free_task, dict(maps_of(free)))
    verdicts, free_verdicts = enough(pair, task), enough(free, free_task)
    documents = fitted_on_documents(pair, task, same_task)
    lines = []
    for place, deployment in enumerate(DEPLOYMENTS):
        one, other, same = by_labels[deployment], by_teacher[deployment], by_same[deployment]
        said, said_free = one.answers(), other.answers()
        own, own_low, own_high = agreement(one, other, place, paired=False)
        shared, shared_low, shared_high = agreement(one, same, place, paired=True)
        kept = one.retention()
        first, second = verdicts[deployment], free_verdicts[deployment]
        spans = [each.recommended_items_interval for each in (first, second)]
        lines.append(
            {
                "pair": name,
                "by": pair.relevance,
                "deployment": DEPLOYMENTS[deployment].label,
                "maps": len(maps),
                "teacher by labels": one.teacher,
                **{"rho": own, "rho low": own_low, "rho high": own_high},
                **{"rho same": shared, "rho same low": shared_low, "rho same high": shared_high},
                "rho equal gains": correlation(one.retention(), by_equal[deployment].retention()),
                "chosen loses": float(kept.max() - kept[int(other.retention().argmax())]),
                "same answer": sum(a == b for a, b in zip(said, said_free, strict=True)),
                "opposite": sum({a, b} == {"better", "worse"} for a, b in zip(said, said_free, strict=True)),
                "better by labels": said.count("better"),
                "better by teacher": said_free.count("better"),
                **_span("labels", first),
                **_span("teacher", second),
                "overlap": None if None in spans else spans[0][0] <= spans[1][1] and spans[1][0] <= spans[0][1],
                **documents[deployment],
            }
        )
    return lines


def _span(by: str, verdict: ElbowVerdict) -> dict[str, object]:
    low, high = verdict.recommended_items_interval or (None, None)
    return {f"kind by {by}": verdict.kind, f"enough by {by} low": low, f"enough by {by} high": high}


def main() -> None:
    """Compare every pair, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", action="append", choices=PAIRS, help="a shipped pair (default: all); may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    table = pd.DataFrame([line for name in arguments.pair or PAIRS for line in compare(name)])
    publish(table, label_free_tables(table), arguments.out, "label-free")


if __name__ == "__main__":
    main()

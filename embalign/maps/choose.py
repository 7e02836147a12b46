"""Which try of a family to take: chosen inside the training items, as a user would, and alike for all families.

Whole label groups are held out of the items that a map may be fitted on. Each try is fitted on the others and judged by
what is judged in the end, nDCG@10 in the deployment it is for, with the training documents as the index. The best is
fitted again on all. The test set decides nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from embalign.alignment.config import DEFAULT
from embalign.alignment.inner import inner_split
from embalign.evaluation.deployment import INDEX_MIGRATION, SearchTask, asked_by
from embalign.maps.map import DEPLOYMENTS, Map
from embalign.maps.searches import SEARCHES, Sample, even, find, sample_of
from embalign.maps.training import Family, Setting, Training
from embalign.pairs.holdout import Rows
from embalign.pairs.pair import FitOn, Pair

MOST_CHECKS = 200  # queries that a try is judged on


@dataclass(frozen=True, eq=False)
class Chosen:
    """The map of a family for one deployment, its try, and the nDCG@10 of each try on inner groups, NaN for none.

    `inner` is that of the try that was taken, by the way of searching.
    """

    map: Map
    setting: Setting
    tries: tuple[float, ...]
    inner: Mapping[str, float]


def fitted_texts(pair: Pair, deployment: str) -> FitOn:
    """Return on which texts a map is fitted for a deployment: those of the side that it maps."""
    return "documents" if pair.own_queries and deployment == INDEX_MIGRATION else "queries"


def choose(family: Family, pair: Pair, rows: Rows, deployments: Sequence[str], seed: int = 0) -> dict[str, Chosen]:
    """Return the map of a family for each of some deployments that are fitted on the same texts.

    `rows` are those of `pair.fitted_on(...)` for these texts. Where nothing can be held out, the try in the middle is
    taken.
    """
    (kind,) = {fitted_texts(pair, deployment) for deployment in deployments}
    judged = _judge(family, pair, kind, rows, deployments, seed)
    best = {deployment: _best(found.tries) for deployment, found in judged.items()}
    training = _training(pair, kind, tuple(rows.tolist()), seed)
    maps = {place: family.fit(training, family.settings[place]) for place in sorted(set(best.values()))}
    return {
        deployment: Chosen(maps[place], family.settings[place], judged[deployment].tries, judged[deployment].inner)
        for deployment, place in best.items()
    }


def fit_for(family: Family, pair: Pair, rows_of: dict[FitOn, Rows], seed: int = 0) -> dict[str, Chosen]:
    """Return the map of a family for every deployment, fitted on rows of the texts that each is fitted on."""
    found: dict[str, Chosen] = {}
    for kind, rows in rows_of.items():
        found |= choose(family, pair, rows, [each for each in DEPLOYMENTS if fitted_texts(pair, each) == kind], seed)
    return {deployment: found[deployment] for deployment in DEPLOYMENTS}


class _Judged(NamedTuple):
    tries: tuple[float, ...]
    inner: dict[str, float]


def _judge(
    family: Family, pair: Pair, kind: FitOn, rows: Rows, deployments: Sequence[str], seed: int
) -> dict[str, _Judged]:
    """The nDCG@10 of every try on inner groups, by deployment, and of the best by each way of searching."""
    inner = inner_split(pair.fitted_on(kind).groups[rows])
    asking = None if inner is None else _asking(pair, kind, rows[inner.check])
    if inner is None or asking is None:
        nothing = _Judged((math.nan,) * len(family.settings), dict.fromkeys(SEARCHES, math.nan))
        return dict.fromkeys(deployments, nothing)
    task = asked_by(pair, asking, pair.holdout.train_documents)
    sample = sample_of(pair, pair.holdout.train, pair.holdout.train_documents)
    training = _training(pair, kind, tuple(rows[inner.fit].tolist()), seed)
    maps = [family.fit(training, setting) for setting in family.settings]
    found = {}
    for deployment in deployments:
        tries = tuple(_ndcg(each, task, deployment, sample, SEARCHES[0]) for each in maps)
        taken = maps[_best(tries)]
        found[deployment] = _Judged(tries, {how: _ndcg(taken, task, deployment, sample, how) for how in SEARCHES})
    return found


@functools.lru_cache(maxsize=4)
def _training(pair: Pair, kind: FitOn, rows: tuple[int, ...], seed: int) -> Training:
    """The vectors of some rows; families that follow each other share what closed forms have in common."""
    fitted = pair.fitted_on(kind)
    chosen = np.array(rows)
    parts = fitted.draft[chosen], fitted.teacher[chosen], fitted.groups[chosen]
    return Training(*parts, seed, DEFAULT.steps_for(len(fitted.train)))


def _asking(pair: Pair, kind: FitOn, checks: Rows) -> Rows | None:
    """Queries of the groups held out, at most so many as a try is judged on; None where none of them has an answer."""
    queries = checks
    if kind != "queries":
        names = np.unique(pair.fitted_on(kind).groups[checks])
        queries = pair.holdout.train[np.isin(pair.groups[pair.holdout.train], names)]
    if pair.judgements is not None:
        queries = queries[np.isin(queries, pair.judgements.queries)]
    return even(np.sort(queries), MOST_CHECKS) if len(queries) else None


def _ndcg(tried: Map, task: SearchTask, deployment: str, sample: Sample, how: str) -> float:
    ndcg = find(tried, task, deployment, sample, how).ndcg
    return float(np.nanmean(ndcg)) if np.isfinite(ndcg).any() else math.nan


def _best(values: Sequence[float]) -> int:
    """The place of the highest value, of equal ones the first; the middle where there is none."""
    if all(math.isnan(value) for value in values):
        return len(values) // 2
    return int(np.nanargmax(values))

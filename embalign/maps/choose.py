"""Which try of a family to take: chosen inside the training items, as a user would, and alike for all families.

Whole label groups are held out of the items that a map may be fitted on. Each try is fitted on the others and judged by
what is judged in the end, nDCG@10 in the deployment it is for, with training documents as the index. The best is fitted
again on all. The test set decides nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from embalign.alignment.config import DEFAULT
from embalign.alignment.inner import inner_split
from embalign.evaluation.deployment import INDEX_MIGRATION, SearchTask, asked_by
from embalign.evaluation.retrieval import Search
from embalign.maps.answers import answers_of
from embalign.maps.map import DEPLOYMENTS, Map
from embalign.maps.searches import PLAIN, SEARCHES, Sample, even, find, find_by_each, sample_of
from embalign.maps.training import Family, Setting, Training
from embalign.pairs.holdout import Rows
from embalign.pairs.pair import FitOn, Pair

MOST_CHECKS = 600  # queries that a try is judged on
MOST_SEARCHED = 4000  # documents that they search, beside those that are relevant


@dataclass(frozen=True, eq=False)
class Chosen:
    """The try of a family that a deployment takes, and the nDCG@10 of each try on inner groups, NaN for none.

    `inner` is that of the try that was taken, by the way of searching. `map` is fitted when it is asked for, which
    raises TrainingDivergedError where a weight is not finite.
    """

    setting: Setting
    tries: tuple[float, ...]
    inner: Mapping[str, float]
    fit: Callable[[], Map]

    @functools.cached_property
    def map(self) -> Map:
        """The family's map with this setting, fitted on all items."""
        return self.fit()


def fitted_texts(pair: Pair, deployment: str) -> FitOn:
    """Return on which texts a map is fitted for a deployment: those of the side that it maps."""
    return "documents" if pair.own_queries and deployment == INDEX_MIGRATION else "queries"


def choose(family: Family, pair: Pair, rows: Rows, deployments: Sequence[str], seed: int = 0) -> dict[str, Chosen]:
    """Return the try of a family for each of some deployments that are fitted on the same texts.

    `rows` are those of `pair.fitted_on(...)` for these texts. Where nothing can be held out, the try in the middle is
    taken.
    """
    (kind,) = {fitted_texts(pair, deployment) for deployment in deployments}
    same = tuple(rows.tolist())
    judged = _judge(family, _inner(pair, kind, same, seed), deployments)

    @functools.cache
    def fitted(place: int) -> Map:
        return family.fit(_training(pair, kind, same, seed), family.settings[place])

    found = {}
    for deployment, (tries, inner) in judged.items():
        best = _best(tries)
        found[deployment] = Chosen(family.settings[best], tries, inner, functools.partial(fitted, best))
    return found


def fit_for(family: Family, pair: Pair, rows_of: dict[FitOn, Rows], seed: int = 0) -> dict[str, Chosen]:
    """Return the try of a family for every deployment, each fitted on rows of the texts that are its own."""
    found: dict[str, Chosen] = {}
    for kind, rows in rows_of.items():
        found |= choose(family, pair, rows, [each for each in DEPLOYMENTS if fitted_texts(pair, each) == kind], seed)
    return {deployment: found[deployment] for deployment in DEPLOYMENTS}


class _Judged(NamedTuple):
    tries: tuple[float, ...]
    inner: dict[str, float]


class _Inner(NamedTuple):
    """What tries are fitted on, and what they are judged by: queries of the groups held out, and a sample for CSLS."""

    training: Training
    task: SearchTask
    sample: Sample


def _judge(family: Family, held: _Inner | None, deployments: Sequence[str]) -> dict[str, _Judged]:
    """The nDCG@10 of every try on inner groups, by deployment, and of the best by each way of searching."""
    if held is None:
        nothing = _Judged((math.nan,) * len(family.settings), dict.fromkeys(SEARCHES, math.nan))
        return dict.fromkeys(deployments, nothing)
    maps = [family.fit(held.training, setting) for setting in family.settings]
    found = {}
    for deployment in deployments:
        tries = tuple(_ndcg(find(each, held.task, deployment, held.sample, PLAIN)) for each in maps)
        by_each = find_by_each(maps[_best(tries)], held.task, deployment, held.sample)
        found[deployment] = _Judged(tries, {how: _ndcg(search) for how, search in by_each.items()})
    return found


@functools.lru_cache(maxsize=4)
def _inner(pair: Pair, kind: FitOn, rows: tuple[int, ...], seed: int) -> _Inner | None:
    """Some rows parted in two by label groups; None where none can be held out. It is the same for every family.

    Groups that cannot ask judge no try, so they stay in what it is fitted on.
    """
    every = np.array(rows)
    groups, asking = pair.fitted_on(kind).groups[every], _asking(pair, kind, every)
    able = np.arange(len(every)) if pair.judgements is None else np.flatnonzero(np.isin(groups, pair.groups[asking]))
    inner = inner_split(groups[able])
    if inner is None:
        return None
    held = able[inner.check]
    of_held = np.isin(asking, every[held]) if kind == "queries" else np.isin(pair.groups[asking], groups[held])
    if not of_held.any():
        return None
    task = asked_by(pair, even(np.sort(asking[of_held]), MOST_CHECKS))
    index = _index(pair, task)
    training = _training(pair, kind, tuple(np.delete(every, held).tolist()), seed)
    return _Inner(training, task.within(index), sample_of(pair, pair.holdout.train, index))


@functools.lru_cache(maxsize=4)
def _training(pair: Pair, kind: FitOn, rows: tuple[int, ...], seed: int) -> Training:
    """The vectors of some rows; families that follow each other share what closed forms have in common."""
    fitted = pair.fitted_on(kind)
    chosen = np.array(rows)
    parts = fitted.draft[chosen], fitted.teacher[chosen], fitted.groups[chosen]
    return Training(*parts, seed, DEFAULT.steps_for(len(fitted.train)), answers_of(pair, kind, chosen))


def _asking(pair: Pair, kind: FitOn, rows: Rows) -> Rows:
    """The training queries that something is relevant to: of the rows themselves, or all where these are documents."""
    queries = rows if kind == "queries" else pair.holdout.train
    return queries if pair.judgements is None else queries[np.isin(queries, pair.judgements.queries)]


def _index(pair: Pair, task: SearchTask) -> Rows:
    """Training documents at even steps, and all that are relevant to a task's queries."""
    every = pair.holdout.train_documents
    rows, there, _ = task.relevant.padded(slice(None))
    return np.union1d(even(every, MOST_SEARCHED), np.intersect1d(rows[there], every))


def _ndcg(found: Search) -> float:
    return float(np.nanmean(found.ndcg)) if np.isfinite(found.ndcg).any() else math.nan


def _best(values: Sequence[float]) -> int:
    """The place of the highest value, of equal ones the first; the middle where there is none."""
    if all(math.isnan(value) for value in values):
        return len(values) // 2
    return int(np.nanargmax(values))

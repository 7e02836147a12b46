"""The maps that experiments measure, fitted on a share of a seed's pool or on all of it, and their scores.

Expensive parts that cells share (pool, selection order, map of the whole pool) are remembered within a process. At
ratio 1 every policy and both budgets are the same training, so this also keeps a grid from doing one thing six times.
"""

import functools
from dataclasses import dataclass

from embalign.alignment.closed_form import fit_ridge, mean_vector
from embalign.alignment.config import TrainingConfig
from embalign.alignment.selection import Rows, draw_pool, head, selection_order
from embalign.alignment.training import train_map
from embalign.evaluation import scorecard
from embalign.evaluation.deployment import Embedded, SearchTask, task_of
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.retrieval import Search
from embalign.pairs import Vectors
from embalign.pairs.pair import FitOn, Fitted, Pair


@dataclass(frozen=True)
class Share:
    """Which pairs of a seed's pool a map is fitted on, and for how long: policy, ratio in (0, 1], budget.

    `fit_on` says of which texts: see :meth:`embalign.pairs.pair.Pair.fitted_on`.
    """

    policy: str
    ratio: float
    budget: str = "steps"
    fit_on: FitOn = "queries"


@functools.lru_cache(maxsize=8)
def fitted_on(pair: Pair, fit_on: FitOn = "queries") -> Fitted:
    """Return the texts that maps are fitted on, embedded by both sides."""
    return pair.fitted_on(fit_on)


@functools.lru_cache(maxsize=32)
def pool_of(pair: Pair, seed: int, fit_on: FitOn = "queries") -> Rows:
    """Return the rows of a seed's training pool."""
    return draw_pool(fitted_on(pair, fit_on).train, seed)


def rows_of(pair: Pair, share: Share, seed: int) -> Rows:
    """Return the rows of a share of a seed's pool."""
    return pool_of(pair, seed, share.fit_on)[head(_order(pair, share.policy, seed, share.fit_on), share.ratio)]


def fit_on_share(pair: Pair, share: Share, seed: int, config: TrainingConfig) -> tuple[Vectors, dict[str, float]]:
    """Return the map fitted on a share of a seed's pool, and what is to be said of the fit."""
    pool, rows = pool_of(pair, seed, share.fit_on), rows_of(pair, share, seed)
    facts: dict[str, float] = {"n_train": len(rows), "n_over_d": len(rows) / pair.draft.shape[1]}
    if len(rows) == len(pool):
        weights, details = _fit_whole_pool(pair, share.budget, share.fit_on, seed, config)
    else:
        weights, details = _fit(pair, rows, share, seed, config)
    return weights, facts | details


def measure_share(pair: Pair, share: Share, seed: int, config: TrainingConfig) -> Measurement:
    """Return every metric of the map fitted on a share of a seed's pool."""
    weights, facts = fit_on_share(pair, share, seed, config)
    if share.ratio < 1:
        return score_map(pair, weights, seed) | Measurement(facts)
    return _score_whole_pool(pair, share.budget, share.fit_on, seed, config) | Measurement(facts)


def score_map(pair: Pair, weights: Vectors, seed: int) -> Measurement:
    """Return every metric of the map W (d_teacher, d_draft) on the held-out queries."""
    return score_mapped(pair, map_task(pair, weights), seed)


def score_mapped(pair: Pair, mapped: Embedded, seed: int) -> Measurement:
    """Return every metric of mapped queries and index; skill is measured from the pool's mean vector."""
    return scorecard.score(search_task_of(pair), mapped, ceiling_of(pair), constant_of(pair, seed))


@functools.lru_cache(maxsize=32)
def constant_of(pair: Pair, seed: int) -> Vectors:
    """Return the mean vector (d_teacher,) of the teacher over a seed's pool: the constant predictor."""
    return mean_vector(fitted_on(pair).teacher[pool_of(pair, seed)])


def map_task(pair: Pair, weights: Vectors) -> Embedded:
    """Return queries and index of a pair as the map makes them."""
    return scorecard.map_task(weights, search_task_of(pair))


@functools.lru_cache(maxsize=4)
def search_task_of(pair: Pair) -> SearchTask:
    """Return what the maps of a pair are searched with."""
    return task_of(pair)


@functools.lru_cache(maxsize=4)
def ceiling_of(pair: Pair) -> Search:
    """Return what the teacher's queries find in the teacher's index."""
    task = search_task_of(pair)
    return scorecard.search_task(task, task.teacher)


@functools.lru_cache(maxsize=64)
def _order(pair: Pair, policy: str, seed: int, fit_on: FitOn) -> Rows:
    return selection_order(policy, fitted_on(pair, fit_on).draft[pool_of(pair, seed, fit_on)], seed)


@functools.lru_cache(maxsize=32)
def _fit_whole_pool(
    pair: Pair, budget: str, fit_on: FitOn, seed: int, config: TrainingConfig
) -> tuple[Vectors, dict[str, float]]:
    if budget == "epochs":
        return _fit_whole_pool(pair, "steps", fit_on, seed, config)
    return _fit(pair, pool_of(pair, seed, fit_on), Share("random", 1.0, budget, fit_on), seed, config)


@functools.lru_cache(maxsize=32)
def _score_whole_pool(pair: Pair, budget: str, fit_on: FitOn, seed: int, config: TrainingConfig) -> Measurement:
    if budget == "epochs":
        return _score_whole_pool(pair, "steps", fit_on, seed, config)
    return score_map(pair, _fit_whole_pool(pair, budget, fit_on, seed, config)[0], seed)


def _fit(pair: Pair, rows: Rows, share: Share, seed: int, config: TrainingConfig) -> tuple[Vectors, dict[str, float]]:
    fitted = fitted_on(pair, share.fit_on)
    draft, teacher = fitted.draft[rows], fitted.teacher[rows]
    if share.budget == "closed_form":
        ridge = fit_ridge(draft, teacher)
        return ridge.weights, {"steps": 0, "ridge_penalty": ridge.penalty}
    pool = len(pool_of(pair, seed, share.fit_on))
    steps = config.steps_for_epochs(len(rows), pool) if share.budget == "epochs" else config.steps
    trained = train_map(draft, teacher, seed=seed, config=config, steps=steps)
    return trained.weights, {"steps": steps, "ridge_penalty": 0.0}

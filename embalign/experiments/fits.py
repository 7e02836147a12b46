"""The maps that experiments measure, fitted on a share of a seed's pool or on all of it, and their scores.

Expensive parts that cells share (pool, selection order, map of the whole pool) are remembered within a process. At
ratio 1 every policy is the same training, and so are budgets of as many steps: none is done twice.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pandas as pd

from embalign.alignment.arguments import described, vectors, whole_number
from embalign.alignment.closed_form import fit_ridge, mean_vector
from embalign.alignment.config import TrainingConfig
from embalign.alignment.meeting import memo, shared
from embalign.alignment.own_map import fit_own
from embalign.alignment.selection import Rows, draw_pool, head, selection_order
from embalign.alignment.training import apply_map, train_map
from embalign.alignment.tuning import tune_steps
from embalign.evaluation import scorecard
from embalign.evaluation.deployment import Embedded, SearchTask, task_of
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.retrieval import Search
from embalign.evaluation.similarity import cosines
from embalign.lazy import Reference
from embalign.pairs import Vectors
from embalign.pairs.freed import give_back
from embalign.pairs.names import some_names
from embalign.pairs.pair import FitOn, Fitted, Pair
from embalign.pairs.picked import is_mapped, pick
from embalign.pairs.stored_arrays import stored

CHECKPOINTS = 16  # along the training of fixed steps


Recipe = int | Reference  # steps of training, 0 for ridge; or a function of one's own


@dataclass(frozen=True)
class Share:
    """Which pairs of a seed's pool a map is fitted on, and how: policy, ratio in (0, 1], budget.

    Budgets: `tuned` is the number of steps that does best on label groups held out of the share; `steps` is the same
    number for every share, `epochs` the same number of passes; `closed_form` is ridge, its penalty chosen like `tuned`.

    Policy and budget may each be a function of one's own: docs/own-policy-or-map.md.

    `fit_on` says of which texts: see :meth:`embalign.pairs.pair.Pair.fitted_on`.
    """

    policy: str | Reference
    ratio: float
    budget: str | Reference = "tuned"
    fit_on: FitOn = "queries"


@memo(8)
def fitted_on(pair: Pair, fit_on: FitOn = "queries") -> Fitted:
    """Return the texts that maps are fitted on, embedded by both sides."""
    return pair.fitted_on(fit_on)


@memo(32)
def pool_of(pair: Pair, seed: int, fit_on: FitOn = "queries") -> Rows:
    """Return the rows of a seed's training pool."""
    return stored(draw_pool(fitted_on(pair, fit_on).train, seed))


def rows_of(pair: Pair, share: Share, seed: int) -> Rows:
    """Return the rows of a share of a seed's pool."""
    return pool_of(pair, seed, share.fit_on)[head(_order(pair, share.policy, seed, share.fit_on), share.ratio)]


@dataclass(frozen=True)
class Fit:
    """A map, what is to be said of its fit, and, for fixed steps, the held-out mean cosine after some of them."""

    weights: Vectors
    facts: dict[str, float]
    trajectory: tuple[tuple[int, float], ...] = ()


def fit_on_share(pair: Pair, share: Share, seed: int, config: TrainingConfig) -> Fit:
    """Return the map fitted on a share of a seed's pool."""
    pool, rows = pool_of(pair, seed, share.fit_on), rows_of(pair, share, seed)
    if len(rows) == len(pool):
        found = _fit_whole_pool(pair, _recipe(pair, _whole(share), seed, config), share.fit_on, seed, config)
    else:
        recipe, follow = _recipe(pair, share, seed, config), share.budget == "steps"
        found = _fit(pair, rows, recipe, share.fit_on, seed, config, follow)
    if is_mapped(pair.draft):
        give_back()
    sizes: dict[str, float] = {"n_train": len(rows), "n_over_d": len(rows) / pair.draft.shape[1]}
    return Fit(found.weights, sizes | found.facts, found.trajectory if share.budget == "steps" else ())


def measure_share(pair: Pair, share: Share, seed: int, config: TrainingConfig) -> Measurement:
    """Return every metric of the map fitted on a share of a seed's pool; of fixed steps, the table `trajectory` too."""
    found = fit_on_share(pair, share, seed, config)
    if share.ratio < 1:
        measured = score_map(pair, found.weights, seed)
    else:
        measured = _score_whole_pool(pair, _recipe(pair, _whole(share), seed, config), share.fit_on, seed, config)
    tables = {}
    if found.trajectory:
        tables["trajectory"] = pd.DataFrame(found.trajectory, columns=["step", "cosine_mean"])
    return measured | Measurement(found.facts, tables=tables)


def score_map(pair: Pair, weights: Vectors, seed: int = 0) -> Measurement:
    """Return every metric of the map W (d_teacher, d_draft) on the held-out queries of a pair.

    `seed` is that of the training pool whose mean vector skill is measured from. Raises TypeError or ValueError for a
    map that does not fit the pair.

    >>> pair = load_pair(find_pair("smollm2-mpnet")).asked_by(100)
    >>> train = pair.holdout.train[::5]
    >>> ridge = fit_ridge(pair.draft[train], pair.teacher[train], pair.labels[train])
    >>> round(score_map(pair, ridge.weights).metrics["query_adapter_ndcg_at_10"], 1)
    0.2
    """
    if not isinstance(pair, Pair):
        raise TypeError(f"pair must be what load_pair returns, found {described(pair)}")
    seed = whole_number(seed, "seed")
    weights = vectors(weights, "weights")
    if weights.shape != (shape := (pair.teacher.shape[1], pair.draft.shape[1])):
        hint = "; it is transposed: give W.T" if weights.shape == shape[::-1] else ""
        raise ValueError(
            f"a map for {pair.name} has shape {shape}, one row a teacher dimension, found {weights.shape}{hint}"
        )
    return score_mapped(pair, map_task(pair, weights), seed)


def score_mapped(pair: Pair, mapped: Embedded, seed: int) -> Measurement:
    """Return every metric of mapped queries and index; skill is measured from the pool's mean vector."""
    return scorecard.score(search_task_of(pair), mapped, ceiling_of(pair), constant_of(pair, seed))


@memo(32)
def constant_of(pair: Pair, seed: int) -> Vectors:
    """Return the mean vector (d_teacher,) of the teacher over a seed's pool: the constant predictor."""
    return mean_vector(pick(fitted_on(pair).teacher, pool_of(pair, seed)))


def map_task(pair: Pair, weights: Vectors) -> Embedded:
    """Return queries and index of a pair as the map makes them."""
    return scorecard.map_task(weights, search_task_of(pair))


@memo(4)
def search_task_of(pair: Pair) -> SearchTask:
    """Return what the maps of a pair are searched with."""
    return task_of(pair)


@memo(4)
def ceiling_of(pair: Pair) -> Search:
    """Return what the teacher's queries find in the teacher's index."""
    task = search_task_of(pair)
    found = scorecard.search_task(task, task.teacher)
    return dataclasses.replace(found, returned=stored(found.returned))


@memo(64)
def _order(pair: Pair, policy: str | Reference, seed: int, fit_on: FitOn) -> Rows:
    pool = pick(fitted_on(pair, fit_on).draft, pool_of(pair, seed, fit_on))
    return stored(selection_order(policy, pool if policy == "random" else np.asarray(pool), seed))


def _whole(share: Share) -> Share:
    """The share that all shares of the whole pool are: its policy chooses nothing, its epochs are the fixed steps."""
    return Share("random", 1.0, "steps" if share.budget == "epochs" else share.budget, share.fit_on)


@memo(64)
def _recipe(pair: Pair, share: Share, seed: int, config: TrainingConfig) -> Recipe:
    """The recipe that a budget means for a share."""
    if isinstance(share.budget, Reference):
        return share.budget
    pool = len(pool_of(pair, seed, share.fit_on))
    rows = rows_of(pair, share, seed)
    match share.budget:
        case "closed_form":
            return 0
        case "steps":
            return config.steps_for(pool)
        case "epochs":
            return config.steps_for_epochs(len(rows), pool)
        case "tuned":
            fitted = fitted_on(pair, share.fit_on)
            chosen = (shared(fitted.draft, rows), shared(fitted.teacher, rows), some_names(fitted.groups, rows))
            return tune_steps(*chosen, seed=seed, most=config.steps_for(pool), config=config)
    known = "tuned, steps, epochs, closed_form"
    raise ValueError(f"budget {share.budget!r} is unknown: choose one of {known}, or give a function of your own")


@memo(32)
def _fit_whole_pool(pair: Pair, recipe: Recipe, fit_on: FitOn, seed: int, config: TrainingConfig) -> Fit:
    pool = pool_of(pair, seed, fit_on)
    return _fit(pair, pool, recipe, fit_on, seed, config, follow=recipe == config.steps_for(len(pool)))


@memo(32)
def _score_whole_pool(pair: Pair, recipe: Recipe, fit_on: FitOn, seed: int, config: TrainingConfig) -> Measurement:
    return score_map(pair, _fit_whole_pool(pair, recipe, fit_on, seed, config).weights, seed)


def _fit(pair: Pair, rows: Rows, recipe: Recipe, fit_on: FitOn, seed: int, config: TrainingConfig, follow: bool) -> Fit:
    fitted = fitted_on(pair, fit_on)
    draft, teacher = shared(fitted.draft, rows), shared(fitted.teacher, rows)
    if isinstance(recipe, Reference):
        groups = some_names(fitted.groups, rows)
        return Fit(fit_own(recipe, np.asarray(draft), np.asarray(teacher), groups, seed), {"steps": 0})
    if (steps := recipe) == 0:
        ridge = fit_ridge(draft, teacher, some_names(fitted.groups, rows))
        return Fit(ridge.weights, {"steps": 0, "ridge_penalty": ridge.penalty})
    many = follow and steps >= CHECKPOINTS
    at = [round(steps * (i + 1) / CHECKPOINTS) for i in range(CHECKPOINTS)] if many else []
    trained = train_map(draft, teacher, seed=seed, config=config, steps=steps, checkpoints=at)
    held_out = search_task_of(pair)
    followed = [
        (step, float(cosines(apply_map(weights, held_out.draft.queries), held_out.teacher.queries).mean()))
        for step, weights in trained.checkpoints.items()
    ]
    facts = {"steps": steps, "draws_over_n": config.draws_over_n(steps, len(rows)), "ridge_penalty": 0.0}
    return Fit(trained.weights, facts, tuple(followed))

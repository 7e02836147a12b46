"""The maps that experiments measure: fitted on a share of a seed's pool, or on all of it with an added loss term.

Expensive parts that cells share (pool, selection order, map of the whole pool) are remembered within a process. At
ratio 1 every policy and both budgets are the same training, so this also keeps a grid from doing one thing six times.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

from embalign.alignment.closed_form import fit_ridge, mean_vector
from embalign.alignment.config import TrainingConfig
from embalign.alignment.selection import Rows, draw_pool, head, selection_order
from embalign.alignment.setting import Setting
from embalign.alignment.terms import Term, make_term
from embalign.alignment.training import TrainedMap, apply_map, train_map
from embalign.errors import CellError
from embalign.evaluation import scorecard
from embalign.evaluation.measurement import Measurement
from embalign.lazy import Reference
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

NO_WEIGHT = 1e-6  # of a term that is measured but must not steer
NO_RATIO = 1e-10  # rounding alone gives no larger gradient


@dataclass(frozen=True)
class Share:
    """Which items of a seed's pool a map is fitted on, and for how long: policy, ratio in (0, 1], budget."""

    policy: str
    ratio: float
    budget: str = "steps"


@dataclass(frozen=True)
class Arm:
    """A loss term that is added to the cosine loss: which, how it is set, and which random draw of it."""

    name: str | Reference
    setting: Setting
    draw: int = 0

    def term(self, dimension: int, seed: int, weight: float) -> Term | None:
        """Return the term with that weight, for teachers of that dimension; None for no term."""
        return make_term(self.name, weight, dimension=dimension, scale=self.setting.scale, seed=seed, draw=self.draw)

    def unset(self) -> Arm:
        """Return the arm without its strength: arms that differ in it alone share what does not depend on it."""
        return dataclasses.replace(self, setting=dataclasses.replace(self.setting, strength=0.0))


@functools.lru_cache(maxsize=32)
def pool_of(pair: Pair, seed: int) -> Rows:
    """Return the rows of a seed's training pool."""
    return draw_pool(pair.holdout.train, seed)


def rows_of(pair: Pair, share: Share, seed: int) -> Rows:
    """Return the rows of a share of a seed's pool."""
    return pool_of(pair, seed)[head(_order(pair, share.policy, seed), share.ratio)]


def fit_on_share(pair: Pair, share: Share, seed: int, config: TrainingConfig) -> tuple[Vectors, dict[str, float]]:
    """Return the map fitted on a share of a seed's pool, and what is to be said of the fit."""
    pool, rows = pool_of(pair, seed), rows_of(pair, share, seed)
    facts: dict[str, float] = {"n_train": len(rows), "n_over_d": len(rows) / pair.draft.shape[1]}
    if len(rows) == len(pool):
        weights, details = _fit_whole_pool(pair, share.budget, seed, config)
    else:
        weights, details = _fit(pair, rows, share.budget, seed, config)
    return weights, facts | details


def score_map(pair: Pair, weights: Vectors, seed: int) -> Measurement:
    """Return every metric of the map W (d_teacher, d_draft) on the test set."""
    return score_mapped(pair, apply_map(weights, pair.draft[pair.holdout.test]), seed)


def score_mapped(pair: Pair, mapped: Vectors, seed: int) -> Measurement:
    """Return every metric of the mapped test items (n, d_teacher); skill is measured from the pool's mean vector."""
    test = pair.holdout.test
    constant = mean_vector(pair.teacher[pool_of(pair, seed)])
    return scorecard.score(mapped, pair.teacher[test], pair.labels[test], constant)


@functools.lru_cache(maxsize=64)
def _order(pair: Pair, policy: str, seed: int) -> Rows:
    return selection_order(policy, pair.draft[pool_of(pair, seed)], seed)


@functools.lru_cache(maxsize=4)
def _fit_whole_pool(pair: Pair, budget: str, seed: int, config: TrainingConfig) -> tuple[Vectors, dict[str, float]]:
    if budget == "epochs":
        return _fit_whole_pool(pair, "steps", seed, config)
    return _fit(pair, pool_of(pair, seed), budget, seed, config)


def _fit(pair: Pair, rows: Rows, budget: str, seed: int, config: TrainingConfig) -> tuple[Vectors, dict[str, float]]:
    draft, teacher = pair.draft[rows], pair.teacher[rows]
    if budget == "closed_form":
        ridge = fit_ridge(draft, teacher)
        return ridge.weights, {"steps": 0, "ridge_penalty": ridge.penalty}
    steps = config.steps_for_epochs(len(rows), len(pool_of(pair, seed))) if budget == "epochs" else config.steps
    trained = train_map(draft, teacher, seed=seed, config=config, steps=steps)
    return trained.weights, {"steps": steps, "ridge_penalty": 0.0}


@functools.lru_cache(maxsize=4)
def train_arm(pair: Pair, arm: Arm, seed: int, config: TrainingConfig) -> tuple[TrainedMap, float]:
    """Return the map of an arm, trained on a seed's whole pool, and the weight of its term.

    Raises CellError where a gradient ratio is asked of a term that has no gradient.
    """
    pool = pool_of(pair, seed)
    term = arm.term(pair.teacher.shape[1], seed, arm.setting.strength)
    if term is not None and arm.setting.by == "gradient_ratio":
        term = dataclasses.replace(term, weight=arm.setting.strength / _ratio_of_one(pair, arm.unset(), seed, config))
    trained = train_map(pair.draft[pool], pair.teacher[pool], seed=seed, config=config, term=term)
    return trained, term.weight if term else 0.0


@functools.lru_cache(maxsize=16)
def _ratio_of_one(pair: Pair, arm: Arm, seed: int, config: TrainingConfig) -> float:
    """Gradient ratio of an arm's term for each unit of weight, where the cosine loss alone has led after warm-up."""
    pool = pool_of(pair, seed)
    warmup = round(config.warmup_share * config.steps)
    short = dataclasses.replace(config, steps=warmup + 1, warmup_share=warmup / (warmup + 1))  # and no step further
    term = arm.term(pair.teacher.shape[1], seed, NO_WEIGHT)
    trained = train_map(pair.draft[pool], pair.teacher[pool], seed=seed, config=short, term=term)
    ratio = trained.gradient_ratio / NO_WEIGHT
    if ratio < NO_RATIO:
        raise CellError(f"arm {arm.name} has no gradient on {arm.setting.scale} vectors: give its strength as lambda")
    return ratio

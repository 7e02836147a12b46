"""One cell of an experiment, from pair to row: select, fit, map, score.

Expensive parts that cells share (pool, selection order, map of the whole pool) are remembered within a process. At
ratio 1 every policy and both budgets are the same training, so this also keeps a grid from doing one thing six times.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from embalign.alignment.closed_form import fit_ridge, mean_vector
from embalign.alignment.config import DEFAULT
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.selection import Rows, head, selection_order
from embalign.alignment.training import apply_map, initial_map, train_map
from embalign.evaluation import scorecard
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import pool_of, score_map
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell, Row

CHECKPOINTS = 16


def measure_ratio(pair: Pair, cell: Cell) -> Row:
    """Return the metrics of a map fitted on a share of the pool (experiment 1)."""
    weights, details = fit_on_share(pair, cell["policy"], cell["budget"], cell["ratio"], cell.seed)
    return score_map(pair, weights, cell.seed) | details


def fit_on_share(pair: Pair, policy: str, budget: str, ratio: float, seed: int) -> tuple[Vectors, Row]:
    """Return the map fitted on a share of a seed's pool, and what is to be said of the fit."""
    pool = pool_of(pair, seed)
    rows = pool[head(_order(pair, policy, seed), ratio)]
    facts: Row = {"n_train": len(rows), "n_over_d": len(rows) / pair.draft.shape[1]}
    if len(rows) == len(pool):
        weights, details = _fit_wholepool_of(pair, budget, seed)
    else:
        weights, details = _fit(pair, rows, len(pool), budget, seed)
    return weights, facts | details


def measure_trajectory(pair: Pair, cell: Cell) -> Row:
    """Return the held-out mean cosine along the training of one map (experiment 1), as ``cosine_mean_stepNNNN``."""
    pool = pool_of(pair, cell.seed)
    rows = pool[head(_order(pair, cell["policy"], cell.seed), cell["ratio"])]
    test = pair.holdout.test
    at = [round(DEFAULT.steps * (i + 1) / CHECKPOINTS) for i in range(CHECKPOINTS)]
    trained = train_map(pair.draft[rows], pair.teacher[rows], seed=cell.seed, checkpoints=at)
    row: Row = {"n_train": len(rows)}
    for step, weights in trained.checkpoints.items():
        cosine = cosines(apply_map(weights, pair.draft[test]), pair.teacher[test])
        row[f"cosine_mean_step{step:04d}"] = float(cosine.mean())
    return row


def measure_reference(pair: Pair, cell: Cell) -> Row:
    """Return the metrics of what a map is held against: constant, untrained, raw draft, chance, teacher."""
    test = pair.holdout.test
    labels, teacher = pair.labels[test], pair.teacher[test]
    constant = mean_vector(pair.teacher[pool_of(pair, cell.seed)])
    match cell["reference"]:
        case "mean_vector":
            cosine = cosines(np.broadcast_to(constant, teacher.shape), teacher)
            return {"cosine_mean": float(cosine.mean()), "skill": 0.0, "spearman": 0.0}
        case "untrained":
            weights = initial_map(teacher.shape[1], pair.draft.shape[1], cell.seed)
            return score_map(pair, weights, cell.seed)
        case "draft":
            return dict(scorecard.score_retrieval(pair.draft[test], labels))
        case "teacher":
            return dict(scorecard.score(teacher, teacher, labels, constant))
        case "chance":
            noise = generator(cell.seed, Stream.CHANCE).standard_normal(teacher.shape)
            return dict(scorecard.score_retrieval(noise, labels))
        case other:
            raise ValueError(f"reference {other!r} is unknown")


@functools.lru_cache(maxsize=64)
def _order(pair: Pair, policy: str, seed: int) -> Rows:
    return selection_order(policy, pair.draft[pool_of(pair, seed)], seed)


@functools.lru_cache(maxsize=4)
def _fit_wholepool_of(pair: Pair, budget: str, seed: int) -> tuple[Vectors, Row]:
    pool = pool_of(pair, seed)
    if budget == "epochs":
        return _fit_wholepool_of(pair, "steps", seed)
    return _fit(pair, pool, len(pool), budget, seed)


def _fit(pair: Pair, rows: Rows, n_pool: int, budget: str, seed: int) -> tuple[Vectors, Row]:
    draft, teacher = pair.draft[rows], pair.teacher[rows]
    if budget == "closed_form":
        ridge = fit_ridge(draft, teacher)
        return ridge.weights, {"steps": 0, "ridge_penalty": ridge.penalty}
    steps = DEFAULT.steps_for_epochs(len(rows), n_pool) if budget == "epochs" else DEFAULT.steps
    trained = train_map(draft, teacher, seed=seed, steps=steps)
    return trained.weights, {"steps": steps, "ridge_penalty": 0.0}

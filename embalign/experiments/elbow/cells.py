"""The cells of experiment 1, from pair to numbers: select, fit, map, search, score."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embalign.alignment.closed_form import mean_vector
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.training import apply_map, initial_map, train_map
from embalign.evaluation import agreement, scorecard
from embalign.evaluation.deployment import Embedded, vectors_of
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import (
    Share,
    ceiling_of,
    fit_on_share,
    map_task,
    measure_share,
    pool_of,
    rows_of,
    score_map,
    search_task_of,
)
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell

CHECKPOINTS = 16
NOISE = 64  # dimensions of the vectors whose search is chance


def measure_ratio(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of a map fitted on a share of the pool."""
    share = Share(cell["policy"], cell["ratio"], cell["budget"])
    return measure_share(pair, share, cell.seed, cell.training)


def measure_trajectory(pair: Pair, cell: Cell) -> Measurement:
    """Return the held-out mean cosine along the training of one map: the table `trajectory`, one row a checkpoint."""
    rows = rows_of(pair, Share(cell["policy"], cell["ratio"]), cell.seed)
    test = pair.holdout.test
    at = [round(cell.training.steps * (i + 1) / CHECKPOINTS) for i in range(CHECKPOINTS)]
    trained = train_map(pair.draft[rows], pair.teacher[rows], seed=cell.seed, config=cell.training, checkpoints=at)
    followed = [
        (step, float(cosines(apply_map(weights, pair.draft[test]), pair.teacher[test]).mean()))
        for step, weights in trained.checkpoints.items()
    ]
    table = pd.DataFrame(followed, columns=["step", "cosine_mean"])
    return Measurement({"n_train": len(rows)}, tables={"trajectory": table})


def measure_index_size(pair: Pair, cell: Cell) -> Measurement:
    """Return what a deployment finds in indexes of growing size: the table `sizes`, one row a size.

    The map is fitted on all data with fixed steps. The smallest index holds the held-out items alone; the others are
    joined in random order. `no_map` is the raw draft's own search in an index of that size, `teacher` the teacher's.
    """
    weights, _ = fit_on_share(pair, Share("random", 1.0), cell.seed, cell.training)
    task, mapped = search_task_of(pair), map_task(pair, weights)
    searched = {
        "": vectors_of(cell["deployment"], mapped, task.teacher),
        "no_map_": task.draft,
        "teacher_": task.teacher,
    }
    others = np.setdiff1d(np.arange(task.index_size), task.held_out)
    order = np.concatenate([task.held_out, generator(cell.seed, Stream.INDEX_ORDER).permutation(others)])
    rows = []
    for size in index_sizes(len(task.held_out), task.index_size):
        smaller = task.within(order[:size])
        row: dict[str, float] = {"index_size": size}
        for prefix, vectors in searched.items():
            found = scorecard.search_task(smaller, Embedded(vectors.queries, vectors.index[order[:size]]))
            row |= {f"{prefix}{name}": value for name, value in scorecard.metrics_of(found).items()}
        rows.append(row)
    return Measurement({}, tables={"sizes": pd.DataFrame(rows)})


def index_sizes(smallest: int, largest: int) -> list[int]:
    """Return sizes that double from the smallest, and the largest."""
    sizes = [smallest]
    while 2 * sizes[-1] < largest:
        sizes.append(2 * sizes[-1])
    return sorted({*sizes, largest})


def measure_reference(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of what a map is held against: constant, untrained, raw draft, chance, teacher.

    The raw draft comes with what says whether draft and teacher are embeddings of the same items at all.
    """
    task, ceiling = search_task_of(pair), ceiling_of(pair)
    constant = mean_vector(pair.teacher[pool_of(pair, cell.seed)])
    match cell["reference"]:
        case "mean_vector":
            teacher = task.teacher.queries
            cosine = cosines(np.broadcast_to(constant, teacher.shape), teacher)
            return Measurement({"cosine_mean": float(cosine.mean()), "skill": 0.0, "spearman": 0.0})
        case "untrained":
            return score_map(pair, initial_map(pair.teacher.shape[1], pair.draft.shape[1], cell.seed), cell.seed)
        case "draft":
            return scorecard.score_search(task, task.draft, ceiling) | Measurement(agreement_of(pair))
        case "teacher":
            alignment = scorecard.score_alignment(task.teacher.queries, task.teacher.queries, task.groups, constant)
            return alignment | scorecard.score_search(task, task.teacher, ceiling)
        case "chance":
            rng = generator(cell.seed, Stream.CHANCE)
            noise = (rng.standard_normal((count, NOISE)) for count in (len(task.groups), task.index_size))
            return scorecard.score_search(task, Embedded(*noise), ceiling)
        case other:
            raise ValueError(f"reference {other!r} is unknown")


@functools.lru_cache(maxsize=4)
def agreement_of(pair: Pair) -> dict[str, float]:
    """Return whether draft and teacher agree on neighbours, and how much the vectors and topics hold: see there."""
    return agreement.measure(pair.draft, pair.teacher, search_task_of(pair).groups)

"""The cells of experiment 1, from pair to numbers: select, fit, map, score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embalign.alignment.closed_form import mean_vector
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.training import apply_map, initial_map, train_map
from embalign.evaluation import scorecard
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import Share, fit_on_share, pool_of, rows_of, score_map
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell

CHECKPOINTS = 16


def measure_ratio(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of a map fitted on a share of the pool."""
    share = Share(cell["policy"], cell["ratio"], cell["budget"])
    weights, facts = fit_on_share(pair, share, cell.seed, cell.training)
    return score_map(pair, weights, cell.seed) | Measurement(facts)


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


def measure_reference(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of what a map is held against: constant, untrained, raw draft, chance, teacher."""
    test = pair.holdout.test
    labels, teacher = pair.labels[test], pair.teacher[test]
    constant = mean_vector(pair.teacher[pool_of(pair, cell.seed)])
    match cell["reference"]:
        case "mean_vector":
            cosine = cosines(np.broadcast_to(constant, teacher.shape), teacher)
            return Measurement({"cosine_mean": float(cosine.mean()), "skill": 0.0, "spearman": 0.0})
        case "untrained":
            return score_map(pair, initial_map(teacher.shape[1], pair.draft.shape[1], cell.seed), cell.seed)
        case "draft":
            return scorecard.score_retrieval(pair.draft[test], labels)
        case "teacher":
            return scorecard.score(teacher, teacher, labels, constant)
        case "chance":
            noise = generator(cell.seed, Stream.CHANCE).standard_normal(teacher.shape)
            return scorecard.score_retrieval(noise, labels)
        case other:
            raise ValueError(f"reference {other!r} is unknown")

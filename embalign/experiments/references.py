"""What a map is held against in experiments 1 and 2: constant vector, untrained map, raw draft, chance, teacher.

The raw draft is the use of no map at all, and the teacher the ceiling. Both search their own vectors, so each has one
number for all deployments.
"""

import functools

import numpy as np

from embalign.alignment.training import initial_map
from embalign.evaluation import agreement, scorecard
from embalign.evaluation.chance import random_vectors
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import ceiling_of, constant_of, score_map, search_task_of
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

REFERENCES = ("mean_vector", "untrained", "chance", "draft", "teacher")


def score_reference(pair: Pair, name: str, seed: int) -> Measurement:
    """Return the metrics of one of `REFERENCES` on a pair's held-out queries; ValueError for another name.

    The raw draft comes with what says whether draft and teacher are embeddings of the same items at all.
    """
    task, ceiling = search_task_of(pair), ceiling_of(pair)
    constant = constant_of(pair, seed)
    match name:
        case "mean_vector":
            cosine = cosines(np.broadcast_to(constant, task.teacher.queries.shape), task.teacher.queries)
            quantiles = {f"cosine_p{q:02d}": float(np.quantile(cosine, q / 100)) for q in (5, 50, 95)}
            metrics = {"cosine_mean": float(cosine.mean()), **quantiles, "skill": 0.0, "spearman": 0.0}
            return Measurement(metrics, scorecard.by_label(task.blocks, cosine_mean=cosine))
        case "untrained":
            return score_map(pair, untrained_map(pair, seed), seed)
        case "draft":
            sizes = {"queries": len(task.groups), "index_size": task.index_size}
            return _own_search(pair, name) | Measurement(agreement_of(pair) | sizes)
        case "teacher":
            alignment = scorecard.score_alignment(task.teacher.queries, task.teacher.queries, task.blocks, constant)
            return alignment | _own_search(pair, name)
        case "chance":
            return scorecard.score_search(task, random_vectors(task, seed), ceiling)
        case other:
            raise ValueError(f"reference {other!r} is unknown; known are {', '.join(REFERENCES)}")


def untrained_map(pair: Pair, seed: int) -> Vectors:
    """Return the map (d_teacher, d_draft) that a seed's training starts from."""
    return initial_map(pair.teacher.shape[1], pair.draft.shape[1], seed)


@functools.lru_cache(maxsize=8)
def _own_search(pair: Pair, side: str) -> Measurement:
    """The same for every seed: what raw draft or teacher finds with its own vectors."""
    task = search_task_of(pair)
    return scorecard.score_search(task, task.draft if side == "draft" else task.teacher, ceiling_of(pair))


@functools.lru_cache(maxsize=4)
def agreement_of(pair: Pair) -> dict[str, float]:
    """Return whether draft and teacher agree on neighbours, and how much the vectors and topics hold: see there."""
    return agreement.measure(pair.draft, pair.teacher, search_task_of(pair).groups)

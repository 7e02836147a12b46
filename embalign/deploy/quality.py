"""How good a map is in each deployment, on queries that it was not trained on, and whether it beats no map."""

import numpy as np
from numpy.typing import NDArray

from embalign.deploy.card import Difference, Estimate, Use
from embalign.deploy.thresholds import SCORES, certify_targets, choose_scores, search_deployment
from embalign.errors import CorpusError
from embalign.evaluation.certificate import CONFIDENCE
from embalign.evaluation.deployment import DEPLOYMENTS, SearchTask, task_of
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import FIRST_HIT, label_values, map_task, score_deployment, search_task
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair
from embalign.verdicts.statistics import group_t

NDCG = "ndcg_at_10"
SIDES = {
    ("queries", "mapped"): "the draft's vectors, mapped",
    ("queries", "teacher"): "the teacher's vectors",
    ("index", "mapped"): "the draft's vectors, mapped",
    ("index", "teacher"): "the teacher's vectors",
}


def uses_of(pair: Pair, weights: Vectors) -> dict[str, Use]:
    """Return what the map (d_teacher, d_draft) is worth in each deployment, with the whole corpus as the index.

    Raises CorpusError if the teacher's own search finds nothing.
    """
    task = task_of(pair)
    mapped, scores = map_task(weights, task), choose_scores(pair, weights)
    ceiling, alternative = search_task(task, task.teacher), search_task(task, task.draft)
    if not np.nansum(ceiling.ndcg) > 0:
        raise CorpusError(
            f"{pair.name}: the teacher's own search finds nothing, so no map can be judged; check the labels"
        )
    uses = {}
    for name, deployment in DEPLOYMENTS.items():
        found = search_deployment(name, task, mapped)
        score = scores[name]
        over = over_no_map(found, alternative, task)
        uses[name] = Use(
            queries=SIDES["queries", deployment.queries],
            index=SIDES["index", deployment.index],
            index_size=task.index_size,
            quality=_quality(found, task),
            retention={NDCG: _retention(name, task, found, ceiling)},
            teacher=_quality(ceiling, task),
            no_map=_quality(alternative, task),
            beats_no_map=over.lower_bound is not None and over.lower_bound > 0,
            over_no_map=over,
            score=score,
            score_is=SCORES[score],
            confidence=CONFIDENCE,
            thresholds={f"{target:.2f}": own for target, own in certify_targets(task, found, score).items()},
        )
    return uses


def over_no_map(found: Search, alternative: Search, task: SearchTask) -> Difference:
    """Return the difference in nDCG@10 to the raw draft's own search, with its one-sided lower bound."""
    values = label_values(found.ndcg - alternative.ndcg, task.groups)
    bound = group_t(values).lower_bound(1 - CONFIDENCE) if len(values) > 1 else None
    return Difference(float(values.mean()), bound, CONFIDENCE)


def estimate(values: NDArray[np.floating]) -> Estimate:
    """Return the mean of values by label group (G,), with its 95 % interval over the groups."""
    wide = values.astype(np.float64)
    return Estimate(float(wide.mean()), group_t(wide).interval() if len(wide) > 1 else None)


def _quality(found: Search, task: SearchTask) -> dict[str, Estimate]:
    by_metric = {NDCG: found.ndcg, FIRST_HIT: found.hits[1]}
    return {name: estimate(label_values(values, task.groups)) for name, values in by_metric.items()}


def _retention(name: str, task: SearchTask, found: Search, ceiling: Search) -> Estimate:
    return estimate(score_deployment(name, task, found, ceiling).by_label[f"{name}_retention_{NDCG}"])

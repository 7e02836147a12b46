"""How good a map is in each deployment, on queries that it was not trained on, and whether it beats no map."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from embalign.deploy.card import Difference, Estimate, Use
from embalign.deploy.thresholds import SCORES, better_scores, certify_targets, training_task
from embalign.errors import CorpusError
from embalign.evaluation.certificate import CONFIDENCE
from embalign.evaluation.deployment import DEPLOYMENTS, SearchTask, task_of
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import FIRST_HIT, label_values, score_deployment, search_task
from embalign.maps.searches import PLAIN, Sample, find_without_map, sample_of
from embalign.pairs.pair import Pair
from embalign.verdicts.statistics import group_t

NDCG = "ndcg_at_10"
Searched = Callable[[SearchTask, Sample], Mapping[str, Search]]  # what each deployment's queries find
SIDES = {
    ("queries", "mapped"): "the draft's vectors, mapped",
    ("queries", "teacher"): "the teacher's vectors",
    ("index", "mapped"): "the draft's vectors, mapped",
    ("index", "teacher"): "the teacher's vectors",
}


def uses_of(pair: Pair, searched: Searched, ways: Mapping[str, str] | None = None) -> dict[str, Use]:
    """Return what a map is worth in each deployment that it is searched in, with the whole corpus as the index.

    `ways` says by deployment which of `SEARCHES` that is, plain where it says nothing; no map is searched alike. Raises
    CorpusError if the teacher's own search finds nothing.
    """
    task, sample = task_of(pair), sample_of(pair, np.arange(len(pair.asking)))
    found_by = searched(task, sample)
    how_by = {name: (ways or {}).get(name, PLAIN) for name in found_by}
    training = sample_of(pair, pair.holdout.train, pair.holdout.train_documents)
    scores = better_scores(searched(training_task(pair), training))
    ceiling = search_task(task, task.teacher)
    alternatives = {how: find_without_map(task, sample, how) for how in set(how_by.values())}
    if not np.nansum(ceiling.ndcg) > 0:
        raise CorpusError(
            f"{pair.name}: the teacher's own search finds nothing, so no map can be judged; check the labels"
        )
    uses = {}
    for name, found in found_by.items():
        deployment, score, alternative = DEPLOYMENTS[name], scores[name], alternatives[how_by[name]]
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
            no_map_search=how_by[name],
        )
    return uses


def over_no_map(found: Search, alternative: Search, task: SearchTask) -> Difference:
    """Return the difference in nDCG@10 to what is found without a map, with its one-sided lower bound."""
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

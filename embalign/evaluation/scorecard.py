"""Every metric of a map on the held-out queries, by its column name; :mod:`embalign.verdicts.metrics` names them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embalign.alignment.training import apply_map
from embalign.evaluation import gate, similarity
from embalign.evaluation.deployment import DEPLOYMENTS, DRAFT_ONLY, Embedded, SearchTask, vectors_of
from embalign.evaluation.index import Index
from embalign.evaluation.measurement import ByLabel, Measurement
from embalign.evaluation.relevance import Labels, Part
from embalign.evaluation.retrieval import Search, search_all
from embalign.evaluation.streamed import map_rows
from embalign.pairs import Vectors

# The column of the share of queries whose nearest neighbour is relevant.
FIRST_HIT = "recall_at_1"
TREC_RECALL = (10, 100)


def score(task: SearchTask, mapped: Embedded, ceiling: Search, constant: Vectors) -> Measurement:
    """Return all metrics of a map: alignment, retrieval and gate on the held-out items, and each deployment.

    `mapped` are the task's queries and index as the map makes them, `ceiling` is what the teacher finds, and `constant`
    (d,) is the mean-vector predictor that skill is measured from.
    """
    teacher = task.teacher.queries
    alignment = score_alignment(mapped.queries, teacher, task.blocks, constant, task.teacher_ranks)
    own_search, found = score_own_search(task, mapped)
    scored = alignment | own_search
    for name in DEPLOYMENTS:
        searched = found if name == DRAFT_ONLY else search_task(task, vectors_of(name, mapped, task.teacher))
        scored |= score_deployment(name, task, searched, ceiling)
    return scored


def score_alignment(
    mapped: Vectors,
    teacher: Vectors,
    labels: Labels,
    constant: Vectors,
    teacher_ranks: NDArray[np.float64] | None = None,
) -> Measurement:
    """Return how near mapped vectors (n, d) are to the teacher's (n, d), whose pairs' ranks may be known."""
    cosine = similarity.cosines(mapped, teacher)
    mean_of_constant = float((teacher @ constant).mean(dtype=np.float64))
    metrics = {
        "cosine_mean": float(cosine.mean()),
        "cosine_p05": float(np.quantile(cosine, 0.05)),
        "cosine_p50": float(np.quantile(cosine, 0.50)),
        "cosine_p95": float(np.quantile(cosine, 0.95)),
        "skill": similarity.skill(float(cosine.mean()), mean_of_constant),
        "spearman": similarity.pairwise_spearman(mapped, teacher, teacher_ranks),
    }
    return Measurement(metrics, by_label(labels, cosine_mean=cosine))


def score_own_search(task: SearchTask, vectors: Embedded) -> tuple[Measurement, Search]:
    """Return retrieval and gate where the vectors search themselves, with the held-out items alone as the index.

    And what they find in the whole index, from the same similarities.
    """
    found, whole = search_parts(task, vectors, [task.alone_part, task.whole])
    metrics = {
        **{f"recall_at_{k}": _mean(hits) for k, hits in found.hits.items()},
        "mrr": _mean(found.reciprocal_rank),
        "gate_augrc": gate.augrc(found.margin, found.correct),
        "gate_accept_rate": gate.accept_rate(found.margin, found.correct),
    }
    of_labels = by_label(task.blocks, **{FIRST_HIT: found.hits[1], "mrr": found.reciprocal_rank})
    return Measurement(metrics, of_labels), whole


def score_search(task: SearchTask, vectors: Embedded, ceiling: Search) -> Measurement:
    """Return the same columns for vectors that no map has made: their own search, whatever the deployment."""
    scored, found = score_own_search(task, vectors)
    for name in DEPLOYMENTS:
        scored |= score_deployment(name, task, found, ceiling)
    return scored


def score_deployment(name: str, task: SearchTask, found: Search, ceiling: Search) -> Measurement:
    """Return the columns `<deployment>_<metric>` of what a deployment's queries found.

    Retention is NaN where the teacher itself finds nothing.
    """
    ndcg, of_teacher = (label_values(each.ndcg, task.blocks) for each in (found, ceiling))
    best = _mean(ceiling.ndcg)
    retention = _mean(found.ndcg) / best if best > 0 else float("nan")
    metrics = {**metrics_of(found), "retention_ndcg_at_10": retention}
    # The mean of a ratio of means over label groups, linearised as in `label_values`.
    of_retention = retention + (ndcg - retention * of_teacher) / (best or 1.0)
    values = {"ndcg_at_10": ndcg, "retention_ndcg_at_10": of_retention}
    return Measurement(
        {f"{name}_{metric}": value for metric, value in metrics.items()},
        {f"{name}_{metric}": of_labels.astype(np.float32) for metric, of_labels in values.items()},
    )


def metrics_of(found: Search) -> dict[str, float]:
    """Return the metrics of a search, means over the queries that have a relevant row."""
    return {
        **{f"recall_at_{k}": _mean(hits) for k, hits in found.hits.items()},
        "mrr": _mean(found.reciprocal_rank),
        "ndcg_at_10": _mean(found.ndcg),
        "mate_recall_at_1": _mean(found.mate),
        **_of_trec(found),
        "never_returned": found.never_returned,
        "largest_hub": found.largest_hub,
    }


def _of_trec(found: Search) -> dict[str, float]:
    """The same as TREC's tools have them, over all relevant rows, where these are not whole label groups."""
    if not found.found:
        return {}
    recall = {f"trec_recall_at_{k}": _mean(share) for k, share in found.found.items()}
    return recall | {"mrr_at_10": _mean(found.reciprocal_rank_at_10)}


def map_task(weights: Vectors, task: SearchTask) -> Embedded:
    """Return a task's queries and index as the map W (d_teacher, d_draft) makes them."""
    return Embedded(apply_map(weights, task.draft.queries), map_rows(weights, task.draft.index))


def search_task(task: SearchTask, vectors: Embedded) -> Search:
    """Return what a task's queries find, given queries and index in one space."""
    return search_task_each(task, vectors.queries, [vectors.searched])[0]


def search_parts(task: SearchTask, vectors: Embedded, parts: Sequence[Part]) -> list[Search]:
    """Return what a task's queries find in each of some parts of the index."""
    return search_all(vectors.queries, [(vectors.searched, part) for part in parts], found_at=_found_at(task))


def search_task_each(task: SearchTask, queries: Vectors, indexes: Sequence[Index]) -> list[Search]:
    """Return the same in each of some indexes of the same vectors that differ in their penalty alone."""
    whole = task.whole
    return search_all(queries, [(index, whole) for index in indexes], found_at=_found_at(task))


def _found_at(task: SearchTask) -> Sequence[int]:
    # Labels make whole groups relevant, which nobody looks for one by one.
    return TREC_RECALL if task.own is None or task.by_teacher else ()


def label_values(values: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """Return one value a label (G,), labels sorted, whose mean is the mean of `values` (n,) over items.

    The test set is drawn as whole label groups, so groups, not items, are what varies. NaN items are left out, and so
    are labels that have no other. The spread over labels is what their choice adds to the mean: that of the jackknife's
    pseudo-values. A label of n_g of the n items, with mean m_g, gives m + (n_g / mean n_g) (m_g - m) c_g, moved so that
    their mean is m again. That is the linearised ratio estimator (Cochran, *Sampling Techniques*, 1977, 9A.1), and
    c_g = (1 - 1 / G) / (1 - n_g / n) takes each group's pull on m out: a large group would hide its own deviation.
    """
    kept = ~np.isnan(values)
    if not kept.any():
        return np.empty(0)
    _, group = np.unique(np.asarray(labels)[kept], return_inverse=True)
    sizes = np.bincount(group)
    mean = values[kept].mean()
    if len(sizes) == 1:
        return np.array([mean])
    pull = (1 - sizes / sizes.sum()) / (1 - 1 / len(sizes))
    deviations = (np.bincount(group, weights=values[kept]) - sizes * mean) / sizes.mean() / pull
    return np.asarray(mean + deviations - deviations.mean())


def by_label(labels: Labels, **values: NDArray[np.float64]) -> dict[str, ByLabel]:
    """Return the values by label of several metrics, each given over the same n items, as a measurement keeps them."""
    return {name: label_values(of_items, labels).astype(np.float32) for name, of_items in values.items()}


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")

"""Every metric of a map on the held-out test set, by its column name; :mod:`embalign.verdicts.metrics` names them."""

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation import gate, retrieval, similarity
from embalign.evaluation.measurement import ByLabel, Measurement
from embalign.evaluation.retrieval import Labels
from embalign.pairs import Vectors

# The column of the share of queries whose nearest neighbour is relevant.
FIRST_HIT = "recall_at_1"


def score(mapped: Vectors, teacher: Vectors, labels: Labels, constant: Vectors) -> Measurement:
    """Return all alignment, retrieval and gate metrics of `mapped` (n, d) against `teacher` (n, d).

    `constant` (d,) is the mean-vector predictor that skill is measured from.
    """
    cosine = similarity.cosines(mapped, teacher)
    mean_of_constant = float((teacher @ constant).mean(dtype=np.float64))
    alignment = {
        "cosine_mean": float(cosine.mean()),
        "cosine_p05": float(np.quantile(cosine, 0.05)),
        "cosine_p50": float(np.quantile(cosine, 0.50)),
        "cosine_p95": float(np.quantile(cosine, 0.95)),
        "skill": similarity.skill(float(cosine.mean()), mean_of_constant),
        "spearman": similarity.pairwise_spearman(mapped, teacher),
    }
    return Measurement(alignment, by_label(labels, cosine_mean=cosine)) | score_retrieval(mapped, labels)


def label_values(values: NDArray[np.float64], labels: Labels) -> NDArray[np.float64]:
    """Return one value a label (G,), labels sorted, whose mean is the mean of `values` (n,) over items.

    The test set is drawn as whole label groups, so groups, not items, are what varies. NaN items are left out. The
    spread over labels is what their choice adds to the mean: a label of n_g items with mean m_g gives
    m + (n_g / mean n_g) (m_g - m), the linearised ratio estimator (Cochran, *Sampling Techniques*, 1977, 9A.1).
    """
    kept = ~np.isnan(values)
    _, group = np.unique(np.asarray(labels)[kept], return_inverse=True)
    sizes = np.bincount(group)
    mean = values[kept].mean()
    return np.asarray(mean + (np.bincount(group, weights=values[kept]) - sizes * mean) / sizes.mean())


def by_label(labels: Labels, **values: NDArray[np.float64]) -> dict[str, ByLabel]:
    """Return the values by label of several metrics, each given over the same n items, as a measurement keeps them."""
    return {name: label_values(of_items, labels).astype(np.float32) for name, of_items in values.items()}


def score_retrieval(vectors: NDArray[np.floating], labels: Labels) -> Measurement:
    """Return the metrics that need no teacher: retrieval and gate."""
    found = retrieval.leave_one_out(vectors, labels)
    answers, correct = gate.leave_one_out(vectors, labels)
    hits = np.where(np.isnan(found.ranks), np.nan, found.ranks <= 1)
    metrics = {
        **{f"recall_at_{k}": value for k, value in found.recall.items()},
        "mrr": found.mrr,
        "gate_augrc": gate.augrc(answers.margin, correct),
        "gate_accept_rate": gate.accept_rate(answers.margin, correct),
    }
    return Measurement(metrics, by_label(labels, **{FIRST_HIT: hits, "mrr": 1 / found.ranks}))

"""Every metric of a map on the held-out test set, by its column name.

A metric is added here, in :func:`score` or :func:`score_retrieval`, and named for readers in
:mod:`embalign.verdicts.metrics`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation import gate, retrieval, similarity
from embalign.evaluation.by_label import by_label
from embalign.evaluation.measurement import Measurement
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

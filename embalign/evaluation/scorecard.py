"""Every metric of a map on the held-out test set, by its column name.

Metrics that are means over items come with their values by label group as well, packed into a text under the metric's
name and ``_by_label``: verdicts take their standard errors over seeds and labels from these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation import gate, retrieval, similarity
from embalign.evaluation.by_label import label_values, pack
from embalign.evaluation.retrieval import Labels
from embalign.pairs import Vectors


def score(mapped: Vectors, teacher: Vectors, labels: Labels, constant: Vectors) -> dict[str, float | str]:
    """Return all alignment, retrieval and gate metrics of `mapped` (n, d) against `teacher` (n, d).

    `constant` (d,) is the mean-vector predictor that skill is measured from.
    """
    cosine = similarity.cosines(mapped, teacher)
    mean_of_constant = float((teacher @ constant).mean(dtype=np.float64))
    return {
        "cosine_mean": float(cosine.mean()),
        "cosine_p05": float(np.quantile(cosine, 0.05)),
        "cosine_p50": float(np.quantile(cosine, 0.50)),
        "cosine_p95": float(np.quantile(cosine, 0.95)),
        "skill": similarity.skill(float(cosine.mean()), mean_of_constant),
        "spearman": similarity.pairwise_spearman(mapped, teacher),
        **score_retrieval(mapped, labels),
        "cosine_mean_by_label": pack(label_values(cosine, labels)),
    }


def score_retrieval(vectors: NDArray[np.floating], labels: Labels) -> dict[str, float | str]:
    """Return the metrics that need no teacher: retrieval and gate."""
    found = retrieval.leave_one_out(vectors, labels)
    answers, correct = gate.leave_one_out(vectors, labels)
    hits = np.where(np.isnan(found.ranks), np.nan, found.ranks <= 1)
    return {
        **{f"recall_at_{k}": value for k, value in found.recall.items()},
        "mrr": found.mrr,
        "gate_augrc": gate.augrc(answers.margin, correct),
        "gate_accept_rate": gate.accept_rate(answers.margin, correct),
        "recall_at_1_by_label": pack(label_values(hits, labels)),
        "mrr_by_label": pack(label_values(1 / found.ranks, labels)),
    }

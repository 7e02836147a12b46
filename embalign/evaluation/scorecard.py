"""Every metric of a map on the held-out test set, by its column name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embalign.embeddings import Vectors
from embalign.evaluation import gate, retrieval, similarity, spectrum
from embalign.evaluation.retrieval import Labels


def score(mapped: Vectors, teacher: Vectors, labels: Labels, constant: Vectors) -> dict[str, float]:
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
    }


def score_retrieval(vectors: NDArray[np.floating], labels: Labels) -> dict[str, float]:
    """Return the metrics that need no teacher: retrieval and gate."""
    found = retrieval.leave_one_out(vectors, labels)
    scores, correct = gate.margin_scores(vectors, labels)
    return {
        **{f"recall_at_{k}": value for k, value in found.recall.items()},
        "mrr": found.mrr,
        "gate_augrc": gate.augrc(scores, correct),
        "gate_accept_rate": gate.accept_rate(scores, correct),
    }


def score_spectrum(mapped: Vectors, teacher: Vectors) -> dict[str, float]:
    """Return the means of the spectral metrics over the test set."""
    return {
        "spec_cosine": float(spectrum.spec_cosines(mapped, teacher).mean()),
        "spec_mse": float(spectrum.spec_mses(mapped, teacher).mean()),
        "spectral_excess": float(spectrum.spectral_excess(mapped, teacher).mean()),
    }

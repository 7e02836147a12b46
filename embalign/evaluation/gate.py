"""The output-level gate: accept what draft and map give, or fall back to the teacher.

The score must be known without the teacher. Here it is the margin: similarity of the mapped query to its nearest
neighbour minus that to the second nearest. An output is correct if the nearest neighbour shares the query's label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.retrieval import Labels

RISK_TARGET = 0.2


def margin_scores(embeddings: NDArray[np.floating], labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each query's margin, in [0, 2], and whether its leave-one-out nearest neighbour shares its label.

    `embeddings` is (n, d) with n at least 3. Raises ValueError for fewer.
    """
    if len(embeddings) < 3:
        raise ValueError(f"a margin needs at least 3 items, found {len(embeddings)}")
    unit = np.asarray(embeddings, dtype=np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = similarity.argmax(axis=1)
    second, first = np.partition(similarity, -2, axis=1)[:, -2:].T
    names = np.asarray(labels)
    return first - second, names[nearest] == names


def risk_coverage(
    scores: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coverage and generalized risk (share of all outputs accepted and wrong) at each distinct threshold.

    Both start at 0 (nothing accepted) and are non-decreasing; equal scores are accepted together.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    accepted = np.arange(1, len(scores) + 1)[last_of_tie]
    wrong = np.cumsum(~correct[order])[last_of_tie]
    return np.append(0, accepted) / len(scores), np.append(0, wrong) / len(scores)


def augrc(scores: NDArray[np.float64], correct: NDArray[np.bool_]) -> float:
    """Return the area under the generalized risk-coverage curve, in [0, 0.5]; lower is better (Traub et al. 2024).

    It equals (1 - AUROC) * acc * (1 - acc) + (1 - acc)^2 / 2.
    """
    coverage, risk = risk_coverage(scores, correct)
    return float(np.trapezoid(risk, coverage))


def accept_rate(scores: NDArray[np.float64], correct: NDArray[np.bool_], risk_target: float = RISK_TARGET) -> float:
    """Return the largest coverage with a share of wrong among accepted at most `risk_target`; 0 if out of reach."""
    coverage, risk = risk_coverage(scores, correct)
    within = risk <= risk_target * coverage + 1e-12
    return float(coverage[within].max())

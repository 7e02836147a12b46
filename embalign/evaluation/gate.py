"""The output-level gate: accept what draft and map give, or fall back to the teacher.

The score must be known without the teacher: `top1`, the similarity of the mapped query to its nearest neighbour, or
`margin`, that minus the similarity to the second nearest. An output is correct if the nearest neighbour shares the
query's label; of several nearest ones, one is taken at random, so that outcomes are probabilities in [0, 1]. Terms are
selective prediction's: coverage is the share of outputs accepted, selective risk the share of wrong ones among the
accepted, generalized risk the share of all outputs that are accepted and wrong.
"""

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.relevance import Labels
from embalign.evaluation.retrieval import Search, search_metrics

RISK_TARGET = 0.2
Scores = NDArray[np.float64]
Outcomes = NDArray[np.bool_] | NDArray[np.float64]


def leave_one_out(embeddings: NDArray[np.floating], labels: Labels) -> tuple[Search, Outcomes]:
    """Return what each of the embeddings (n, d) finds among the others, and whether that shares its label (n,).

    Where several are nearest, that is the share of them that do. Raises ValueError for n < 3.
    """
    if len(embeddings) < 3:
        raise ValueError(f"a margin needs two neighbours besides the query itself, found {len(embeddings)} items")
    own = np.arange(len(embeddings))
    found = search_metrics(embeddings, embeddings, query_labels=labels, index_labels=labels, own=own, ks=(1,))
    return found, found.correct


def by_acceptance(scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order in which outputs are accepted, and the place in it of the last one at each distinct score."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]  # infinite where nothing is second, so no differences
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def risk_coverage(scores: Scores, correct: Outcomes) -> tuple[Scores, Scores]:
    """Return coverage and generalized risk at each distinct threshold, strictest first, from 0 (nothing accepted)."""
    order, last = by_acceptance(scores)
    wrong = np.cumsum(1 - correct[order])[last]
    return np.append(0, last + 1) / len(scores), np.append(0, wrong) / len(scores)


def augrc(scores: Scores, correct: Outcomes) -> float:
    """Return the area under the generalized risk-coverage curve, in [0, 0.5]; lower is better (Traub et al. 2024)."""
    coverage, risk = risk_coverage(scores, correct)
    return float(np.trapezoid(risk, coverage))


def aurc(scores: Scores, correct: Outcomes) -> float:
    """Return the mean selective risk over the coverages 1/n, ..., 1, in [0, 1]; lower is better (Geifman et al. 2019).

    Of equal scores, the order is taken at random; this is the expectation.
    """
    return float(selective_risk(scores, correct, np.arange(1, len(scores) + 1) / len(scores)).mean())


def e_aurc(scores: Scores, correct: Outcomes) -> float:
    """Return AURC minus that of a score that puts every correct output first, at least 0 (Geifman et al. 2019)."""
    return aurc(scores, correct) - aurc(correct.astype(np.float64), correct)


def selective_risk(scores: Scores, correct: Outcomes, coverage: Scores) -> Scores:
    """Return the selective risk at each coverage in (0, 1]; between thresholds, as if ties were broken at random."""
    return np.asarray(np.interp(coverage, *risk_coverage(scores, correct)) / coverage)


def accept_rate(scores: Scores, correct: Outcomes, risk_target: float = RISK_TARGET) -> float:
    """Return the largest coverage with a share of wrong among accepted at most `risk_target`; 0 if out of reach."""
    coverage, risk = risk_coverage(scores, correct)
    return float(coverage[risk <= risk_target * coverage + 1e-12].max())

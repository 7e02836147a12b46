"""How steady gate and retrieval are when the same content is asked in several surface styles.

Each style's variants query the plain items, without the one they are a variant of. The spread of a metric is its
standard deviation over the styles, the plain one included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.by_label import label_values, pack
from embalign.evaluation.gate import Scores, answer, similarities

PLAIN = "plain"
METRICS = ("recall_at_1", "mrr", "accept_top1", "accept_margin")
PLAIN_COVERAGE = 0.5


@dataclass(frozen=True)
class StyleOutcomes:
    """What each of n queries of one style brings, (n,) each: hit at 1, reciprocal rank, and the gate's two scores."""

    recall_at_1: Scores
    mrr: Scores
    top1: Scores
    margin: Scores


def style_outcomes(
    queries: NDArray[np.floating], pool: NDArray[np.floating], own: NDArray[np.int64], groups: NDArray[np.int64]
) -> StyleOutcomes:
    """Return the outcomes of queries (n, d), variants of the rows `own` (n,) of the pool (m, d), with groups (m,).

    Ranks are those of :func:`embalign.evaluation.retrieval.first_relevant_ranks`; every query needs a relevant item.
    """
    similarity = similarities(queries, pool, own)
    relevant = groups[own][:, None] == groups[None, :]
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise ValueError("a query has no relevant item in the pool")
    tie = 8 * np.finfo(np.float64).eps
    above = (~relevant & (similarity > best + tie)).sum(axis=1) + (~relevant & (similarity >= best - tie)).sum(axis=1)
    ranks = 1 + above / 2
    found = answer(similarity)
    return StyleOutcomes((ranks <= 1).astype(np.float64), 1 / ranks, found.top1, found.margin)


def score_styles(outcomes: Mapping[str, StyleOutcomes], labels: NDArray[np.str_]) -> dict[str, float | str]:
    """Return each metric by style, and its spread and range over styles; `outcomes` are of the same n contents.

    ``styled_items`` and ``styled_groups`` count the contents and their label groups.

    Accept rates are at the threshold that accepts half of the plain queries. The spread comes with its values by label
    group, linearised: d spread / d mean of a style is (mean - grand mean) / ((S - 1) spread).
    """
    thresholds = {
        score: float(np.quantile(getattr(outcomes[PLAIN], score), 1 - PLAIN_COVERAGE)) for score in ("top1", "margin")
    }
    row: dict[str, float | str] = {"styled_items": len(labels), "styled_groups": len(set(labels.tolist()))}
    for metric in METRICS:
        values = {style: _values(found, metric, thresholds) for style, found in outcomes.items()}
        means = np.array([value.mean() for value in values.values()])
        spread = float(means.std(ddof=1))
        row |= {f"{metric}_{style}": float(mean) for style, mean in zip(values, means, strict=True)}
        row |= {f"spread_{metric}": spread, f"range_{metric}": float(np.ptp(means))}
        slopes = (means - means.mean()) / ((len(means) - 1) * spread) if spread > 0 else np.zeros(len(means))
        by_label = np.array([label_values(value, labels) for value in values.values()])
        row[f"spread_{metric}_by_label"] = pack(spread + slopes @ (by_label - means[:, None]))
    return row


def _values(found: StyleOutcomes, metric: str, thresholds: Mapping[str, float]) -> Scores:
    kind, _, score = metric.partition("_")
    if kind == "accept":
        return np.asarray(getattr(found, score) >= thresholds[score], dtype=np.float64)
    return np.asarray(getattr(found, metric), dtype=np.float64)

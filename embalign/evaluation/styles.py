"""How steady gate and retrieval are when the same content is asked in several surface styles.

Each style's variants query the index, without the item they are a variant of. The spread of a metric is its standard
deviation over the styles, the plain one included.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.evaluation.deployment import Embedded, SearchTask
from embalign.evaluation.measurement import ByLabel, Measurement
from embalign.evaluation.relevance import Rows
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import FIRST_HIT, label_values

PLAIN = "plain"
PLAIN_COVERAGE = 0.5


def asked_by(task: SearchTask, queries: Rows) -> SearchTask:
    """Return a task that only some of its queries ask, given by their places, in that order."""
    return dataclasses.replace(
        task,
        draft=Embedded(task.draft.queries[queries], task.draft.index),
        teacher=Embedded(task.teacher.queries[queries], task.teacher.index),
        relevant=task.relevant.asked_by(queries),
        own=None if task.own is None else task.own[queries],
        mates=None if task.mates is None else task.mates.asked_by(queries),
        groups=task.groups[queries],
    )


def score_styles(outcomes: Mapping[str, Search], labels: NDArray[np.str_], prefix: str = "") -> Measurement:
    """Return each metric's spread and range over styles, and its mean by style; names begin with `prefix`.

    `outcomes` are what the same n contents find in each style, every one of which has a relevant row.
    ``styled_items`` and ``styled_groups`` count the contents and their label groups. Accept rates are at the threshold
    that accepts half of the plain queries. The spread comes with its values by label group, linearised: d spread /
    d mean of a style is (mean - grand mean) / ((S - 1) spread).
    """
    plain = outcomes[PLAIN]
    metrics: dict[str, float] = {"styled_items": len(labels), "styled_groups": len(set(labels.tolist()))}
    spreads: dict[str, ByLabel] = {}
    rows = []
    least_top1, least_margin = (np.quantile(scores, 1 - PLAIN_COVERAGE) for scores in (plain.top1, plain.margin))
    found = outcomes.values()
    by_metric = {
        FIRST_HIT: [style.hits[1] for style in found],
        "mrr": [style.reciprocal_rank for style in found],
        "ndcg_at_10": [style.ndcg for style in found],
        "accept_top1": [(style.top1 >= least_top1).astype(np.float64) for style in found],
        "accept_margin": [(style.margin >= least_margin).astype(np.float64) for style in found],
    }
    for metric, values in by_metric.items():
        means = np.array([of_style.mean() for of_style in values])
        spread = float(means.std(ddof=1))
        metrics |= {f"{prefix}spread_{metric}": spread, f"{prefix}range_{metric}": float(np.ptp(means))}
        slopes = (means - means.mean()) / ((len(means) - 1) * spread) if spread > 0 else np.zeros(len(means))
        by_label = np.array([label_values(of_style, labels) for of_style in values])
        spreads[f"{prefix}spread_{metric}"] = (spread + slopes @ (by_label - means[:, None])).astype(np.float32)
        rows += [(prefix + metric, style, float(mean)) for style, mean in zip(outcomes, means, strict=True)]
    return Measurement(metrics, spreads, {"styles": pd.DataFrame(rows, columns=["metric", "style", "value"])})

"""What a headline rests on: labels, judgements, or without either the teacher's own ranking.

That a map finds what the teacher finds is not that it finds what is relevant. So whatever is said of a pair without
labels names the teacher: the answer, the report, the summary of an exported map.
"""

from collections.abc import Mapping
from typing import Any

from embalign.pairs.texts import Basis
from embalign.verdicts.metrics import ALIGNMENT, label

BY_TEACHER: Basis = "teacher"
OF_TEACHER = "of the teacher's own top 10"
AGREEMENT = (
    "Relevance: the teacher's own ranking, its ten nearest, since no labels or judgements say what is relevant. What "
    "follows measures agreement with the teacher, not relevance: by labels, the answer to whether a map is worth "
    "having may be the opposite."
)
WITHOUT = (ALIGNMENT, "spearman")  # metrics that ask nobody what is relevant


def basis_of(about: Mapping[str, Any]) -> Basis:
    """Return what says which texts of a pair are relevant, from the provenance of a run."""
    split = about["data"].get("split", {})
    found: Basis = split.get("relevance", "judgements" if split.get("own_queries") else "labels")
    return found


def named(metric: str, basis: str) -> str:
    """Return what a metric is called in a sentence that stands alone.

    >>> named("query_adapter_ndcg_at_10", "labels"), named("query_adapter_ndcg_at_10", "teacher")
    ('query adapter nDCG@10', "query adapter nDCG@10 of the teacher's own top 10")
    """
    return f"{label(metric)} {OF_TEACHER}" if basis == BY_TEACHER and metric not in WITHOUT else label(metric)

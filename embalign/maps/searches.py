"""How what a map makes is searched: by cosine, or by CSLS, which takes from each row what makes it a hub.

CSLS needs the index and a sample of queries. They are queries of all topics alike, those that are asked about too, and
each says nothing of the row that is itself: a sample of other topics would push the rows of these topics aside, none of
which is an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embalign.evaluation.deployment import SearchTask
from embalign.evaluation.hubs import without_hubs
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import search_task_each
from embalign.maps.map import Map
from embalign.pairs import Vectors
from embalign.pairs.holdout import Rows
from embalign.pairs.pair import Pair

SEARCHES = PLAIN, CSLS = "plain", "csls"
MOST_SAMPLED = 2000  # queries


@dataclass(frozen=True, eq=False)
class Sample:
    """Queries by both sides, (S, d) and (S, d'), and the row of the index that each of them is; None: of none."""

    draft: Vectors
    teacher: Vectors
    own: Rows | None


def sample_of(pair: Pair, asking: Rows, index: Rows | None = None) -> Sample:
    """Return at most 2,000 of the texts that ask, at even steps, for an index of some rows or of the whole corpus."""
    rows = even(asking, MOST_SAMPLED)
    if pair.own_queries:
        return Sample(pair.query_draft[rows], pair.query_teacher[rows], None)
    place = np.full(len(pair.items), -1)
    held = np.arange(len(pair.items)) if index is None else index
    place[held] = np.arange(len(held))
    return Sample(pair.draft[rows], pair.teacher[rows], place[rows])


def find(fitted: Map, task: SearchTask, deployment: str, sample: Sample, how: str) -> Search:
    """Return what a task's queries find in a deployment by one of `SEARCHES`."""
    return find_by_each(fitted, task, deployment, sample, [how])[how]


def find_by_each(
    fitted: Map, task: SearchTask, deployment: str, sample: Sample, searches: Sequence[str] = SEARCHES
) -> dict[str, Search]:
    """Return the same by each of some searches; queries and index are mapped once."""
    vectors = fitted.embedded(task, deployment)
    by = {PLAIN: vectors}
    if CSLS in searches:
        by[CSLS] = without_hubs(vectors, fitted.asked(deployment, sample.draft, sample.teacher), sample.own)
    found = search_task_each(task, vectors.queries, [by[how].searched for how in searches])
    return dict(zip(searches, found, strict=True))


def column(deployment: str, how: str, metric: str) -> str:
    """Return the column of a metric in a deployment, by one of `SEARCHES`.

    >>> column("query_adapter", "plain", "ndcg_at_10"), column("query_adapter", "csls", "ndcg_at_10")
    ('query_adapter_ndcg_at_10', 'query_adapter_csls_ndcg_at_10')
    """
    return f"{deployment}_{metric}" if how == PLAIN else f"{deployment}_{how}_{metric}"


def even(rows: Rows, most: int) -> Rows:
    """Return at most so many of the rows, at even steps."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(np.int64))]

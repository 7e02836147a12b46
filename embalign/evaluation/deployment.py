"""The ways a map is used: which vectors ask, and which are searched. Every retrieval number belongs to one of them.

`query_adapter`: a cheap query encoder in front of an index of the teacher's vectors. `index_migration`: the teacher's
queries in an index that was embedded by the draft, moved to the teacher's space without being embedded again.
`draft_only`: both sides mapped; the raw draft does the same without a map.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.relevance import Relevance, Rows
from embalign.pairs import Vectors

if TYPE_CHECKING:
    from embalign.pairs.pair import Pair

Side = Literal["mapped", "teacher"]


@dataclass(frozen=True)
class Deployment:
    """A way to use a map: its name in files, its label in texts, and whose vectors are the queries and the index."""

    name: str
    label: str
    queries: Side
    index: Side


DEPLOYMENTS = {
    deployment.name: deployment
    for deployment in (
        Deployment("query_adapter", "query adapter", "mapped", "teacher"),
        Deployment("index_migration", "index migration", "teacher", "mapped"),
        Deployment("draft_only", "draft only", "mapped", "mapped"),
    )
}
QUERY_ADAPTER, INDEX_MIGRATION, DRAFT_ONLY = DEPLOYMENTS


@dataclass(frozen=True, eq=False)
class Embedded:
    """Queries (Q, d) and index (N, d) in one space."""

    queries: Vectors
    index: Vectors


@dataclass(frozen=True, eq=False)
class SearchTask:
    """Queries and the index that they search, each embedded by draft and teacher, and what is relevant.

    Queries and index may be different texts. Where a query is itself a row of the index, `own` (Q,) names it: it is
    left out of the answers. `mates` are the rows that stand for the query's own text. `held_out` are the rows of the
    index that no map was fitted on, and `groups` (Q,) the label group of each query, which standard errors are over.
    """

    draft: Embedded
    teacher: Embedded
    relevant: Relevance
    own: Rows | None
    mates: Relevance
    held_out: Rows
    groups: NDArray[np.str_]

    @property
    def index_size(self) -> int:
        """Number of rows in the index."""
        return len(self.teacher.index)

    @functools.cached_property
    def alone(self) -> Self:
        """The task with the held-out rows alone as the index."""
        return self.within(self.held_out)

    def within(self, rows: Rows) -> Self:
        """Return the task with only these rows of the index, in this order."""
        size = self.index_size
        place = np.full(size, -1)
        place[rows] = np.arange(len(rows))
        return dataclasses.replace(
            self,
            draft=Embedded(self.draft.queries, self.draft.index[rows]),
            teacher=Embedded(self.teacher.queries, self.teacher.index[rows]),
            relevant=self.relevant.within(rows, size),
            own=None if self.own is None else np.where(self.own >= 0, place[self.own], -1),
            mates=self.mates.within(rows, size),
            held_out=place[self.held_out][place[self.held_out] >= 0],
        )


def task_of(pair: Pair) -> SearchTask:
    """Return what a pair's maps are searched with: held-out items ask, and the whole corpus is the index."""
    test = pair.holdout.test
    # Numbers for texts: an array of strings is as wide as the longest document.
    numbers: dict[str, int] = {}
    texts = np.array([numbers.setdefault(item.text, len(numbers)) for item in pair.items])
    return SearchTask(
        draft=Embedded(pair.draft[test], pair.draft),
        teacher=Embedded(pair.teacher[test], pair.teacher),
        relevant=Relevance.by_label(pair.labels[test], pair.labels),
        own=test,
        mates=Relevance.by_label(texts[test], texts),
        held_out=test,
        groups=pair.labels[test],
    )


def vectors_of(deployment: str, mapped: Embedded, teacher: Embedded) -> Embedded:
    """Return the queries and the index of a deployment, given those that a map makes and the teacher's own."""
    use = DEPLOYMENTS[deployment]
    return Embedded(
        mapped.queries if use.queries == "mapped" else teacher.queries,
        mapped.index if use.index == "mapped" else teacher.index,
    )

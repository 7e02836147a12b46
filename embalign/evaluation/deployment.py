"""The ways a map is used: which vectors ask, and which are searched. Every retrieval number belongs to one of them.

`query_adapter`: a cheap query encoder in front of an index of the teacher's vectors. `index_migration`: the teacher's
queries in an index that was embedded by the draft, moved to the teacher's space without being embedded again.
`draft_only`: both sides mapped; the raw draft does the same without a map.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from embalign.evaluation.relevance import Part, Relevance, Rows
from embalign.lazy import lazy
from embalign.pairs import Vectors
from embalign.pairs.picked import pick

if TYPE_CHECKING:
    from embalign.evaluation.index import Index
    from embalign.evaluation.similarity import pair_ranks
    from embalign.evaluation.streamed import index_of
    from embalign.evaluation.teacher_ranking import teachers_own
    from embalign.pairs.pair import Pair
    from embalign.pairs.queries import Judgements
else:
    index_of = lazy("embalign.evaluation.streamed").index_of  # torch
    pair_ranks = lazy("embalign.evaluation.similarity").pair_ranks  # SciPy's statistics
    teachers_own = lazy("embalign.evaluation.teacher_ranking").teachers_own

Side = Literal["mapped", "teacher"]
MOST_BLOCKS = 100


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

    @functools.cached_property
    def searched(self) -> Index:
        """The index, prepared for all its searches."""
        return index_of(self.index)

    def asked_by(self, queries: Vectors) -> Self:
        """Return other queries (P, d) with the same index, which is prepared only once."""
        other = dataclasses.replace(self, queries=queries)
        vars(other)["searched"] = self.searched
        return other

    def within(self, rows: Rows) -> Self:
        """Return the same queries with some rows of the index, of which the whole is prepared only once."""
        other = dataclasses.replace(self, index=pick(self.index, rows))
        vars(other)["searched"] = self.searched.within(rows)
        return other


@dataclass(frozen=True, eq=False)
class SearchTask:
    """Queries and the index that they search, each embedded by draft and teacher, and what is relevant.

    Queries and index may be different texts. Where a query is itself a row of the index, `own` (Q,) names it: it is
    left out of the answers. `mates` are the rows that stand for the query's own text, None where no query's text is
    among them. `held_out` are the rows of the index that no map was fitted on, and `groups` (Q,) the group of each
    query. With `by_teacher`, relevant is what the teacher itself finds in the index, whatever rows that has.
    """

    draft: Embedded
    teacher: Embedded
    relevant: Relevance
    own: Rows | None
    mates: Relevance | None
    held_out: Rows
    groups: NDArray[np.str_]
    by_teacher: bool = False

    @functools.cached_property
    def blocks(self) -> NDArray[np.str_]:
        """What standard errors are over (Q,): the groups, or where there are more than a hundred, as many sets of them.

        Groups are joined by their hash, whatever they hold, so the spread of sets tells what that of groups does; it is
        known to seven percent, and takes a hundred numbers a cell however many queries ask.
        """
        names = np.unique(self.groups)
        if len(names) <= MOST_BLOCKS:
            return self.groups
        block = {name: f"{_hash(name) % MOST_BLOCKS:02d}" for name in names.tolist()}
        return np.array([block[name] for name in self.groups.tolist()])

    @functools.cached_property
    def teacher_ranks(self) -> NDArray[np.float64]:
        """How similar the teacher finds each two queries, as ranks: what a map's Spearman is held against."""
        return pair_ranks(self.teacher.queries)

    @property
    def index_size(self) -> int:
        """Number of rows in the index."""
        return len(self.teacher.index)

    @functools.cached_property
    def alone(self) -> Self:
        """The task with the held-out rows alone as the index."""
        return self.within(self.held_out)

    @property
    def whole(self) -> Part:
        """What is looked for in the whole index."""
        return Part(None, self.relevant, self.own, self.mates)

    @functools.cached_property
    def alone_part(self) -> Part:
        """What is looked for in the held-out rows alone."""
        return self.part(self.held_out)

    def part(self, rows: Rows) -> Part:
        """Return what is looked for in these rows of the index, in this order."""
        if self.by_teacher:
            ranked = self.within(rows)
            return Part(rows, ranked.relevant, ranked.own, ranked.mates)
        size, place = self.index_size, self._places(rows)
        own = None if self.own is None else np.where(self.own >= 0, place[self.own], -1)
        mates = None if self.mates is None else self.mates.within(rows, size)
        return Part(rows, self.relevant.within(rows, size), own, mates)

    def within(self, rows: Rows) -> Self:
        """Return the task with only these rows of the index, in this order."""
        looked_for = dataclasses.replace(self, by_teacher=False).part(rows)
        held_out = self._places(rows)[self.held_out]
        part = dataclasses.replace(
            self,
            draft=Embedded(self.draft.queries, pick(self.draft.index, rows)),
            teacher=Embedded(self.teacher.queries, pick(self.teacher.index, rows)),
            relevant=looked_for.relevant,
            own=looked_for.own,
            mates=looked_for.mates,
            held_out=held_out[held_out >= 0],
        )
        return part.ranked() if self.by_teacher else part

    def _places(self, rows: Rows) -> Rows:
        """The place of each row of the index among these, -1 for none."""
        place = np.full(self.index_size, -1)
        place[rows] = np.arange(len(rows))
        return place

    def ranked(self) -> Self:
        """Return the task in which relevant is what the teacher finds in this index, without the query's own text."""
        found = teachers_own(self.teacher.queries, self.teacher.searched, self.mates)
        copies = self.mates if self.mates is not None and self.mates.most > 1 else None
        return dataclasses.replace(self, relevant=dataclasses.replace(found, left_out=copies), by_teacher=True)


def task_of(pair: Pair) -> SearchTask:
    """Return what a pair's maps are searched with: held-out queries ask, and the whole corpus is the index."""
    return asked_by(pair, pair.holdout.test)


def asked_by(pair: Pair, queries: Rows, index: Rows | None = None) -> SearchTask:
    """Return the task that these queries ask, ascending rows of those that can.

    The index is the whole corpus, or some rows of it.
    """
    task = _task(pair, queries)
    if index is not None:
        return task.within(index)
    return task.ranked() if task.by_teacher else task


def _task(pair: Pair, queries: Rows) -> SearchTask:
    """The task with the whole corpus as the index, in which nothing is relevant yet where the teacher says what is."""
    held_out, groups = pair.holdout.test_documents, pair.groups[queries]
    by_teacher = pair.relevance == "teacher"
    nothing = Relevance.of_judgements(np.empty(0, np.int64), np.empty(0, np.int64), count=len(queries))
    if pair.own_queries:
        return SearchTask(
            draft=Embedded(pair.query_draft[queries], pair.draft),
            teacher=Embedded(pair.query_teacher[queries], pair.teacher),
            relevant=nothing if pair.judgements is None else judged(pair.judgements, queries),
            own=None,
            mates=None,
            held_out=held_out,
            groups=groups,
            by_teacher=by_teacher,
        )
    texts = _numbered((item.text for item in pair.items), {pair.items[row].text for row in queries.tolist()})
    return SearchTask(
        draft=Embedded(pair.draft[queries], pair.draft),
        teacher=Embedded(pair.teacher[queries], pair.teacher),
        relevant=nothing if by_teacher else Relevance.by_label(groups, pair.labels),
        own=queries,
        mates=Relevance.by_label(texts[queries], texts),
        held_out=held_out,
        groups=groups,
        by_teacher=by_teacher,
    )


def judged(judgements: Judgements, queries: Rows) -> Relevance:
    """Return the relevance of a pair's judgements for some of its queries, ascending rows of them."""
    kept = np.isin(judgements.queries, queries)
    places = np.searchsorted(queries, judgements.queries[kept])
    gains = judgements.gains[kept]
    return Relevance.of_judgements(places, judgements.documents[kept], gains, count=len(queries))


def vectors_of(deployment: str, mapped: Embedded, teacher: Embedded) -> Embedded:
    """Return the queries and the index of a deployment, given those that a map makes and the teacher's own."""
    sides, use = {"mapped": mapped, "teacher": teacher}, DEPLOYMENTS[deployment]
    return sides[use.index].asked_by(sides[use.queries].queries)


def _numbered(texts: Iterable[str], asked: Iterable[str]) -> Rows:
    """Return a number for each text (n,), the same for equal ones; -1 for those that are not asked for."""
    number = {text: place for place, text in enumerate(asked)}
    return np.fromiter((number.get(text, -1) for text in texts), np.int64)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[-4:])

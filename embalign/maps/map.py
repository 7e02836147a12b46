"""A map of any family: what it does to each side's vectors in each deployment."""

from __future__ import annotations

from dataclasses import dataclass, field

from embalign.evaluation.deployment import INDEX_MIGRATION, QUERY_ADAPTER, Embedded, SearchTask
from embalign.maps.transforms import Transform, Unchanged
from embalign.pairs import Vectors

DEPLOYMENTS = (QUERY_ADAPTER, INDEX_MIGRATION)


@dataclass(frozen=True, eq=False)
class Map:
    """What is done to the draft's queries and index, and to the teacher's, so that they can be searched together.

    Most families change the draft's side alone. `query` is what a query adapter does to the draft's queries, `index`
    what a migration does to the draft's index. A family that maps the teacher's side instead, into the draft's space,
    has `teacher_index`, for the index that a query adapter searches, and `teacher_query`, for a migration's queries.

    Of the three deployments these two need a map: where both sides are mapped, the raw draft does the same without.
    """

    query: Transform = field(default_factory=Unchanged)
    index: Transform = field(default_factory=Unchanged)
    teacher_query: Transform = field(default_factory=Unchanged)
    teacher_index: Transform = field(default_factory=Unchanged)

    def sides(self, deployment: str) -> tuple[Transform, Transform]:
        """Return what is done to the queries and to the index of a deployment. Raises ValueError for another."""
        if deployment == QUERY_ADAPTER:
            return self.query, self.teacher_index
        if deployment == INDEX_MIGRATION:
            return self.teacher_query, self.index
        raise ValueError(f"deployment {deployment!r} needs no map: choose one of {', '.join(DEPLOYMENTS)}")

    def asked(self, deployment: str, draft: Vectors, teacher: Vectors) -> Vectors:
        """Return queries as the deployment searches with them, given the vectors (n, d) and (n, d') of both sides."""
        of_queries, _ = self.sides(deployment)
        return of_queries(draft if deployment == QUERY_ADAPTER else teacher)

    def embedded(self, task: SearchTask, deployment: str) -> Embedded:
        """Return a task's queries and index in one space, as the deployment has them."""
        _, of_index = self.sides(deployment)
        held = task.teacher if deployment == QUERY_ADAPTER else task.draft
        queries = self.asked(deployment, task.draft.queries, task.teacher.queries)
        return held.asked_by(queries) if of_index.kind == "unchanged" else Embedded(queries, of_index(held.index))

    def size(self, deployment: str) -> int:
        """Return the bytes of what a deployment has to keep."""
        return sum(array.nbytes for side in self.sides(deployment) for array in side.arrays().values())

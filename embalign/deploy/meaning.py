"""Whether anything can be measured on a pair at all: its vectors mean something, and labels have to do with them."""

import numpy as np

from embalign.alignment.seeds import Stream, generator
from embalign.deploy.quality import over_no_map
from embalign.errors import PairError
from embalign.evaluation import agreement, mantel
from embalign.evaluation.deployment import Embedded, task_of
from embalign.evaluation.scorecard import search_task
from embalign.pairs.pair import Pair
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.sanity import FEWEST_GROUPS, suspect_vectors

NOISE = 64  # dimensions of the vectors whose search is chance


def refuse_meaningless(pair: Pair) -> None:
    """Raise PairError for vectors, or labels of them, that mean nothing: nothing that is measured on them would."""
    facts = agreement.measure(pair.draft, pair.teacher, pair.groups[pair.holdout.test])
    for suspicion in suspect_vectors(facts, mantel.measure_pair(pair)):
        if suspicion.fatal:
            raise PairError(f"{pair.name}: {suspicion.words}")
    if pair.relevance != BY_TEACHER and not _beats_chance(pair):
        raise PairError(
            f"{pair.name}: the teacher's own search is not shown to be better than chance: labels and vectors may have "
            "nothing to do with each other; check them"
        )


def _beats_chance(pair: Pair) -> bool:
    """Whether the teacher finds more than random vectors do; of few groups nothing would be shown of sound labels."""
    task = task_of(pair)
    if len(np.unique(task.groups)) < FEWEST_GROUPS:
        return True
    rng = generator(0, Stream.CHANCE)
    queries, index = (rng.standard_normal((count, NOISE)) for count in (len(task.groups), task.index_size))
    chance = Embedded(queries.astype(np.float32), index.astype(np.float32))
    ceiling = search_task(task, task.teacher)
    bound = over_no_map(ceiling, search_task(task, chance), task).lower_bound
    return bound is None or bound > 0 or not np.nansum(ceiling.ndcg) > 0  # which is an error of its own

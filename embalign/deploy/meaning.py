"""Whether anything can be measured on a pair at all: its vectors mean something, and labels have to do with them."""

import numpy as np

from embalign.deploy.quality import over_no_map
from embalign.errors import PairError
from embalign.evaluation import agreement, mantel
from embalign.evaluation.chance import random_vectors
from embalign.evaluation.deployment import task_of
from embalign.evaluation.scorecard import search_task
from embalign.pairs.pair import Pair
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.sanity import FEWEST_GROUPS, suspect_vectors


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
    ceiling, chance = search_task(task, task.teacher), search_task(task, random_vectors(task, 0))
    bound = over_no_map(ceiling, chance, task).lower_bound
    return bound is None or bound > 0 or not np.nansum(ceiling.ndcg) > 0  # which is an error of its own

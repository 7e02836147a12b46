"""A search by chance: random vectors in place of those of texts."""

import numpy as np

from embalign.alignment.seeds import Stream, generator
from embalign.evaluation.deployment import Embedded, SearchTask

NOISE = 64  # dimensions


def random_vectors(task: SearchTask, seed: int) -> Embedded:
    """Return a seed's random queries (Q, 64) and index (N, 64), as many as a task has."""
    rng = generator(seed, Stream.CHANCE)
    queries, index = (
        rng.standard_normal((count, NOISE)).astype(np.float32) for count in (len(task.groups), task.index_size)
    )
    return Embedded(queries, index)

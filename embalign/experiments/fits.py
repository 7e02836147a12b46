"""What both experiments share of a cell: the seed's pool, and the scores of a map on the held-out test set."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from embalign.alignment.closed_form import mean_vector
from embalign.alignment.selection import Rows, draw_pool
from embalign.alignment.training import apply_map
from embalign.evaluation import scorecard
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Row


@functools.lru_cache(maxsize=32)
def pool_of(pair: Pair, seed: int) -> Rows:
    """Return the rows of a seed's training pool."""
    return draw_pool(pair.holdout.train, seed)


def score_map(pair: Pair, weights: Vectors, seed: int) -> Row:
    """Return every metric of the map W (d_teacher, d_draft) on the test set."""
    return score_mapped(pair, apply_map(weights, pair.draft[pair.holdout.test]), seed)


def score_mapped(pair: Pair, mapped: Vectors, seed: int) -> Row:
    """Return every metric of the mapped test items (n, d_teacher); skill is measured from the pool's mean vector."""
    test = pair.holdout.test
    constant = mean_vector(pair.teacher[pool_of(pair, seed)])
    return dict(scorecard.score(mapped, pair.teacher[test], pair.labels[test], constant))

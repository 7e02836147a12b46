"""Independent random streams of one seed: a change in one draw never shifts another.

The same seed faces every ratio, policy and arm: common random numbers, which make differences between them sharp.
"""

import enum

import numpy as np


class Stream(enum.IntEnum):
    """What a stream draws; the numbers are part of every result and must not change."""

    POOL = 0
    INITIAL_MAP = 1
    BATCHES = 2
    SIGNED_PERMUTATION = 3
    RANDOM_ORDER = 4
    CHANCE = 5
    PERMUTED_TEACHERS = 6
    INDEX_ORDER = 7
    FACILITY_SAMPLES = 8
    SIMILARITY_PAIRS = 9
    ANCHORS = 10


def generator(seed: int, stream: Stream) -> np.random.Generator:
    """Return the generator of a seed's stream."""
    return np.random.default_rng([seed, stream])

"""The held-out test set of a pair: whole label groups, chosen by the hash of the label."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.errors import CorpusError
from embalign.pairs.near_duplicates import near_duplicates

TEST_FRACTION = 0.2


@dataclass(frozen=True)
class Holdout:
    """Row numbers of the training items, the test items, and the test items excluded as near-duplicates."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    near_duplicates: NDArray[np.int64]


def held_out_labels(labels: Sequence[str], fraction: float = TEST_FRACTION) -> set[str]:
    """Return the labels of the test set: whole groups in the order of their SHA-256, up to `fraction` of the items.

    The order depends only on the label, so adding or removing other groups moves few items across the split, and all
    pairs over one corpus share the test items.
    """
    sizes = Counter(labels)
    order = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest())
    taken = itertools.accumulate((sizes[label] for label in order), initial=0)
    return {label for label, before in zip(order, taken, strict=False) if before < fraction * len(labels)}


def check_labels(labels: Sequence[str], fraction: float = TEST_FRACTION) -> set[str]:
    """Return the labels of the test set. Raises CorpusError for labels that no experiment can use."""
    test = held_out_labels(labels, fraction)
    if not 0 < len(test) < len(sizes := Counter(labels)):
        raise CorpusError(
            f"{len(sizes)} label group(s) over {len(labels)} items cannot be split into training and test: "
            "use at least two labels"
        )
    if max(sizes[label] for label in test) < 2:
        raise CorpusError(
            f"none of the {len(test)} held-out label groups has a second item, so no query has a relevant item: give "
            "texts that should retrieve each other the same label, in groups of five or more"
        )
    return test


def split_holdout(texts: Sequence[str], labels: Sequence[str], fraction: float = TEST_FRACTION) -> Holdout:
    """Return the fixed split of the items into training pool and test set.

    Test items whose words overlap with those of a training item at a Jaccard index of 0.8 or more are excluded from
    both: on them a map would be measured on what it memorised.
    """
    test_labels = check_labels(labels, fraction)
    in_test = np.array([label in test_labels for label in labels], dtype=bool)
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    near = near_duplicates([texts[i] for i in test.tolist()], [texts[i] for i in train.tolist()])
    return Holdout(train=train, test=test[~near], near_duplicates=test[near])

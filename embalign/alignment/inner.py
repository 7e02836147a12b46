"""The inner split: what a recipe is chosen on, inside the items it may be fitted on.

A user who has only these items cannot choose by the test set, and would hold some of them out: here whole label groups,
since held-out queries are of other groups too. Choosing on single items prefers too little regularisation.
"""

from typing import NamedTuple

import numpy as np

from embalign.pairs.holdout import Names, Rows, held_out_of


class Inner(NamedTuple):
    """Rows to fit on and rows to check on."""

    fit: Rows
    check: Rows


def inner_split(groups: Names) -> Inner | None:
    """Return a split of items (n,) that holds out a fifth, whole groups in the order of their names' SHA-256.

    Items of a single group are split one by one, every fifth is held out. None for fewer than two items.

    >>> inner_split(np.array(["a", "a", "b", "b"]))
    Inner(fit=array([0, 1]), check=array([2, 3]))
    """
    if len(groups) < 2:
        return None
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    held_out = held_out_of(dict(zip(names.tolist(), sizes.tolist(), strict=True)))
    checks = np.isin(names, sorted(held_out))[group]
    if checks.all():
        checks = np.arange(len(groups)) % 5 == 0
    return Inner(np.flatnonzero(~checks), np.flatnonzero(checks))

"""The inner split: what a recipe is chosen on, inside the items it may be fitted on.

A user who has only these items cannot choose by the test set, and would hold some of them out: here whole label groups,
since held-out queries are of other groups too. Choosing on single items prefers too little regularisation.
"""

from typing import NamedTuple

import numpy as np

from embalign.pairs.holdout import Names, Rows, groups_within
from embalign.pairs.names import numbered


class Inner(NamedTuple):
    """Rows to fit on and rows to check on."""

    fit: Rows
    check: Rows


def inner_split(groups: Names) -> Inner | None:
    """Return a split of items (n,) that holds out at most a fifth: whole groups in the order of their names' SHA-256.

    Where no group is as small as that it is the smallest one, and of a single group every fifth item. None for fewer
    than two items.

    >>> inner_split(np.array(["a", "a", "b", "b", "b"]))
    Inner(fit=array([2, 3, 4]), check=array([0, 1]))
    """
    if len(groups) < 2:
        return None
    names, group = numbered(groups)
    if len(names) == 1:
        checks = np.arange(len(groups)) % 5 == 0
    else:
        sizes = dict(zip(names, np.bincount(group).tolist(), strict=True))
        held_out = groups_within(sizes, len(groups) // 5) or {min(sizes, key=lambda name: (sizes[name], name))}
        checks = np.array([name in held_out for name in names])[group]
    return Inner(np.flatnonzero(~checks), np.flatnonzero(checks))

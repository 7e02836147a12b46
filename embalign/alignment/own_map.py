"""A map of one's own: a function that fits one, called on copies, and what it returns checked."""

from collections.abc import Callable
from typing import Any

import numpy as np

from embalign.alignment.arguments import array, described, name_of, takes
from embalign.errors import MapError
from embalign.pairs import Vectors
from embalign.pairs.holdout import Names

Fitter = Callable[[Vectors, Vectors, Names, int], Any]


def fit_own(function: Fitter, draft: Vectors, teacher: Vectors, groups: Names, seed: int) -> Vectors:
    """Return the map W (d_teacher, d_draft) that a function fits on draft (n, d_draft) and teacher (n, d_teacher).

    The function takes these, the items' label groups (n,) and a seed, and returns W: mapped = draft @ W.T. Raises
    MapError for anything else that it returns.
    """
    if not takes(function, 4):
        raise MapError(
            f"map {name_of(function)} must take four arguments: draft and teacher vectors, label groups and a seed"
        )
    found = array(function(draft.copy(), teacher.copy(), groups.copy(), seed), "the map")
    shape = (teacher.shape[1], draft.shape[1])
    if found.shape != shape or found.dtype.kind != "f":
        hint = "; it is transposed: return W.T" if found.shape == shape[::-1] else ""
        raise MapError(
            f"map {name_of(function)} returned {described(found)}, and floats of shape {shape} are needed, one row a "
            f"teacher dimension, so that mapped = draft @ W.T{hint}"
        )
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(found, dtype=np.float32)
    if not np.isfinite(weights).all():
        raise MapError(f"map {name_of(function)} returned NaN or infinite values; a penalty on W often helps")
    return weights

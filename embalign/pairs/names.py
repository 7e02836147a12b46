"""The names of groups, one a row: many rows have few names, and an array of strings is as wide as the longest.

Each name is held once, a number stands for it in its rows, or the array is a mapped file.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from embalign.pairs.picked import MANY
from embalign.pairs.stored_arrays import written

Names = NDArray[np.str_]
Name = TypeVar("Name", bound=Hashable)
BLOCK = 2**16  # rows whose names are strings at once


def listed(names: Names) -> list[str]:
    """Return the names (n,) as a list that holds each different one once."""
    known: dict[str, str] = {}
    return [known.setdefault(name, name) for name in _each(names)]


def numbered(names: Iterable[Name]) -> tuple[list[Name], NDArray[np.int64]]:
    """Return the different names in the order of their first rows, and which of them each row has (n,).

    >>> numbered(["b", "a", "b"])
    (['b', 'a'], array([0, 1, 0]))
    """
    number: dict[Name, int] = {}
    each = cast("Iterable[Name]", _each(names)) if isinstance(names, np.ndarray) else names
    rows = np.fromiter((number.setdefault(name, len(number)) for name in each), np.int64)
    return list(number), rows


def stored_names(names: Iterable[str]) -> Names:
    """Return the names as an array of strings (n,): of more than 65,536 rows it is mapped, a temporary file.

    Where no such file can be written it is held.
    """
    different, rows = numbered(names)
    return some_names(np.array(different), rows)


def some_names(names: Names, rows: NDArray[np.int64]) -> Names:
    """Return `names[rows]` (n,), of more than 65,536 rows as :func:`stored_names` does."""
    if len(rows) <= MANY:
        return names[rows]
    blocks = (names[rows[start : start + BLOCK]] for start in range(0, len(rows), BLOCK))
    try:
        return written(blocks, names.dtype, rows.shape)
    except OSError:
        return names[rows]


def _each(names: Names) -> Iterator[str]:
    for start in range(0, len(names), BLOCK):
        yield from names[start : start + BLOCK].tolist()

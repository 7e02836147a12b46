"""Vectors that are too many to copy: they stay in a mapped file, and rows of them are read when they are used.

:func:`pick` stands where `vectors[rows]` would. Of an array it is that. Of a mapped file, or of what was picked from
one, it is a :class:`Picked`, which has the length, shape and type of the array that it stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from embalign.pairs import Vectors

MANY = 2**16  # rows; files with more are mapped
BLOCK = 2**14  # rows that are read at once


class Picked:
    """Rows (n, d) of a mapped array (N, D), read when they are asked for.

    With `columns` (d,) it is these columns alone, scaled to length 1.
    """

    dtype, ndim = np.dtype(np.float32), 2

    def __init__(self, base: Vectors, rows: NDArray[np.int64], columns: NDArray[np.int64] | None = None) -> None:
        self.base, self.rows, self.columns = base, rows, columns

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self.rows), self.base.shape[1] if self.columns is None else len(self.columns)

    def __getitem__(self, rows: Any) -> Vectors:
        """Return some rows, given by a slice or by numbers, as an array."""
        found: Vectors = self.base[self.rows[rows]]
        return found if self.columns is None else unit(found[..., self.columns])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows as an array. ValueError where `copy` forbids one."""
        if copy is False:
            raise ValueError("rows of a mapped file cannot be an array without a copy")
        return np.asarray(self[:], dtype)

    def pick(self, rows: NDArray[np.int64]) -> Self:
        """Return some of the rows, not read yet."""
        return type(self)(self.base, self.rows[rows], self.columns)

    def along(self, columns: NDArray[np.int64]) -> Self:
        """Return the same rows in some columns alone, at length 1."""
        return type(self)(self.base, self.rows, columns)


def is_mapped(vectors: Any) -> bool:
    """Return whether vectors are too many to copy: those of a mapped file, or what stands for some of its rows."""
    return isinstance(vectors, np.memmap) or not isinstance(vectors, np.ndarray)


def pick(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Return `vectors[rows]` (n, d); of vectors that are mapped, what stands for that and is read when used."""
    if isinstance(vectors, np.memmap):
        return cast("Vectors", Picked(vectors, np.asarray(rows)))
    if isinstance(vectors, np.ndarray):
        return vectors[rows]
    return cast("Vectors", vectors.pick(rows))


def blocks(vectors: Vectors) -> Iterator[Vectors]:
    """Yield vectors (n, d) block by block if they are mapped, and otherwise all at once."""
    if not is_mapped(vectors):
        yield vectors
        return
    for start in range(0, len(vectors), BLOCK):
        yield vectors[start : start + BLOCK]


def unit(vectors: Vectors) -> Vectors:
    """Return vectors (n, d) at length 1; zero vectors stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)

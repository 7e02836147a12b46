"""A search of an index that stays in a mapped file: read block by block, and mapped by W as it is read.

Similarities to rows W x are those of a query's W^T q to x, over the length of W x: so a mapped index is never held.
They are float32, as those of an :class:`~embalign.evaluation.index.Index` are, and may differ from them by rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.gemm import use_fast_gemm
from embalign.alignment.training import apply_map
from embalign.evaluation.index import Index, unit
from embalign.evaluation.ties import Embeddings
from embalign.pairs import Vectors
from embalign.pairs.picked import is_mapped, pick

BLOCK = 2**13  # rows that are read at once


class Mapped:
    """The vectors (n, d_teacher) that a map W (d_teacher, d_draft) makes of `source`, made when they are asked for."""

    dtype, ndim = np.dtype(np.float32), 2

    def __init__(self, weights: Vectors, source: Vectors) -> None:
        self.weights, self.source = weights, source

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.source)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return len(self.source), len(self.weights)

    def __getitem__(self, rows: Any) -> Vectors:
        """Return some rows, given by a slice or by numbers, as an array."""
        return apply_map(self.weights, self.source[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return all rows as an array. ValueError where `copy` forbids one."""
        if copy is False:
            raise ValueError("mapped vectors cannot be an array without a copy")
        return np.asarray(self[:], dtype)

    def pick(self, rows: NDArray[np.int64]) -> Self:
        """Return some of the rows, not made yet."""
        return type(self)(self.weights, pick(self.source, rows))


def map_rows(weights: Vectors, vectors: Vectors) -> Vectors:
    """Return the vectors (n, d_teacher) that the map W makes; those of a mapped file are made when they are used."""
    return cast("Vectors", Mapped(weights, vectors)) if is_mapped(vectors) else apply_map(weights, vectors)


def index_of(vectors: Vectors) -> Index:
    """Return the index of vectors (N, d): over a mapped file one that is read block by block."""
    return StreamedIndex(vectors) if is_mapped(vectors) else Index(vectors)


class StreamedIndex(Index):
    """The index of vectors (N, d) in a mapped file, or of what a map makes of them; holds N lengths."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.penalty: NDArray[np.float32] | None = None

    @property
    def _source(self) -> tuple[Vectors | None, Vectors]:
        held: Any = self.vectors
        return (held.weights, held.source) if isinstance(held, Mapped) else (None, held)

    def unit(self, dtype: np.dtype[Any]) -> Tensor:
        """Return all vectors as unit vectors, for those that cannot do with similarities."""
        return unit(np.asarray(self.vectors, dtype))

    def cosines(self, queries: Embeddings) -> Tensor:
        """Return the cosines (Q, N) of queries (Q, d)."""
        weights, _ = self._source
        left = unit(np.asarray(queries, np.float32))
        if weights is not None:
            left = left @ torch.from_numpy(weights)
        found = torch.empty((len(left), len(self.vectors)))
        for rows, block in self._blocks():
            torch.mm(left, block.T, out=found[:, rows])
        found *= self._inverse_lengths
        return found

    @functools.cached_property
    def is_finite(self) -> bool:
        """Whether no length is infinite: the values of the file were checked when it was loaded."""
        return bool(torch.isfinite(self._inverse_lengths).all())

    @functools.cached_property
    def _inverse_lengths(self) -> Tensor:
        use_fast_gemm()
        weights, _ = self._source
        across = None if weights is None else torch.from_numpy(weights).T
        lengths = torch.cat(
            [
                torch.linalg.vector_norm(block if across is None else block @ across, dim=1)
                for _, block in self._blocks()
            ]
        )
        return torch.where(lengths > 0, 1 / lengths, torch.zeros(()))

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        _, source = self._source
        for start in range(0, len(source), BLOCK):
            rows = slice(start, min(start + BLOCK, len(source)))
            yield rows, torch.from_numpy(np.asarray(source[rows]))

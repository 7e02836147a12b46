"""A search of what a map makes of an index, and of an index that stays in a mapped file: read block by block.

Similarities to rows W x are those of a query's W^T q to x, over the length of W x: so a mapped index is never held, and
a search is in the draft's dimensions. The length is that of R x, where W = Q R and R is triangular: fewer products than
W x takes. Similarities are float32, as those of an :class:`~embalign.evaluation.index.Index` are, and may differ from
them by rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.device import CPU, chosen
from embalign.alignment.gemm import use_fast_gemm
from embalign.alignment.memory import fits, moved, resident
from embalign.alignment.training import apply_map
from embalign.evaluation.index import Index, unit
from embalign.evaluation.relevance import Rows
from embalign.evaluation.ties import Embeddings
from embalign.pairs import Vectors
from embalign.pairs.freed import give_back
from embalign.pairs.picked import MANY, is_mapped, pick
from embalign.pairs.stored_arrays import stored

BLOCK, ON_GPU = 2**13, 2**17  # rows that are read, or used, at once
BANDS = 8  # of rows of R, each without the columns that are zero in all of them


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
    """Return the vectors (n, d_teacher) that the map W makes, as what is made when it is used.

    Vectors of an array that have more dimensions than the teacher's are mapped at once, since a search is faster then.
    """
    wider = weights.shape[1] > weights.shape[0]
    return (
        apply_map(weights, vectors) if wider and not is_mapped(vectors) else cast("Vectors", Mapped(weights, vectors))
    )


def index_of(vectors: Vectors) -> Index:
    """Return the index of vectors (N, d): of mapped ones, or over a mapped file, one that is read block by block."""
    return StreamedIndex(vectors) if is_mapped(vectors) else Index(vectors)


class StreamedIndex(Index):
    """The index of vectors (N, d) in a mapped file, or of what a map makes of vectors.

    It holds N lengths, of more than 65,536 in a temporary file.
    """

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.penalty: NDArray[np.float32] | None = None

    @property
    def _source(self) -> Vectors:
        held: Any = self.vectors
        return held.source if isinstance(held, Mapped) else held

    @functools.cached_property
    def _weights(self) -> Tensor | None:
        """W at a scale whose squares float32 can hold: cosines do not depend on it."""
        held: Any = self.vectors
        if not isinstance(held, Mapped):
            return None
        weights = moved(held.weights)
        largest = weights.abs().max()
        return weights / largest if largest > 0 else weights

    def within(self, rows: Rows) -> Self:
        """Return the index of some of its rows; lengths are computed once for all."""
        other = self._part(rows)
        vars(other)["_inverse_lengths"] = self._inverse_lengths[torch.from_numpy(rows)]
        return other

    def unit(self, dtype: np.dtype[Any]) -> Tensor:
        """Return all vectors as unit vectors, for those that cannot do with similarities."""
        return unit(np.asarray(self.vectors, dtype))

    def cosines(self, queries: Embeddings) -> Tensor:
        """Return the cosines (Q, N) of queries (Q, d)."""
        left = unit(np.asarray(queries, np.float32))
        if self._weights is not None:
            left = left @ self._weights.to(left.device)
        found = left.new_empty((len(left), len(self.vectors)))
        for rows, block in self._blocks():
            torch.mm(left, block.T, out=found[:, rows])
        found *= self._inverse_lengths.to(found.device)
        return found

    @functools.cached_property
    def is_finite(self) -> bool:
        """Whether every length is a number: what is longer than float32 can say, or holds NaN, has none."""
        return bool(torch.isfinite(self._inverse_lengths).all())

    @functools.cached_property
    def _inverse_lengths(self) -> Tensor:
        use_fast_gemm()
        bands = None if self._weights is None else _bands(self._weights.to(chosen()))
        lengths = torch.cat(
            [
                torch.linalg.vector_norm(block, dim=1) if bands is None else _lengths(block, bands)
                for _, block in self._blocks()
            ]
        )
        inverse = torch.where(lengths == 0, 0.0, 1 / lengths)
        inverse = torch.where(torch.isfinite(lengths), inverse, torch.nan)
        if len(lengths) <= MANY:
            return inverse
        held = moved(stored(inverse.cpu().numpy()))
        del lengths, inverse
        give_back()
        return held

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        source, device = self._source, chosen()
        held = None
        if device != CPU and isinstance(source, np.ndarray) and fits(source, device):
            held = resident(source, device)
        size = BLOCK if held is None else ON_GPU
        for start in range(0, len(source), size):
            rows = slice(start, min(start + size, len(source)))
            yield rows, moved(np.asarray(source[rows])) if held is None else held[rows]


def _bands(weights: Tensor) -> list[Tensor]:
    """The transposed bands of rows of R, where W = Q R, each from its first column that is not zero."""
    if weights.is_cuda:  # all products take less time there than the decomposition
        return [weights.T]
    upper = torch.linalg.qr(weights, mode="r").R
    size = -(-len(upper) // BANDS)
    return [upper[start : start + size, start:].T.contiguous() for start in range(0, len(upper), size)]


def _lengths(block: Tensor, bands: list[Tensor]) -> Tensor:
    """The lengths of R x for each x of a block (n, d)."""
    parts = [torch.linalg.vector_norm(block[:, -len(band) :] @ band, dim=1) for band in bands]
    found: Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
    return found

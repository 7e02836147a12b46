"""What is searched: vectors that are checked and made unit vectors once."""

import copy
import functools
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.alignment.device import chosen
from embalign.alignment.memory import moved
from embalign.evaluation.relevance import Relevance, Rows
from embalign.evaluation.ties import Embeddings
from embalign.pairs.picked import pick

SHORTEST, LONGEST = 1e-15, 1e15  # lengths whose squares are far from the ends of float32's range


class Index:
    """Vectors (N, d) to search, of any length: checked and made unit vectors once, for any number of searches.

    A `penalty` (N,) is taken from every similarity to a row.
    """

    def __init__(self, vectors: Embeddings, penalty: NDArray[np.float32] | None = None) -> None:
        self.vectors = np.asarray(vectors)
        self.penalty = penalty
        self._unit: dict[tuple[np.dtype[Any], str], Tensor] = {}

    def penalised(self, penalty: NDArray[np.float32]) -> Self:
        """Return the same vectors with a penalty (N,); they are made unit vectors once for both."""
        other = copy.copy(self)
        other.penalty = penalty
        return other

    def within(self, rows: Rows) -> Self:
        """Return the index of some of its rows."""
        other = self._part(rows)
        other._unit = {key: vectors[torch.from_numpy(rows)] for key, vectors in self._unit.items()}
        return other

    def _part(self, rows: Rows) -> Self:
        """The same with the vectors and penalties of some rows, and whatever else of all."""
        other = copy.copy(self)
        other.vectors = pick(self.vectors, rows)
        other.penalty = None if self.penalty is None else self.penalty[rows]
        return other

    def unit(self, dtype: np.dtype[Any]) -> Tensor:
        """Return the vectors as unit vectors of float32 or float64, on the chosen device."""
        key = dtype, chosen()
        if key not in self._unit:
            self._unit[key] = unit(self.vectors.astype(dtype, copy=False))
        return self._unit[key]

    def similarity(self, queries: Embeddings) -> Tensor:
        """Return the cosines (Q, N) of queries (Q, d) in float32 or float64, less the penalty of each row."""
        return self.less_penalty(self.cosines(queries))

    def cosines(self, queries: Embeddings) -> Tensor:
        """Return the cosines (Q, N) of queries (Q, d) in float32 or float64."""
        return unit(queries) @ self.unit(queries.dtype).T

    def less_penalty(self, cosines: Tensor, *, keep: bool = False, rows: Rows | None = None) -> Tensor:
        """Return cosines (Q, N) less the penalty of each row: others with `keep`, which leaves them as they are.

        With `rows` they are those of these rows of the index alone.
        """
        if rows is not None:
            some, of_rows = cosines.index_select(1, moved(rows)), None if self.penalty is None else self.penalty[rows]
            return some if of_rows is None else some.sub_(moved(of_rows))
        if self.penalty is None:
            return cosines.clone() if keep else cosines
        penalty = moved(self.penalty)
        return cosines - penalty if keep else cosines.sub_(penalty)

    @functools.cached_property
    def is_finite(self) -> bool:
        """Whether no value is NaN or infinite."""
        return bool(np.isfinite(self.vectors).all())


def unit(vectors: Embeddings) -> Tensor:
    """Return vectors (n, d) as unit vectors on the chosen device; zero vectors stay zero."""
    x: Tensor = moved(np.ascontiguousarray(vectors))
    lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if len(x) and lengths.min() > SHORTEST and lengths.max() < LONGEST:
        return torch.div(x, lengths)
    # The squares of very long or short vectors would leave float32's range.
    tiny = torch.finfo(x.dtype).tiny
    x = x / torch.linalg.vector_norm(x, ord=torch.inf, dim=1, keepdim=True).clamp_min(tiny)
    x /= torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp_min(tiny)
    return x


def hide(similarity: Tensor, left_out: Relevance, queries: slice) -> None:
    """Put the rows that are left out for some queries below all others, in place."""
    rows, there, _ = left_out.padded(queries)
    query, column = np.nonzero(there)
    similarity[query, rows[query, column]] = -torch.inf

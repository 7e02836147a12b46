"""The highest similarities of each query: what a search ranks, without sorting the rest."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.evaluation.relevance import Rows
from embalign.evaluation.ties import Embeddings

GROUPED = 16  # similarities of which the highest stands for all
FEW = 1024  # columns below which nothing is gained
MOST_EACH = 8  # candidates of a row for each place: more are ties


def highest(similarity: Tensor, count: int) -> tuple[Embeddings, Rows]:
    """Return the `count` highest of each row (Q, N) in descending order and their columns, (Q, min(count, N)) each.

    Of equal ones any may come first. On the CPU torch's own top-k takes twice the time: the highest of each sixteenth
    of a row are compared first, and the `count`-th of them is the least that counts.
    """
    width = similarity.shape[1]
    count = min(count, width)
    if similarity.is_cuda or width < max(FEW, GROUPED * count) or similarity.stride(1) != 1:
        return _by_torch(similarity, count)
    values = similarity.numpy()
    reached = values >= _least(similarity, count)[:, None]
    if np.count_nonzero(reached) > MOST_EACH * count * len(values):
        return _by_torch(similarity, count)
    row, column = np.divmod(np.flatnonzero(reached), width)
    tied = np.bincount(row, minlength=len(values)) > MOST_EACH * count
    kept = ~tied[row]  # the room of all rows is as wide as that of the widest
    top, columns = _ordered(values, row[kept], column[kept], count)
    if tied.any():
        top[tied], columns[tied] = _by_torch(similarity[torch.from_numpy(tied)], count)
    return top, columns


def _by_torch(similarity: Tensor, count: int) -> tuple[Embeddings, Rows]:
    top, columns = (part.cpu().numpy() for part in torch.topk(similarity, count, dim=1))
    return top, columns


def _least(similarity: Tensor, count: int) -> NDArray[np.floating]:
    """A bound (Q,) that at least `count` similarities of each row reach, and hardly more."""
    rows, columns = similarity.shape
    groups = columns // GROUPED
    grouped = similarity.as_strided((rows, GROUPED, groups), (similarity.stride(0), groups, 1))
    return np.asarray(np.partition(grouped.amax(1).numpy(), groups - count, axis=1)[:, groups - count])


def _ordered(values: Embeddings, row: Rows, column: Rows, count: int) -> tuple[Embeddings, Rows]:
    """The highest of each row's candidates, which are given row by row."""
    many = np.bincount(row, minlength=len(values))
    place = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    found = np.full((len(values), max(count, many.max(initial=0))), -np.inf, values.dtype)
    columns = np.zeros(found.shape, np.int64)
    found[row, place], columns[row, place] = values[row, column], column
    order = np.argsort(-found, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(columns, order, axis=1)

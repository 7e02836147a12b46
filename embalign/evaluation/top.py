"""The highest similarities of each query: what a search ranks, without sorting the rest."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from embalign.evaluation.relevance import Rows
from embalign.evaluation.ties import Embeddings

GROUPED = 16  # similarities of which the highest stands for all
FEW = 1024  # columns below which nothing is gained
MOST_EACH = 8  # candidates for each place: more are ties


def highest(similarity: Tensor, count: int) -> tuple[Embeddings, Rows]:
    """Return the `count` highest of each row (Q, N) in descending order and their columns, (Q, min(count, N)) each.

    Of equal ones any may come first. On the CPU torch's own top-k takes twice the time: the highest of each sixteenth
    of a row are compared first, and the `count`-th of them is the least that counts.
    """
    count = min(count, similarity.shape[1])
    if not similarity.is_cuda and similarity.shape[1] >= FEW:
        values = similarity.numpy()
        candidates = np.flatnonzero(values >= _least(similarity, count)[:, None])
        if len(candidates) <= MOST_EACH * count * len(values):
            return _ordered(values, candidates, count)
    top, columns = (part.cpu().numpy() for part in torch.topk(similarity, count, dim=1))
    return top, columns


def _least(similarity: Tensor, count: int) -> NDArray[np.floating]:
    """A bound (Q,) that at least `count` similarities of each row reach, and hardly more."""
    rows, columns = similarity.shape
    groups = columns // GROUPED
    grouped = similarity.as_strided((rows, GROUPED, groups), (similarity.stride(0), groups, similarity.stride(1)))
    return np.asarray(np.partition(grouped.amax(1).numpy(), groups - count, axis=1)[:, groups - count])


def _ordered(values: Embeddings, candidates: NDArray[np.int64], count: int) -> tuple[Embeddings, Rows]:
    row, column = np.divmod(candidates, values.shape[1])
    many = np.bincount(row, minlength=len(values))
    place = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    found = np.full((len(values), many.max()), -np.inf, values.dtype)
    columns = np.zeros(found.shape, np.int64)
    found[row, place], columns[row, place] = values[row, column], column
    order = np.argsort(-found, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(columns, order, axis=1)

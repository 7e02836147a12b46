"""Relevance without labels: what the teacher itself finds for a query, the ten nearest rows of the index."""

import numpy as np
import torch
from numpy.typing import NDArray

from embalign.alignment.gemm import use_fast_gemm
from embalign.evaluation.index import Index, hide
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.ties import DEPTH, TIED
from embalign.pairs import Vectors

BLOCK = 2**24  # similarities that are held at once
MOST_TIED = 100  # rows of a query that may be relevant, where many share the tenth place
GAINS = np.arange(DEPTH, 0, -1) / DEPTH  # of the first place to the tenth


def teachers_own(queries: Vectors, index: Index, left_out: Relevance | None = None) -> Relevance:
    """Return the teacher's ten nearest rows of an index (N, d) for each of its queries (Q, d), with gains.

    Of an index with fewer rows it is all. `left_out` are the rows that stand for the query's own text: neither they nor
    their copies are answers.

    Gains fall evenly from 1 for the teacher's first to 0.1 for its tenth. So nDCG@10 is 1 for the teacher itself alone,
    and what it finds first matters most. On the shipped pairs that orders maps as labels and judgements do, a little
    more than equal gains would (docs/calibration/label-free.md). Rows within a
    tie share the gains of their places, so nothing depends on the order of the rows; of more than a hundred that share
    the tenth place only so many are looked at.
    """
    use_fast_gemm()
    size = len(index.vectors)
    places, rows, gains = [], [], []
    step = max(1, BLOCK // size)
    for start in range(0, len(queries), step):
        asked = slice(start, start + step)
        similarity = index.similarity(queries[asked].astype(np.float32, copy=False))
        if left_out is not None:
            hide(similarity, left_out, asked)
        top, found = (part.cpu().numpy() for part in torch.topk(similarity, min(MOST_TIED, size), dim=1))
        own = _gains(top)
        query, column = np.nonzero(own)
        places.append(start + query)
        rows.append(found[query, column])
        gains.append(own[query, column])
    asking, answers, values = (np.concatenate(part) for part in (places, rows, gains))
    return Relevance.of_judgements(asking, answers, values, count=len(queries))


def _gains(top: NDArray[np.float32]) -> NDArray[np.float64]:
    """Gains of rankings (Q, K) by their similarities, which fall; -inf marks what is no answer."""
    gains = np.zeros(top.shape)
    depth = min(DEPTH, top.shape[1])
    gains[:, :depth] = GAINS[:depth]
    gains[np.isinf(top)] = 0
    tie = TIED * np.finfo(np.float32).eps
    with np.errstate(invalid="ignore"):  # of two that are no answers
        close = (top[:, :depth] - top[:, 1 : depth + 1] <= tie) if top.shape[1] > depth else -np.diff(top) <= tie
    for q in np.flatnonzero(close.any(axis=1)):
        values = top[q][np.isfinite(top[q])]
        first = (values > values[:, None] + tie).sum(axis=1)
        last = (values >= values[:, None] - tie).sum(axis=1)
        cumulated = np.append(0.0, np.cumsum(gains[q]))
        gains[q, : len(values)] = (cumulated[last] - cumulated[first]) / (last - first)
    return gains

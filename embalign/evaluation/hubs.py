"""Cross-domain similarity local scaling, CSLS: a search that takes from each row of the index what makes it a hub.

A row is ranked by 2 cos(q, y) - r(q) - r(y), where r is the mean cosine to the ten nearest of the other side (Conneau
et al. 2018). r(q) moves all rows of a query alike, so ranks need only the index and a sample of queries: from each
similarity, half of r(y) is taken.
"""

import numpy as np
import torch

from embalign.alignment.gemm import use_fast_gemm
from embalign.evaluation.deployment import Embedded
from embalign.evaluation.index import Index, unit
from embalign.evaluation.relevance import Rows
from embalign.pairs import Vectors

NEIGHBOURS = 10
BLOCK = 2**22  # similarities that are held at once


def without_hubs(vectors: Embedded, sample: Vectors, own: Rows | None = None) -> Embedded:
    """Return queries and index to search by CSLS, given a `sample` (S, d) of queries as the index is searched by.

    `own` (S,) names the index row that is the sampled query itself, -1 for none: it says nothing of its own row.
    """
    changed = Embedded(vectors.queries, vectors.index)
    index = vectors.searched
    vars(changed)["searched"] = index.penalised(np.float32(0.5) * hubness(index, sample, own))
    return changed


def hubness(index: Index, sample: Vectors, own: Rows | None = None) -> Vectors:
    """Return r(y) for each row (N,) of the index: its mean cosine to the ten nearest of a sample (S, d) of queries."""
    use_fast_gemm()
    asked, held = unit(sample.astype(np.float32, copy=False)), index.unit(np.dtype(np.float32))
    count = min(NEIGHBOURS, len(asked) - (own is not None))
    found = np.zeros(len(held), np.float32)
    if count < 1:
        return found
    step = max(1, BLOCK // len(asked))
    place = np.full(len(held), -1)
    if own is not None:
        there = np.flatnonzero(own >= 0)
        place[own[there]] = there
    for start in range(0, len(held), step):
        rows = slice(start, start + step)
        similarity = held[rows] @ asked.T
        mine = np.flatnonzero(place[rows] >= 0)
        similarity[mine, place[rows][mine]] = -torch.inf
        found[rows] = torch.topk(similarity, count, dim=1).values.mean(dim=1).cpu().numpy()
    return found

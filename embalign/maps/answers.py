"""What answers a training text, by the teacher: the relevant documents of a query, the queries of a document."""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np

from embalign.lazy import lazy
from embalign.pairs import Vectors
from embalign.pairs.holdout import Rows
from embalign.pairs.names import numbered
from embalign.pairs.pair import FitOn, Pair

csr_array = lazy("scipy.sparse").csr_array
LEAST = 1e-6  # length of a sum of unit vectors below which it has no direction


class Answers(NamedTuple):
    """Unit vectors (n, d') of what answers each of n texts, and a number (n,) that texts with the same answers share.

    That is the direction of the mean of all answers, and the text's own vector where no answer is known.
    """

    vectors: Vectors
    same: Rows


def answers_of(pair: Pair, kind: FitOn, rows: Rows) -> Answers | None:
    """Return what answers the training texts in `rows` of one kind; None where nobody has judged.

    Answers are training texts too: a text and its answers are held out together.
    """
    judged = pair.judgements
    if judged is None or kind == "query_document":
        return None
    of_queries = kind == "queries"
    texts, answers = (judged.queries, judged.documents) if of_queries else (judged.documents, judged.queries)
    training = pair.holdout.train_documents if of_queries else pair.holdout.train
    own, others = (pair.query_teacher, pair.teacher) if of_queries else (pair.teacher, pair.query_teacher)
    place = np.full(len(own), -1)
    place[rows] = np.arange(len(rows))
    kept = (place[texts] >= 0) & np.isin(answers, training)
    shape = len(rows), len(others)
    known = csr_array((np.ones(kept.sum(), np.float32), (place[texts[kept]], answers[kept])), shape)
    found = np.asarray(known @ np.asarray(others), np.float32)
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    alone = lengths[:, 0] < LEAST
    found[alone], lengths[alone] = own[rows[alone]], 1.0
    known.sort_indices()
    sets = np.split(known.indices, known.indptr[1:-1])
    keys: Iterable[Hashable] = (row if alone[row] else each.tobytes() for row, each in enumerate(sets))
    return Answers(found / lengths, numbered(keys)[1])

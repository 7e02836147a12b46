"""Hypothesis strategies for the inputs that the suite's properties range over."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

finite = st.floats(-1e3, 1e3, allow_nan=False, allow_infinity=False, allow_subnormal=True)


@st.composite
def vector_pairs(draw, max_batch=4, max_dimension=9, min_dimension=1):
    """Two float64 tensors of one shape (batch, d), d odd or even, zeros and tiny values included."""
    shape = (draw(st.integers(1, max_batch)), draw(st.integers(min_dimension, max_dimension)))
    left, right = (draw(hnp.arrays(np.float64, shape, elements=finite)) for _ in range(2))
    return torch.from_numpy(left), torch.from_numpy(right)


@st.composite
def vector_stacks(draw, max_stack=3, max_batch=3, max_dimension=7):
    """Two float64 tensors of one shape (..., batch, d) with one or two leading dimensions."""
    stack = draw(st.lists(st.integers(1, max_stack), min_size=1, max_size=2))
    shape = (*stack, draw(st.integers(1, max_batch)), draw(st.integers(1, max_dimension)))
    left, right = (draw(hnp.arrays(np.float64, shape, elements=finite)) for _ in range(2))
    return torch.from_numpy(left), torch.from_numpy(right)


@st.composite
def tied_retrieval(draw, max_items=24):
    """Small integer embeddings, so that many similarities are tied or negative, and labels with repeats."""
    count, dimension = draw(st.integers(4, max_items)), draw(st.integers(1, 3))
    embeddings = draw(hnp.arrays(np.int64, (count, dimension), elements=st.integers(-2, 2)))
    labels = draw(st.lists(st.sampled_from("abcd"), min_size=count, max_size=count))
    return embeddings.astype(np.float64), labels


@st.composite
def gate_outcomes(draw, max_items=40):
    """Scores with ties, and whether each output is correct; at least one of either kind."""
    count = draw(st.integers(2, max_items))
    scores = draw(hnp.arrays(np.float64, count, elements=st.integers(0, 6).map(float)))
    correct = draw(hnp.arrays(np.bool_, count).filter(lambda values: values.any() and not values.all()))
    return scores, correct


@dataclass
class SearchCase:
    """A small search: queries (Q, d), index (N, d), gains and mates (Q, N), own (Q,) with -1 for none."""

    queries: np.ndarray
    index: np.ndarray
    gains: np.ndarray
    own: np.ndarray
    mates: np.ndarray


@st.composite
def searches(draw, max_queries=3, max_rows=13):
    """Integer vectors in an index of fewer and of more than ten, so that some are tied; some queries are its rows."""
    count, size, dimension = draw(st.integers(1, max_queries)), draw(st.integers(2, max_rows)), draw(st.integers(2, 3))
    elements = st.integers(-9, 9)
    index = draw(hnp.arrays(np.int64, (size, dimension), elements=elements)).astype(np.float64)
    for row in draw(st.lists(st.integers(1, size - 1), max_size=4)):
        index[row] = index[0]
    own = np.array(draw(st.lists(st.integers(-1, size - 1), min_size=count, max_size=count)))
    queries = draw(hnp.arrays(np.int64, (count, dimension), elements=elements)).astype(np.float64)
    if draw(st.booleans()):
        queries = np.where(own[:, None] >= 0, index[own], queries)
    gains, mates = (
        draw(hnp.arrays(np.int64, (count, size), elements=st.sampled_from(values), fill=st.just(0)))
        for values in ([0, 0, 1, 2, 3], [0, 0, 1])
    )
    return SearchCase(queries, index, gains, own, mates > 0)

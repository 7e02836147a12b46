"""Hypothesis strategies for the inputs that the suite's properties range over."""

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

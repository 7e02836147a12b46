"""Leave-one-out retrieval against trec_eval's measures (through ir-measures) and against brute force."""

import ir_measures
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_measures import RR, Success
from strategies import tied_retrieval

from embalign.evaluation import retrieval
from embalign.evaluation.retrieval import leave_one_out

pytestmark = pytest.mark.instrument


def trec_ranks(embeddings, labels):
    """Mid-ranks of the first relevant item, from two trec_eval runs that break every tie for and against it."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = np.divide(embeddings, lengths, out=np.zeros_like(embeddings), where=lengths > 0)
    similarity = np.round(unit @ unit.T, 9)
    qrels, runs = [], ([], [])
    for q, label in enumerate(labels):
        others = [d for d in range(len(labels)) if d != q]
        qrels += [ir_measures.Qrel(str(q), str(d), int(labels[d] == label)) for d in others]
        for run, sign in zip(runs, (1, -1), strict=True):
            order = sorted(others, key=lambda d: (-similarity[q, d], -sign * (labels[d] == label)))
            run += [ir_measures.ScoredDoc(str(q), str(d), float(-place)) for place, d in enumerate(order)]
    reciprocal = [{m.query_id: m.value for m in ir_measures.iter_calc([RR], qrels, run)} for run in runs]
    asked = [q for q, label in enumerate(labels) if list(labels).count(label) > 1]
    return np.array([(1 / reciprocal[0][str(q)] + 1 / reciprocal[1][str(q)]) / 2 for q in asked])


@settings(max_examples=60, deadline=None)
@given(tied_retrieval())
def test_ranks_equal_trec_eval_with_ties_and_negative_scores(case):
    embeddings, labels = case
    assume(len(set(labels)) < len(labels))
    expected = trec_ranks(embeddings, labels)
    found = leave_one_out(embeddings, labels)
    np.testing.assert_allclose(found.ranks[~np.isnan(found.ranks)], expected, rtol=0, atol=1e-12)
    assert found.mrr == pytest.approx((1 / expected).mean(), abs=1e-12)
    for k in (1, 5, 10):
        assert found.recall[k] == pytest.approx((expected <= k).mean(), abs=1e-12)


def test_recall_is_trec_evals_success_without_ties():
    generator = np.random.default_rng(0)
    embeddings, labels = generator.standard_normal((80, 5)), generator.permutation(np.arange(80) // 4).astype(str)
    similarity = embeddings @ embeddings.T
    lengths = np.linalg.norm(embeddings, axis=1)
    similarity /= np.outer(lengths, lengths)
    qrels = [
        ir_measures.Qrel(str(q), str(d), int(labels[q] == labels[d])) for q in range(80) for d in range(80) if q != d
    ]
    run = [ir_measures.ScoredDoc(str(q), str(d), similarity[q, d]) for q in range(80) for d in range(80) if q != d]
    expected = ir_measures.calc_aggregate([RR, Success @ 1, Success @ 5, Success @ 10], qrels, run)
    found = leave_one_out(embeddings, labels)
    assert found.mrr == pytest.approx(expected[RR], abs=1e-12)
    for k in (1, 5, 10):
        assert found.recall[k] == pytest.approx(expected[Success @ k], abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_blocks_do_not_change_ranks(block, seed):
    generator = np.random.default_rng(seed)
    embeddings, labels = generator.standard_normal((70, 4)), generator.integers(0, 15, 70).astype(str)
    whole = leave_one_out(embeddings, labels)
    before, retrieval.BLOCK = retrieval.BLOCK, block
    try:
        blocked = leave_one_out(embeddings, labels)
    finally:
        retrieval.BLOCK = before
    np.testing.assert_array_equal(whole.ranks, blocked.ranks)


def test_float32_ranks_equal_float64_ranks_on_real_embeddings(smollm2):
    rows = smollm2.holdout.test
    single = leave_one_out(smollm2.draft[rows], smollm2.labels[rows])
    double = leave_one_out(smollm2.draft[rows].astype(np.float64), smollm2.labels[rows])
    assert np.mean(single.ranks == double.ranks) > 0.999


def test_order_of_items_and_length_of_vectors_do_not_matter():
    generator = np.random.default_rng(1)
    embeddings, labels = generator.standard_normal((50, 4)), generator.integers(0, 9, 50).astype(str)
    order = generator.permutation(50)
    scaled = embeddings * generator.uniform(0.1, 10, (50, 1))
    before, after = leave_one_out(embeddings, labels), leave_one_out(scaled[order], labels[order])
    np.testing.assert_array_equal(before.ranks[order], after.ranks)


def test_an_item_never_finds_itself():
    """Two identical texts of different labels: each one's nearest neighbour is the other, not itself."""
    found = leave_one_out(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]), ["a", "b", "a", "b"])
    assert found.recall[1] == 0


@pytest.mark.parametrize(
    ("embeddings", "labels", "options", "message"),
    [
        (np.ones((3, 2)), ["a", "a"], {}, "found 2 labels"),
        (np.ones(3), ["a"] * 3, {}, "one label a row"),
        (np.full((2, 2), np.nan), ["a", "a"], {}, "NaN"),
        (np.ones((2, 2)), ["a", "b"], {}, "no label occurs twice"),
        (np.ones((2, 2)), ["a", "a"], {"ks": (0,)}, "at least 1"),
    ],
)
def test_wrong_input_is_named(embeddings, labels, options, message):
    with pytest.raises(ValueError, match=message):
        leave_one_out(embeddings, labels, **options)

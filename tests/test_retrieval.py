"""Retrieval between two sets of vectors against trec_eval's measures (through ir-measures) and against brute force."""

import itertools
import math
from dataclasses import dataclass, fields

import ir_measures
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ir_measures import RR, Success, nDCG
from strategies import searches, tied_retrieval

from embalign.evaluation import gate, retrieval
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import leave_one_out, search, search_metrics
from embalign.evaluation.ties import same_first

pytestmark = pytest.mark.instrument

KS = (1, 2, 5, 10)
MEASURES = [RR, nDCG @ 10, *(Success @ k for k in KS)]


def rounded_similarity(queries, index):
    """Cosines (Q, N) in float64, equal ones made equal to the bit."""
    units = []
    for vectors in (queries, index):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        units.append(np.divide(vectors, lengths, out=np.zeros(vectors.shape), where=lengths > 0))
    return np.round(units[0] @ units[1].T, 9)


def orders_of(scores, rows):
    """Every order of the rows by falling score that ties allow."""
    groups = [list(group) for _, group in itertools.groupby(sorted(rows, key=lambda row: -scores[row]), scores.get)]
    for parts in itertools.product(*map(itertools.permutations, groups)):
        yield [row for part in parts for row in part]


def number_of_orders(scores, rows):
    """How many there are."""
    return math.prod(math.factorial(sum(scores[row] == value for row in rows)) for value in {scores[r] for r in rows})


def trec_eval(similarity, gains, own):
    """What trec_eval's measures give for each query, averaged over every order of its tied rows, by measure.

    `similarity` (Q, N), `gains` (Q, N) with 0 for what is not relevant; queries without a relevant row are NaN.
    """
    qrels, run, asked = [], [], {}
    for q, scores in enumerate(similarity):
        rows = [row for row in range(len(scores)) if row != own[q]]
        by_row = dict(enumerate(scores.tolist()))
        assume(number_of_orders(by_row, rows) <= 720)
        relevant = {row: int(gains[q, row]) for row in rows if gains[q, row] > 0}
        if not relevant:
            continue
        asked[q] = [f"{q}-{number}" for number, _ in enumerate(orders_of(by_row, rows))]
        for name, order in zip(asked[q], orders_of(by_row, rows), strict=True):
            qrels += [ir_measures.Qrel(name, str(row), gain) for row, gain in relevant.items()]
            run += [ir_measures.ScoredDoc(name, str(row), float(-place)) for place, row in enumerate(order)]
    found = {measure: np.full(len(similarity), np.nan) for measure in MEASURES}
    values = {(m.measure, m.query_id): m.value for m in ir_measures.iter_calc(MEASURES, qrels, run)} if asked else {}
    for measure, (q, names) in itertools.product(MEASURES, asked.items()):
        found[measure][q] = math.fsum(values[measure, name] for name in names) / len(names)
    return found


def by_hand(similarity, gains, own, mates):
    """The other numbers of a search by going through every order: rank, mate, margin, how often a row is returned."""
    rank, mate, margin = (np.full(len(similarity), np.nan) for _ in range(3))
    returned = np.zeros(similarity.shape[1])
    for q, scores in enumerate(similarity):
        by_row = dict(enumerate(scores.tolist()))
        everything = list(by_row)
        rows = [row for row in everything if row != own[q]]
        orders = list(orders_of(by_row, rows))
        relevant = [row for row in rows if gains[q, row] > 0]
        if relevant:
            rank[q] = np.mean([1 + min(map(order.index, relevant)) for order in orders])
        if mates[q].any():
            best = [row for row in everything if scores[row] == scores.max()]
            mate[q] = np.mean([mates[q, row] for row in best])
        first = sorted((by_row[row] for row in rows), reverse=True)
        margin[q] = first[0] - first[1] if len(first) > 1 else np.inf
        for order in orders:
            returned[order[:10]] += 1 / len(orders)
    return rank, mate, margin, returned


def relevance_of(gains):
    """The judgements of a matrix of gains (Q, N)."""
    queries, rows = np.nonzero(gains)
    return Relevance.of_judgements(queries, rows, gains[queries, rows].astype(float), count=len(gains))


@settings(max_examples=80, deadline=None)
@given(searches())
def test_a_search_is_trec_evals_averaged_over_the_order_of_ties(case):
    """Several relevant rows, graded gains, queries without any, own rows left out or not, index of fewer than ten."""
    similarity = rounded_similarity(case.queries, case.index)
    expected = trec_eval(similarity, case.gains, case.own)
    own = None if (case.own < 0).all() else case.own
    found = search(case.queries, case.index, relevance_of(case.gains), own=own, ks=KS)
    ours = {RR: found.reciprocal_rank, nDCG @ 10: found.ndcg, **{Success @ k: found.hits[k] for k in KS}}
    for measure, values in ours.items():
        np.testing.assert_allclose(values, expected[measure], rtol=0, atol=1e-12, err_msg=str(measure))


@settings(max_examples=80, deadline=None)
@given(searches())
def test_rank_mate_margin_and_hubs_are_those_of_every_order_of_ties(case):
    similarity = rounded_similarity(case.queries, case.index)
    for q, scores in enumerate(similarity):
        others = [row for row in range(len(scores)) if row != case.own[q]]
        assume(others and number_of_orders(dict(enumerate(scores.tolist())), others) <= 720)
    rank, mate, margin, returned = by_hand(similarity, case.gains, case.own, case.mates)
    mates = relevance_of(case.mates.astype(int))
    found = search(case.queries, case.index, relevance_of(case.gains), own=case.own, mates=mates)
    np.testing.assert_allclose(found.rank, rank, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.mate, mate, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.margin, margin, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.returned, returned, rtol=0, atol=1e-12)
    assert found.never_returned == np.mean(returned == 0)
    assert found.largest_hub == pytest.approx(returned.max() / len(similarity), abs=1e-12)
    held = np.where(np.arange(similarity.shape[1]) == case.own[:, None], -np.inf, similarity)
    np.testing.assert_allclose(found.top1, held.max(axis=1), rtol=0, atol=1e-8)
    assert (np.take_along_axis(held, found.nearest[:, None], axis=1)[:, 0] == held.max(axis=1)).all()


def test_without_ties_a_search_is_trec_evals_in_an_index_of_many():
    generator = np.random.default_rng(0)
    queries, index = generator.standard_normal((60, 5)), generator.standard_normal((300, 5))
    gains = generator.integers(1, 4, (60, 300)) * (generator.random((60, 300)) < 0.05)
    gains[7] = 0
    similarity = queries @ index.T / np.linalg.norm(index, axis=1)
    qrels = [ir_measures.Qrel(str(q), str(d), int(gains[q, d])) for q, d in zip(*np.nonzero(gains), strict=True)]
    run = [ir_measures.ScoredDoc(str(q), str(d), similarity[q, d]) for q in range(60) for d in range(300)]
    found = search(queries, index, relevance_of(gains), ks=KS)
    ours = {RR: found.reciprocal_rank, nDCG @ 10: found.ndcg, **{Success @ k: found.hits[k] for k in KS}}
    for metric in ir_measures.iter_calc(MEASURES, qrels, run):
        assert ours[metric.measure][int(metric.query_id)] == pytest.approx(metric.value, abs=1e-12)
    assert all(np.isnan(values[7]) and np.isnan(values).sum() == 1 for values in ours.values())
    assert found.correct[7] == 0


@settings(max_examples=60, deadline=None)
@given(tied_retrieval())
def test_leave_one_out_is_a_search_of_all_items_by_all(case):
    embeddings, labels = case
    assume(len(set(labels)) < len(labels))
    own = np.arange(len(labels))
    found = search_metrics(embeddings, embeddings, query_labels=labels, index_labels=labels, own=own)
    alone = leave_one_out(embeddings, labels)
    asked = np.array([labels.count(label) > 1 for label in labels])
    np.testing.assert_array_equal(~np.isnan(found.rank), asked)
    np.testing.assert_array_equal(alone.ranks, found.rank)
    assert alone.mrr == pytest.approx(found.reciprocal_rank[asked].mean(), abs=1e-15)
    assert alone.recall == {k: pytest.approx(found.hits[k][asked].mean(), abs=1e-15) for k in (1, 5, 10)}


def test_of_three_nearest_one_is_taken_at_random():
    """One relevant item among three that are tied: found first by one order in three, at rank two on average."""
    vectors = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0], [0, 1]])
    found = leave_one_out(vectors, ["a", "a", "b", "c", "d"])
    assert found.ranks[:2] == pytest.approx([2, 2])
    assert found.recall == pytest.approx({1: 1 / 3, 5: 1, 10: 1})
    assert found.mrr == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


@dataclass
class Case:
    """A search of 40 queries, half of them rows of the index, in 70 rows of eight distinct directions and more."""

    queries: np.ndarray
    index: np.ndarray
    relevant: Relevance
    own: np.ndarray
    mates: Relevance

    def search(self, **changes):
        asked = {name: getattr(self, name) for name in ("own", "mates")} | changes
        return search(asked.pop("queries", self.queries), asked.pop("index", self.index), self.relevant, **asked)


def tied_case(seed):
    generator = np.random.default_rng(seed)
    index = generator.standard_normal((70, 4))
    index[::3] = index[generator.integers(0, 8, 24)]
    own = np.where(np.arange(40) < 20, generator.permutation(70)[:40], -1)
    queries = np.where(own[:, None] >= 0, index[own], generator.standard_normal((40, 4)))
    labels = generator.integers(0, 15, 70)
    relevant = Relevance.by_label(np.where(own >= 0, labels[own], generator.integers(0, 17, 40)), labels)
    return Case(queries, index, relevant, own, Relevance.by_label(own, np.arange(70)))


def assert_same(left, right, atol=0.0, places=slice(None), leave_out=("nearest", "tied")):
    """Every field of two searches is equal, the second's index rows in the order of `places`."""
    for name in {field.name for field in fields(left)} - {*leave_out}:
        one, other = getattr(left, name), getattr(right, name)
        pairs = [(one[k], other[k]) for k in one] if isinstance(one, dict) else [(one, other)]
        for before, after in pairs:
            moved = after[places] if name == "returned" else after
            np.testing.assert_allclose(before, moved, rtol=0, atol=atol, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4000), st.integers(0, 2**32 - 1))
def test_blocks_change_nothing(block, seed):
    case = tied_case(seed)
    whole = case.search()
    before, retrieval.BLOCK = retrieval.BLOCK, block
    try:
        blocked = case.search()
    finally:
        retrieval.BLOCK = before
    assert_same(whole, blocked, atol=1e-14)


def test_a_block_holds_few_queries_where_each_has_many_relevant_rows(monkeypatch):
    """Padded relevant rows take memory like the similarities do: one label for all must not multiply it."""
    monkeypatch.setattr(retrieval, "BLOCK", 70 * 40)
    widths = []
    padded = Relevance.padded
    monkeypatch.setattr(Relevance, "padded", lambda *given: widths.append(padded(*given)[0].size) or padded(*given))
    vectors = np.random.default_rng(0).standard_normal((70, 4))
    leave_one_out(vectors, ["a"] * 70)
    assert sum(widths) == 70 * 70
    assert max(widths) <= 70 * 40 / retrieval.PADDED


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float64, np.float32]))
def test_order_of_rows_changes_nothing(seed, dtype):
    """Not with ties, in either precision, and not in the gate."""
    case = tied_case(seed)
    order = np.random.default_rng(seed).permutation(70)
    queries, index = case.queries.astype(dtype), case.index.astype(dtype)
    before = case.search(queries=queries, index=index)
    relevant, mates = (each.within(order, 70) for each in (case.relevant, case.mates))
    own = np.where(case.own >= 0, np.argsort(order)[case.own], -1)
    after = search(queries, index[order], relevant, own=own, mates=mates)
    assert_same(before, after, 1e-12 if dtype == np.float64 else 2e-6, np.argsort(order))

    labels = np.random.default_rng(seed).integers(0, 9, 70).astype(str)
    plain, correct = gate.leave_one_out(index, labels)
    moved, moved_correct = gate.leave_one_out(index[order], labels[order])
    np.testing.assert_allclose(correct[order], moved_correct, rtol=0, atol=1e-12)
    other, moved_other = (gate.leave_one_out(index[rows] ** 3, labels[rows])[0] for rows in (slice(None), order))
    agree = [same_first((a.nearest, a.tied), (b.nearest, b.tied)) for a, b in ((plain, other), (moved, moved_other))]
    np.testing.assert_allclose(agree[0][order], agree[1], rtol=0, atol=1e-12)
    scores = (np.round(found.margin, 5) for found in (plain, moved))
    areas = [gate.augrc(score, right) for score, right in zip(scores, (correct, moved_correct), strict=True)]
    assert areas[0] == pytest.approx(areas[1], abs=1e-12)


def test_two_searches_agree_as_often_as_random_ties_do():
    """Rows 0 to 2 are tied for the first query in one search, 1 to 3 in the other; the second has one row in each."""
    index = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]])
    other = np.array([[0.0, 1], [1, 0], [1, 0], [1, 0]])
    relevant = Relevance.by_label(["a", "b"], ["a", "a", "a", "b"])
    one, two = (search(np.array([[1.0, 0], [0, 1]]), vectors, relevant) for vectors in (index, other))
    assert same_first((one.nearest, one.tied), (two.nearest, two.tied)).tolist() == [pytest.approx(2 / 9), 0.0]
    assert same_first((one.nearest, one.tied), (one.nearest, one.tied)).tolist() == [pytest.approx(1 / 3), 1.0]


def test_order_of_queries_changes_nothing_but_their_order():
    case = tied_case(3)
    order = np.random.default_rng(3).permutation(40)
    relevant, mates = (
        Relevance(each.rows, each.starts[order], each.stops[order]) for each in (case.relevant, case.mates)
    )
    before = case.search()
    after = search(case.queries[order], case.index, relevant, own=case.own[order], mates=mates)
    np.testing.assert_allclose(before.ndcg[order], after.ndcg, atol=1e-14)
    np.testing.assert_allclose(before.mate[order], after.mate, atol=1e-14)
    np.testing.assert_allclose(before.returned, after.returned, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_length_of_vectors_does_not_matter(dtype):
    """Nor where its square is out of the format's range."""
    case = tied_case(1)
    lengths = 10.0 ** np.random.default_rng(1).uniform(-30, 30, (110, 1))
    queries, index = (case.queries * lengths[:40]).astype(dtype), (case.index * lengths[40:]).astype(dtype)
    before = case.search(queries=case.queries.astype(dtype), index=case.index.astype(dtype))
    assert_same(before, case.search(queries=queries, index=index), atol=2e-6 if dtype == np.float32 else 1e-12)


def test_float32_finds_what_float64_finds_on_real_embeddings(smollm2):
    test = smollm2.holdout.test
    own, labels = np.arange(len(test)), smollm2.labels[test]
    found = [
        search_metrics(vectors, vectors, query_labels=labels, index_labels=labels, own=own)
        for vectors in (smollm2.draft[test], smollm2.draft[test].astype(np.float64))
    ]
    single, double = found
    assert np.nanmax(np.abs(single.top1 - double.top1)) < 5e-6
    # What is nearer than float32 tells apart is a tie there: one query or two.
    for name in ("rank", "ndcg", "returned"):
        one, other = getattr(single, name), getattr(double, name)
        assert np.isclose(one, other, rtol=0, atol=1e-9, equal_nan=True).mean() > 0.997
    assert np.nanmean(single.ndcg) == pytest.approx(np.nanmean(double.ndcg), abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_vectors_find_what_chance_finds(dtype):
    """Any row may come first: hits are hypergeometric, every row is returned alike."""
    labels = np.repeat(np.arange(20), 3).astype(str)
    vectors = np.tile(np.random.default_rng(0).standard_normal(300), (60, 1)).astype(dtype)
    own = np.arange(60)
    found = search_metrics(vectors, vectors, query_labels=labels, index_labels=labels, own=own)
    for k in (1, 5, 10):
        assert found.hits[k] == pytest.approx(1 - math.comb(57, k) / math.comb(59, k), abs=1e-12)
    assert found.rank == pytest.approx(20)
    discounts = 1 / np.log2(np.arange(2, 12))
    assert found.ndcg == pytest.approx(2 / 59 * discounts.sum() / discounts[:2].sum(), abs=1e-12)
    assert found.returned == pytest.approx(10, abs=1e-9)
    assert (found.margin == 0).all()
    assert found.never_returned == 0
    assert found.largest_hub == pytest.approx(10 / 60)


def test_an_item_never_finds_itself():
    """Two identical texts of different labels: each one's nearest neighbour is the other, not itself."""
    found = leave_one_out(np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]]), ["a", "b", "a", "b"])
    assert found.recall[1] == 0


def test_an_own_row_of_minus_one_leaves_nothing_out():
    vectors = np.eye(3)
    relevant = Relevance.by_label(["a", "b", "c"], ["a", "b", "c"])
    found = search(vectors, vectors, relevant, own=np.array([-1, -1, 2]))
    assert found.hits[1][:2].tolist() == [1, 1]
    assert np.isnan(found.hits[1][2])
    without = search(vectors, vectors, relevant)
    np.testing.assert_array_equal(search(vectors, vectors, relevant, own=np.full(3, -1)).ndcg, without.ndcg)


def test_a_mate_is_looked_for_with_the_own_row_in_the_index():
    """The query's text is row 0 and again row 2, in float32 and mapped a little off: either row is a find."""
    index = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    queries = np.array([[1, 0.1], [0.1, 1], [1, 0.1]], np.float32)
    mates = Relevance.by_label(["x", "x", "y"], ["x", "y", "x"])
    relevant = Relevance.by_label(["a", "a", "a"], ["a", "b", "b"])
    found = search(queries, index, relevant, own=np.array([0, -1, 1]), mates=mates)
    assert found.mate.tolist() == [1, 0, 0]
    assert np.isnan(search(queries, index, relevant).mate).all()


def test_an_index_of_one_row_leaves_nothing_to_find():
    relevant = Relevance.by_label(["a"], ["a"])
    found = search(np.ones((1, 2)), np.ones((1, 2)), relevant, own=np.array([0]))
    assert np.isnan(found.ndcg).all()
    assert found.margin.tolist() == [0]
    assert found.never_returned == 1
    alone = search(np.ones((1, 2)), np.ones((1, 2)), relevant)
    assert alone.ndcg.tolist() == [1]
    assert alone.largest_hub == 1


def test_counts_are_exact_above_the_integers_of_float32():
    """A relevant row behind 2^24 + 1 others; float32 counts no further than 2^24."""
    count = 2**24 + 2
    index = np.ones((count, 1), np.float32)
    index[-1] = -1
    found = search(np.ones((1, 1), np.float32), index, Relevance.of_judgements([0], [count - 1], count=1))
    assert found.rank.tolist() == [count]
    assert found.hits[10].tolist() == [0]


@pytest.mark.parametrize(
    ("embeddings", "labels", "options", "message"),
    [
        (np.ones((3, 2)), ["a", "a"], {}, "one value for each of 3 items"),
        (np.ones(3), ["a"] * 3, {}, "one vector per row"),
        (np.full((2, 2), np.nan), ["a", "a"], {}, "NaN"),
        (np.ones((2, 2)), ["a", "b"], {}, "no label occurs twice"),
        (np.ones((1, 2)), ["a"], {}, "no label occurs twice"),
        (np.ones((2, 2)), ["a", "a"], {"ks": (0,)}, "at least 1"),
    ],
)
def test_wrong_input_of_leave_one_out_is_named(embeddings, labels, options, message):
    with pytest.raises(ValueError, match=message):
        leave_one_out(embeddings, labels, **options)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"queries": np.ones((2, 3))}, r"shape \(2, 3\) cannot search an index of shape \(4, 2\)"),
        ({"queries": np.ones((0, 2))}, r"shape \(0, 2\) cannot"),
        ({"index": np.ones((0, 2))}, r"index of shape \(0, 2\)"),
        ({"index": np.full((4, 2), np.inf)}, "infinite"),
        ({"queries": np.ones((3, 2))}, "3 queries need relevant rows for each, found them for 2"),
        ({"relevant": Relevance.of_judgements([0], [4], count=2)}, "relevant rows 4 to 4 are not in an index of 4"),
        ({"relevant": Relevance.of_judgements([0], [-1], count=2)}, "relevant rows -1 to -1"),
        ({"mates": Relevance.of_judgements([0], [4], count=2)}, "mates 4 to 4 are not in"),
        ({"mates": Relevance.of_judgements([0], [0], count=1)}, "2 queries need mates for each, found them for 1"),
        ({"own": np.array([0])}, "2 queries need an own row each, -1 for none, found 1"),
        ({"own": np.array([0, 4])}, "own row 4 is not in an index of 4 rows"),
        ({"ks": (1, 0)}, r"at least 1, found \[1, 0\]"),
    ],
)
def test_wrong_input_of_a_search_is_named(changed, message):
    relevant = Relevance.by_label(["a", "b"], ["a", "b", "a", "b"])
    asked = {"queries": np.ones((2, 2)), "index": np.ones((4, 2)), "relevant": relevant} | changed
    with pytest.raises(ValueError, match=message):
        search(asked.pop("queries"), asked.pop("index"), asked.pop("relevant"), **asked)


@pytest.mark.parametrize(
    ("queries", "rows", "gains", "message"),
    [
        ([0, 1, 0], [2, 2, 2], None, "query 0 and row 2 are judged twice"),
        ([0, 0], [2, 2], [1.0, 3.0], "query 0 and row 2 are judged twice"),
        ([0, 2], [0, 0], None, "judged queries must be in 0, ..., 1, found 0 to 2"),
        ([-1, 0], [0, 0], None, "found -1 to 0"),
        ([0], [0, 1], None, "found 1 queries, 2 rows"),
        ([0, 1], [0, 1], [1.0], "a judgement has a query, a row and a gain"),
        ([0], [0], [np.nan], "NaN or infinite"),
        ([0], [0], [np.inf], "NaN or infinite"),
    ],
)
def test_wrong_judgements_are_named(queries, rows, gains, message):
    with pytest.raises(ValueError, match=message):
        Relevance.of_judgements(queries, rows, gains, count=2)


def test_labels_of_two_types_are_named():
    with pytest.raises(ValueError, match="must be of one type"):
        Relevance.by_label(["1", "10"], [1, 10])


def test_a_judgement_without_gain_is_as_good_as_none():
    queries, rows, gains = np.array([1, 0, 0, 2]), np.array([3, 1, 0, 2]), np.array([0.0, 2.0, 1.0, -1.0])
    relevant = Relevance.of_judgements(queries, rows, gains, count=4)
    assert len(relevant) == 4
    places, there, of_rows = relevant.padded(slice(0, 4))
    assert places[there].tolist() == [0, 1]
    assert of_rows.tolist() == [[1, 2], [0, 0], [0, 0], [0, 0]]
    nothing = Relevance.of_judgements([], [], [], count=2)
    found = search(np.eye(2), np.eye(2), nothing)
    assert np.isnan(found.ndcg).all()
    assert found.returned.tolist() == [2, 2]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_relevance_within_some_rows_is_that_of_the_rows_kept(data):
    queries, size = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    gains = np.array(data.draw(st.lists(st.integers(0, 3), min_size=queries * size, max_size=queries * size)))
    gains = gains.reshape(queries, size)
    kept = np.array(data.draw(st.permutations(range(size))))[: data.draw(st.integers(1, size))]
    places, there, of_rows = relevance_of(gains).within(kept, size).padded(slice(0, queries))
    found = np.zeros((queries, len(kept)))
    np.add.at(found, (np.nonzero(there)[0], places[there]), of_rows[there])
    np.testing.assert_array_equal(found, gains[:, kept])

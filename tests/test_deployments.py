"""Each deployment's columns against plain NumPy, and against what maps of known faults must show."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import nDCG

from embalign.alignment.closed_form import fit_ridge
from embalign.evaluation import scorecard
from embalign.evaluation.deployment import DEPLOYMENTS, Embedded, SearchTask, task_of, vectors_of
from embalign.evaluation.relevance import Relevance
from embalign.experiments.fits import ceiling_of, score_map, search_task_of
from embalign.pairs.pair import load_pair

pytestmark = pytest.mark.instrument

COLUMNS = (
    *(f"recall_at_{k}" for k in (1, 5, 10)),
    *("mrr", "ndcg_at_10", "mate_recall_at_1", "retention_ndcg_at_10", "never_returned", "largest_hub"),
)


def plainly(queries, index, pair):
    """What the held-out items of a pair find, in plain NumPy: similarities, one sort a query, nothing shared."""
    texts = np.array([item.text for item in pair.items])
    rows, returned = [], np.zeros(len(index))
    for query, own in zip(queries.astype(float), pair.holdout.test, strict=True):
        order = np.argsort(-(index @ query) / np.linalg.norm(index, axis=1))
        mate = texts[order[0]] == texts[own]
        order = order[order != own]
        returned[order[:10]] += 1
        relevant = pair.labels[order] == pair.labels[own]
        if relevant.any():
            first = np.argmax(relevant)
            gain = (relevant[:10] / np.log2(np.arange(2, 12))).sum()
            ideal = (1 / np.log2(np.arange(2, 2 + min(10, relevant.sum())))).sum()
            rows.append([first < 1, first < 5, first < 10, 1 / (1 + first), gain / ideal, mate])
        else:
            rows.append([np.nan] * 5 + [mate])
    means = np.nanmean(np.array(rows, float), axis=0)
    return [*means, (returned == 0).mean(), returned.max() / len(queries)]


def assert_columns(found, deployment, expected, ndcg_of_teacher):
    """The columns of a deployment are those of :func:`plainly`."""
    named = dict(zip([name for name in COLUMNS if "retention" not in name], expected, strict=True))
    named["retention_ndcg_at_10"] = named["ndcg_at_10"] / ndcg_of_teacher
    for name in COLUMNS:
        assert found.metrics[f"{deployment}_{name}"] == pytest.approx(named[name], abs=1e-6), (deployment, name)
    for name, values in found.by_label.items():
        assert values.mean() == pytest.approx(found.metrics[name], abs=1e-6)


def test_every_column_is_that_of_plain_numpy_on_real_embeddings(small_pair):
    """Of a fitted map in each deployment, and of the raw draft's and the teacher's own search."""
    pair = load_pair(small_pair)
    train, test = pair.holdout.train, pair.holdout.test
    weights = fit_ridge(pair.draft[train], pair.teacher[train], pair.labels[train]).weights
    mapped, teacher = pair.draft @ weights.T, pair.teacher
    of_teacher = plainly(teacher[test], teacher, pair)
    found = score_map(pair, weights, seed=0)
    by_use = {
        "query_adapter": plainly(mapped[test], teacher, pair),
        "index_migration": plainly(teacher[test], mapped, pair),
        "draft_only": plainly(mapped[test], mapped, pair),
    }
    assert list(by_use) == list(DEPLOYMENTS)
    for deployment, expected in by_use.items():
        assert_columns(found, deployment, expected, of_teacher[4])
    ndcg = [expected[4] for expected in by_use.values()]
    assert min(abs(one - other) for one, other in zip(ndcg, ndcg[1:] + ndcg[:1], strict=True)) > 0.01

    task = search_task_of(pair)
    for vectors, expected in ((task.draft, plainly(pair.draft[test], pair.draft, pair)), (task.teacher, of_teacher)):
        own = scorecard.score_search(task, vectors, ceiling_of(pair))
        for deployment in DEPLOYMENTS:
            assert_columns(own, deployment, expected, of_teacher[4])


def test_a_map_has_every_column_of_every_deployment(small_pair):
    pair = load_pair(small_pair)
    weights = np.eye(64, 48, dtype=np.float32)
    names = set(score_map(pair, weights, seed=0).metrics)
    assert {f"{deployment}_{name}" for deployment in DEPLOYMENTS for name in COLUMNS} <= names


def pair_of(draft, teacher, labels, texts=None):
    """What `task_of` reads of a pair; one label in five is held out, whole."""
    items = [SimpleNamespace(text=text) for text in (texts or map(str, range(len(labels))))]
    test = np.flatnonzero(np.unique(labels, return_inverse=True)[1] % 5 == 0)
    train = np.setdiff1d(np.arange(len(labels)), test)
    return SimpleNamespace(
        draft=draft.astype(np.float32),
        teacher=teacher.astype(np.float32),
        labels=np.asarray(labels),
        items=items,
        holdout=SimpleNamespace(train=train, test=test, test_documents=test),
        judgements=None,
        own_queries=False,
        relevance="labels",
        groups=np.array(labels),
    )


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def score_by_hand(pair, weights):
    """The metrics of a map and of the raw draft on a pair that has no folder."""
    task = task_of(pair)
    mapped = pair.draft @ weights.T.astype(np.float32)
    ceiling = scorecard.search_task(task, task.teacher)
    constant = unit(pair.teacher.mean(axis=0))
    scored = scorecard.score(task, Embedded(mapped[pair.holdout.test], mapped), ceiling, constant)
    return scored.metrics, scorecard.score_search(task, task.draft, ceiling).metrics


def test_a_map_that_shrinks_is_perfect_for_draft_only_and_a_loss_as_a_query_adapter():
    """Items vary in how far they lie from what all share, and the map keeps that and loses most of the rest.

    Among themselves the mapped vectors keep their order. As queries they lean to what all share, so the items that
    have most of it answer every query: hubs. As an index they still serve the teacher's queries.
    """
    generator = np.random.default_rng(0)
    topics = unit(generator.standard_normal((60, 24))).repeat(5, axis=0)
    own = unit(topics + 0.05 * generator.standard_normal(topics.shape)) * generator.uniform(0.8, 1.25, (300, 1))
    vectors = unit(np.hstack([np.ones((300, 1)), own]))
    pair = pair_of(vectors, vectors, np.arange(300) // 5)
    found, draft = score_by_hand(pair, np.diag([1.0] + [0.05] * 24))
    assert found["draft_only_ndcg_at_10"] > 0.999
    assert found["draft_only_retention_ndcg_at_10"] > 0.999
    assert found["index_migration_ndcg_at_10"] > 0.999
    assert found["query_adapter_ndcg_at_10"] < 0.5 < draft["query_adapter_ndcg_at_10"]
    assert found["query_adapter_retention_ndcg_at_10"] < 0.5
    assert found["query_adapter_largest_hub"] > 3 * found["draft_only_largest_hub"]
    assert found["query_adapter_never_returned"] > found["draft_only_never_returned"]


def test_a_draft_that_is_a_rotation_of_the_teacher_is_near_the_ceiling_in_every_deployment():
    generator = np.random.default_rng(1)
    topics = generator.standard_normal((60, 24)).repeat(5, axis=0)
    teacher = unit(topics + generator.standard_normal(topics.shape))
    rotation = np.linalg.qr(generator.standard_normal((24, 24)))[0]
    pair = pair_of(teacher @ rotation, teacher, np.arange(300) // 5)
    train = pair.holdout.train
    groups = pair.labels[train].astype(str)
    found, draft = score_by_hand(pair, fit_ridge(pair.draft[train], pair.teacher[train], groups).weights)
    for deployment in DEPLOYMENTS:
        assert found[f"{deployment}_retention_ndcg_at_10"] >= 0.99
        assert found[f"{deployment}_mate_recall_at_1"] == 1
        assert found[f"{deployment}_ndcg_at_10"] == pytest.approx(draft[f"{deployment}_ndcg_at_10"], abs=0.01)
    assert 0.2 < found["query_adapter_ndcg_at_10"] < 0.95


def documents(seed=2):
    """Queries that are other texts than the 120 documents, with judgements of two grades and one query without any."""
    generator = np.random.default_rng(seed)
    index, queries = generator.standard_normal((120, 12)), generator.standard_normal((30, 12))
    gains = generator.integers(1, 3, (30, 120)) * (generator.random((30, 120)) < 0.06)
    gains[3] = 0
    asked, rows = np.nonzero(gains)
    teacher = Embedded(*(unit(part).astype(np.float32) for part in (queries, index)))
    noisy = (unit(part + 0.5 * generator.standard_normal(part.shape)).astype(np.float32) for part in (queries, index))
    task = SearchTask(
        draft=Embedded(*noisy),
        teacher=teacher,
        relevant=Relevance.of_judgements(asked, rows, gains[asked, rows].astype(float), count=30),
        own=None,
        mates=Relevance.of_judgements([], [], count=30),
        held_out=np.arange(0, 120, 2),
        groups=np.array([f"topic{q // 3}" for q in range(30)]),
    )
    return task, gains


def test_queries_and_documents_of_different_texts_are_scored_by_their_judgements():
    """Nothing is left out, gains are graded, and no query has a mate."""
    task, gains = documents()
    mapped = task.draft
    ceiling = scorecard.search_task(task, task.teacher)
    found = scorecard.score(task, mapped, ceiling, task.teacher.index.mean(axis=0)).metrics
    qrels = [ir_measures.Qrel(str(q), str(d), int(gains[q, d])) for q, d in zip(*np.nonzero(gains), strict=True)]
    sides = {
        "query_adapter": (mapped.queries, task.teacher.index),
        "index_migration": (task.teacher.queries, mapped.index),
        "draft_only": (mapped.queries, mapped.index),
    }
    for deployment, (queries, index) in sides.items():
        scores = queries.astype(float) @ index.T.astype(float)
        run = [ir_measures.ScoredDoc(str(q), str(d), scores[q, d]) for q in range(30) for d in range(120)]
        expected = ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]
        assert found[f"{deployment}_ndcg_at_10"] == pytest.approx(expected, abs=1e-6)
        assert np.isnan(found[f"{deployment}_mate_recall_at_1"])
    own = scorecard.score_search(task, task.teacher, ceiling).metrics
    assert own["index_migration_retention_ndcg_at_10"] == pytest.approx(1, abs=1e-9)
    assert own["recall_at_1"] == pytest.approx(
        np.nanmean(scorecard.search_task(task.alone, task.alone.teacher).hits[1]), abs=1e-9
    )


def test_queries_without_any_relevant_row_leave_their_columns_empty():
    """Not a number, rather than a zero that looks like a bad map."""
    task, _ = documents()
    task = replace(task, relevant=Relevance.of_judgements([], [], count=30))
    ceiling = scorecard.search_task(task, task.teacher)
    found = scorecard.score(task, task.draft, ceiling, task.teacher.index.mean(axis=0))
    for deployment in DEPLOYMENTS:
        for name in set(COLUMNS) - {"never_returned", "largest_hub"}:
            assert np.isnan(found.metrics[f"{deployment}_{name}"]), name
        assert 0 <= found.metrics[f"{deployment}_largest_hub"] <= 1


def test_a_teacher_that_finds_nothing_has_no_retention():
    task, _ = documents()
    last = np.argmin(task.teacher.queries @ task.teacher.index.T, axis=1)
    task = replace(task, relevant=Relevance.of_judgements(np.arange(30), last, count=30))
    ceiling = scorecard.search_task(task, task.teacher)
    found = scorecard.score_search(task, task.draft, ceiling).metrics
    assert np.nanmean(ceiling.ndcg) == 0
    assert np.isnan(found["query_adapter_retention_ndcg_at_10"])


@dataclass
class Parts:
    """A task, and what it says in plain sets: rows that are relevant and mates by query, and the rows held out."""

    task: SearchTask
    relevant: list
    mates: list
    own: np.ndarray


@st.composite
def tasks(draw):
    count, size = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    rows = st.sets(st.integers(0, size - 1))
    relevant, mates = (draw(st.lists(rows, min_size=count, max_size=count)) for _ in range(2))
    own = np.array(draw(st.lists(st.integers(-1, size - 1), min_size=count, max_size=count)))

    def judged(by_query):
        pairs = np.array([(q, row) for q, found in enumerate(by_query) for row in found], dtype=int).reshape(-1, 2)
        return Relevance.of_judgements(*pairs.T, count=count)

    vectors = np.arange(size, dtype=np.float32)[:, None]
    both = Embedded(np.zeros((count, 1), np.float32), vectors)
    held_out = np.array(sorted(draw(rows)), dtype=int)
    groups = np.array([str(q) for q in range(count)])
    task = SearchTask(both, both, judged(relevant), draw(st.sampled_from([own, None])), judged(mates), held_out, groups)
    return Parts(task, relevant, mates, own)


@settings(max_examples=100, deadline=None)
@given(tasks(), st.data())
def test_a_task_within_some_rows_speaks_of_the_same_rows(parts, data):
    """The vector of row i is [i], so each row is known by it wherever it goes."""
    task = parts.task
    kept = np.array(data.draw(st.permutations(range(task.index_size))))
    kept = kept[: data.draw(st.integers(1, task.index_size))]
    within = task.within(kept)
    name_of = within.teacher.index[:, 0].astype(int)
    assert name_of.tolist() == kept.tolist()
    assert within.draft.index[:, 0].astype(int).tolist() == kept.tolist()
    assert within.index_size == len(kept)
    for now, before in ((within.relevant, parts.relevant), (within.mates, parts.mates)):
        for q, rows in enumerate(before):
            assert {*name_of[now.rows[now.starts[q] : now.stops[q]]].tolist()} == rows & {*kept.tolist()}
    assert {*name_of[within.held_out].tolist()} == {*task.held_out.tolist()} & {*kept.tolist()}
    if task.own is None:
        assert within.own is None
    else:
        for now, before in zip(within.own, parts.own, strict=True):
            assert (name_of[now] if now >= 0 else -1) == (before if before in kept else -1)


def test_rows_that_are_left_out_of_an_index_are_nowhere_in_its_task():
    """Documents 0, 2, 4, ... of 120 are held out; 5, 4 and 0 are kept, in that order."""
    task, gains = documents()
    within = replace(task, own=np.arange(30)).within(np.array([5, 4, 0]))
    assert within.held_out.tolist() == [2, 1]
    assert within.own[:7].tolist() == [2, -1, -1, -1, 1, 0, -1]
    assert (within.relevant.stops - within.relevant.starts).tolist() == (gains[:, [5, 4, 0]] > 0).sum(axis=1).tolist()


def test_the_held_out_items_alone_are_the_index_of_the_former_metrics(small_pair):
    pair = load_pair(small_pair)
    task = search_task_of(pair)
    assert task.index_size == 240
    assert task.alone.index_size == len(pair.holdout.test) < 240
    np.testing.assert_array_equal(task.alone.own, np.arange(len(pair.holdout.test)))
    np.testing.assert_array_equal(task.alone.held_out, task.alone.own)


def test_a_duplicate_of_the_querys_text_counts_as_found():
    """Every text stands twice in the corpus, with the same vector: whichever comes first, the query's text is found."""
    generator = np.random.default_rng(4)
    vectors = unit(generator.standard_normal((60, 8))).repeat(2, axis=0)
    texts = [str(i // 2) for i in range(120)]
    labels = np.arange(120) // 6
    found, _ = score_by_hand(pair_of(vectors, vectors, labels, texts), np.eye(8))
    alone, _ = score_by_hand(pair_of(vectors, vectors, labels), np.eye(8))
    for deployment in DEPLOYMENTS:
        assert found[f"{deployment}_mate_recall_at_1"] == 1
        assert alone[f"{deployment}_mate_recall_at_1"] == pytest.approx(0.5)


def test_each_deployment_takes_its_own_side_of_the_map():
    mapped, teacher = (
        Embedded(np.full((1, 2), 1.0), np.full((2, 2), 2.0)),
        Embedded(np.full((1, 2), 3.0), np.ones((2, 2))),
    )
    sides = {name: vectors_of(name, mapped, teacher) for name in DEPLOYMENTS}
    assert sides["query_adapter"].queries is mapped.queries
    assert sides["query_adapter"].index is teacher.index
    assert sides["index_migration"].queries is teacher.queries
    assert sides["index_migration"].index is mapped.index
    assert sides["draft_only"].queries is mapped.queries
    assert sides["draft_only"].index is mapped.index

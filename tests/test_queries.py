"""Pairs with queries of their own: what is read, what is held out, and that numbers are those of TREC's tools."""

import itertools
import json

import ir_measures
import numpy as np
import pytest
from embedding_server import EmbeddingServer, vector
from ir_measures import RR, R, Success, nDCG
from pair_folders import ROOT, write_queries_pair

from embalign.embeddings.cache import VectorCache
from embalign.embeddings.fetch import embed_pair
from embalign.errors import CorpusError, PairError
from embalign.evaluation.deployment import DEPLOYMENTS, MOST_BLOCKS, Embedded, task_of, vectors_of
from embalign.evaluation.scorecard import map_task, metrics_of, search_task
from embalign.experiments.fits import Share, fitted_on, pool_of, rows_of
from embalign.pairs.config import read_config
from embalign.pairs.corpus import Item
from embalign.pairs.holdout import Holdout, check_texts, groups_of, split_queries
from embalign.pairs.pair import check_pair, load_pair
from embalign.pairs.provenance import file_digest
from embalign.pairs.queries import Judgements, Query, read_queries
from embalign.pairs.texts import Texts, read_texts

DOCUMENTS = [Item("d1", "first text"), Item("d2", "second text"), Item("d3", "third text")]
BEIR = '{"_id": "q1", "text": "one", "metadata": {}}\n{"_id": "q2", "text": "two"}\n'


@pytest.fixture
def read(tmp_path):
    """Return a function that writes queries, and qrels if any, and reads them."""

    def write_and_read(queries, qrels=None):
        (tmp_path / "queries.jsonl").write_text(queries)
        if qrels is not None:
            (tmp_path / "qrels.tsv").write_text(qrels)
        return read_queries(tmp_path / "queries.jsonl", None if qrels is None else tmp_path / "qrels.tsv", DOCUMENTS)

    return write_and_read


@pytest.mark.parametrize(
    "qrels",
    [
        "query-id\tcorpus-id\tscore\nq2\td3\t1\nq1\td1\t2\nq1\td2\t0\n",
        "query-id\tcorpus-id\tscore\r\nq2\td3\t1\r\nq1\td1\t2\r\n",
        "q2\td3\t1\nq1\td1\t2\nq1\td1\t2\nq1\td3\t-1\n",
        "q1 0 d1 2\nq1 0 d2 0\nq2 0 d3 1\n",
        "q1\t0\td1\t2.0\nq2\t0\td3\t1\n",
    ],
    ids=["BEIR", "line ends", "no header, twice the same, negative", "TREC", "TREC with tabs"],
)
def test_judgements_are_read_as_beir_and_trec_write_them(read, qrels):
    queries, found = read(BEIR, qrels)
    assert [query.id for query in queries] == ["q1", "q2"]
    assert (found.queries.tolist(), found.documents.tolist(), found.gains.tolist()) == ([0, 1], [0, 2], [2, 1])


def test_queries_may_say_themselves_what_is_relevant(read):
    queries, found = read(
        '{"id": "q1", "text": "one", "relevant": ["d2", "d1"], "label": "a"}\n'
        '{"id": "q2", "text": "two", "relevant": {"d3": 3, "d1": 0}}\n{"id": "q3", "text": "x", "relevant": []}\n'
    )
    assert queries[0] == Query("q1", "one", "a")
    assert (found.queries.tolist(), found.documents.tolist(), found.gains.tolist()) == ([0, 0, 1], [0, 1, 2], [1, 1, 3])


@pytest.mark.parametrize(
    ("queries", "qrels", "message"),
    [
        (
            '{"id": "q0", "text": "none", "relevant": ["d1"]}\n{"id": "q1", "text": "one"}',
            None,
            r"queries\.jsonl, line 2: query 'q1' has no relevant, as 1 of 2 queries; give each one, .*or name qrels",
        ),
        ('{"id": "q1", "text": "one", "relevant": ["d9"]}', None, "line 1: document 'd9' is not among the pair's 3"),
        ('{"id": "q1", "text": "one", "relevant": ["d1", "d1"]}', None, "line 1: a document is named twice"),
        ('{"id": "q1", "text": "one", "relevant": []}', None, "no query has a relevant document"),
        ('{"id": "q1", "text": " ", "relevant": ["d1"]}', None, r"line 1: Expected `str` .*\$\.text"),
        ('{"id": "q1", "text": "one", "relevant": {"d1": "much"}}', None, "line 1: Expected `float`, got `str`"),
        ('{"id": "q1", "text": "one", "answers": ["d1"]}', None, "line 1: .*unknown field `answers`"),
        ('{"id": "q1", "text": "one", "relevant": ["d1"]}\n' * 2, None, "line 2: id 'q1' is already used on line 1"),
        ('{"id": "q1", "text": "one", "relevant": ["d1"]}', "q1\td1\t1\n", r"line 1: .*qrels\.tsv judges too; remove"),
        ("\n", "q1\td1\t1\n", "no query"),
        ('{"_id": "q1", "text": "", "metadata": {}}', "q1\td1\t1\n", "line 1: 'q1' has neither title nor text"),
        (BEIR, "q1\td1\t1\nq9\td1\t1\n", r"qrels\.tsv, line 2: query 'q9' is not among the pair's 2"),
        (BEIR, "q1\td9\t1\n", r"qrels\.tsv, line 1: document 'd9' is not among the pair's 3"),
        (BEIR, "q1\td1\t1\nq1\td2\thigh\n", r"line 2: score 'high' is not a number; a line is query-id"),
        (BEIR, "q1\td1\tnan\n", "line 1: score nan of document 'd1' is not finite"),
        (BEIR, "q1\td1\t1\nq1\td1\t2\n", "line 2: query 'q1' and document 'd1' are judged twice, differently"),
        (BEIR, "q1\td1\n", r"line 1: 2 columns; found 'q1\\td1'"),
        (BEIR, "query-id\tcorpus-id\tscore\n", r"qrels\.tsv: no query has a relevant document"),
    ],
)
def test_what_is_wrong_with_queries_is_named_by_line(read, queries, qrels, message):
    with pytest.raises(CorpusError, match=message):
        read(queries, qrels)


@pytest.fixture(params=["own", "beir", "trec"])
def folder(request, debian, tmp_path):
    """A pair of 400 documents and their queries, in one of the forms that people have."""
    return write_queries_pair(tmp_path / "asked", debian, 400, request.param)


def test_a_folder_in_any_form_gives_the_same_pair(folder, debian):
    check_pair(folder)
    pair = load_pair(folder)
    assert [item.text for item in pair.items] == [item.text for item in debian.items[:400]]
    assert [query.text for query in pair.queries] == [query.text for query in debian.queries[:400]]
    np.testing.assert_array_equal(pair.judgements.documents, np.arange(400))
    assert pair.asking == pair.queries
    for vectors in (pair.draft, pair.teacher, pair.query_draft, pair.query_teacher):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_changed_texts_are_refused(debian, tmp_path, name):
    folder = write_queries_pair(tmp_path / "asked", debian, 60, "beir")
    judgement = f"q{debian.queries[0].id}\t{debian.items[1].id}\t1\n"
    with (folder / name).open("a") as file:
        file.write(judgement if name.startswith("qrels") else '{"_id": "new", "text": "x"}\n')
    with pytest.raises(PairError, match=rf"{name}: its SHA-256 is .* records"):
        check_pair(folder)


def test_a_side_needs_one_model_for_documents_and_queries(debian, tmp_path):
    folder = write_queries_pair(tmp_path / "asked", debian, 60)
    path = folder / "embeddings" / "provenance.json"
    content = json.loads(path.read_text())
    for suffix in ("", "_queries"):
        source = folder / "embeddings" / f"teacher{suffix}.safetensors"
        (folder / "embeddings" / f"draft{suffix}.safetensors").write_bytes(
            source.read_bytes() if suffix else (folder / "embeddings" / "draft.safetensors").read_bytes()
        )
    content["draft_queries"] = content["teacher_queries"]
    path.write_text(json.dumps(content))
    with pytest.raises(PairError, match="vectors of documents have dimension 40, those of queries 56"):
        check_pair(folder)


def test_qrels_without_queries_are_refused(debian, tmp_path):
    folder = write_queries_pair(tmp_path / "asked", debian, 60, "beir")
    toml = (folder / "pair.toml").read_text()
    (folder / "pair.toml").write_text(toml.replace('queries = "queries.jsonl"\n', ""))
    with pytest.raises(PairError, match=r"qrels 'qrels/test\.tsv' judge queries, and no queries are named"):
        read_config(folder)


def texts_of(queries, documents, relevant):
    """Texts with query and document labels, None for none, and pairs of rows that are relevant."""
    rows = np.array(relevant, np.int64).reshape(-1, 2)
    return Texts(
        [Item(f"d{i}", f"document {i} {'x' * i}", label) for i, label in enumerate(documents)],
        [Query(f"q{i}", f"query {i} {'y' * i}", label) for i, label in enumerate(queries)],
        Judgements(rows[:, 0], rows[:, 1], np.ones(len(rows))),
    )


def test_what_shared_documents_and_labels_join_is_one_group():
    texts = texts_of([None, None, None, "a"], [None, None, "a", None, None], [(0, 0), (1, 0), (1, 1), (2, 3)])
    queries, documents = groups_of(texts)
    assert queries.tolist() == ["d0", "d0", "d3", "a"]
    assert documents.tolist() == ["d0", "d0", "a", "d3", "d4"]


def test_queries_and_documents_that_belong_together_stay_on_one_side(debian):
    split, groups = debian.holdout, debian.groups
    assert split.test.size > 1000
    assert not set(groups[split.train]) & set(groups[np.concatenate([split.test, split.near_duplicates])])
    judged = dict(zip(debian.judgements.queries.tolist(), debian.judgements.documents.tolist(), strict=True))
    assert not {judged[row] for row in split.test.tolist()} & set(split.train_documents.tolist())
    assert {judged[row] for row in split.test.tolist()} == set(split.test_documents.tolist())
    labels = np.array([item.label for item in debian.items])
    assert not set(labels[split.train_documents]) & set(labels[split.test_documents])


def test_queries_without_a_relevant_document_and_documents_without_a_query_are_for_training():
    relevant = [(i, i) for i in range(10)]
    split = split_queries(texts_of([None] * 12, [None] * 13, relevant))
    assert {10, 11} <= set(split.train.tolist())
    assert {10, 11, 12} <= set(split.train_documents.tolist())
    assert len(split.test) == len(split.test_documents) == 2


def test_a_query_whose_document_is_nearly_a_training_text_does_not_ask():
    long = "the same long description of a package that is shipped in several parts for several uses"
    documents = [Item(f"d{i}", f"{long} number {i}") for i in range(20)]
    queries = [Query(f"q{i}", f"short {i} {'z' * i}") for i in range(20)]
    texts = Texts(documents, queries, Judgements(np.arange(20), np.arange(20), np.ones(20)))
    with pytest.raises(CorpusError, match="all 4 held-out queries, or their documents, are near-duplicates"):
        split_queries(texts)


def test_a_document_stays_held_out_while_one_of_its_queries_asks():
    """Of ten queries of each of two documents one is a text of the other ten too, whichever are held out."""
    documents = [Item(f"d{i}", f"{name} description") for i, name in enumerate(["first", "other long"])]
    queries = [Query(f"q{i}", "the same question" if i < 2 else f"question {i} {'z' * i}") for i in range(20)]
    split = split_queries(Texts(documents, queries, Judgements(np.arange(20), np.arange(20) % 2, np.ones(20))))
    assert len(split.test) == 9
    assert len(split.near_duplicates) == 1
    assert split.test_documents.tolist() == [split.test[0] % 2]


def test_queries_that_all_share_a_document_cannot_be_split():
    with pytest.raises(CorpusError, match=r"the 9 queries .* cannot be split .* join them into 1 group"):
        check_texts(texts_of([None] * 9, [None] * 3, [(i, 0) for i in range(9)]))


def test_a_profile_asks_whole_groups_in_an_order_that_only_their_names_give(debian):
    few, more = (debian.asked_by(most) for most in (600, 900))
    assert debian.asked_by(600) is few
    assert few.draft is debian.draft
    assert len(few.holdout.test) <= 600 < len(more.holdout.test) <= 900
    groups = debian.groups
    asked, of_all = set(groups[few.holdout.test].tolist()), groups[debian.holdout.test]
    assert len(few.holdout.test) == np.isin(of_all, sorted(asked)).sum()
    np.testing.assert_array_equal(few.holdout.test_documents, debian.holdout.test_documents)
    np.testing.assert_array_equal(few.holdout.train, debian.holdout.train)
    assert debian.asked_by(10_000).holdout.test.size == debian.holdout.test.size


def test_where_few_groups_would_fit_single_queries_of_all_are_asked():
    groups = np.repeat([f"g{i}" for i in range(10)], 100)
    rows = np.arange(1000)
    texts = [f"text {i}" for i in rows]
    split = Holdout(rows[:0], rows, rows[:0], rows[:0], rows).asked_by(250, groups, texts)
    assert len(split.test) == 250
    assert len(set(groups[split.test].tolist())) == 10
    turned = Holdout(rows[:0], rows, rows[:0], rows[:0], rows).asked_by(250, groups[::-1], texts[::-1])
    assert {texts[row] for row in split.test.tolist()} == {texts[::-1][row] for row in turned.test.tolist()}


@pytest.mark.parametrize("kind", ["queries", "documents", "query_document"])
def test_no_map_is_fitted_on_what_is_held_out(debian, kind):
    pair = debian.asked_by(600)
    fitted, pool = fitted_on(pair, kind), pool_of(pair, 0, kind)
    assert set(pool.tolist()) <= set(fitted.train.tolist())
    assert len(rows_of(pair, Share("random", 0.1, fit_on=kind), 0)) == round(0.1 * len(pool))
    rows = pool if kind != "query_document" else np.arange(0)
    held_out = debian.holdout.test_documents if kind == "documents" else debian.holdout.test
    assert not set(rows.tolist()) & set(held_out.tolist())
    if kind == "query_document":
        of_training = np.isin(debian.judgements.queries, debian.holdout.train)
        np.testing.assert_array_equal(fitted.draft, debian.query_draft[debian.judgements.queries[of_training]])
        np.testing.assert_array_equal(fitted.teacher, debian.teacher[debian.judgements.documents[of_training]])


def test_a_pair_without_queries_has_one_thing_to_fit_on(smollm2):
    with pytest.raises(PairError, match="has no queries of its own, so a map cannot be fitted on documents"):
        smollm2.fitted_on("documents")
    with pytest.raises(ValueError, match="one of queries, documents, query_document, not on 'items'"):
        smollm2.fitted_on("items")


MEASURES = [nDCG @ 10, RR, RR @ 10, R @ 10, R @ 100, Success @ 1, Success @ 5, Success @ 10]
COLUMNS = (
    *("ndcg_at_10", "mrr", "mrr_at_10", "trec_recall_at_10", "trec_recall_at_100"),
    *("recall_at_1", "recall_at_5", "recall_at_10"),
)


def test_in_each_deployment_metrics_are_those_of_ir_measures(debian):
    """Graded judgements, several a query, some queries without one among the first ten."""
    pair = debian.asked_by(60)
    rng = np.random.default_rng(0)
    extra = np.column_stack([np.repeat(pair.holdout.test, 3), rng.choice(len(pair.items), 3 * len(pair.holdout.test))])
    rows = np.concatenate([np.column_stack([debian.judgements.queries, debian.judgements.documents]), extra])
    rows, first = np.unique(rows, axis=0, return_index=True)
    gains = np.where(first < len(debian.judgements.queries), 2.0, 1.0)
    vars(pair)["judgements"] = Judgements(rows[:, 0], rows[:, 1], gains)
    task = task_of(pair)
    mapped = map_task(rng.standard_normal((384, 256)).astype(np.float32) / 16, task)
    # In float64: trec_eval takes similarities that differ in their last bit for different, a search for tied.
    teacher = Embedded(task.teacher.queries.astype(float), task.teacher.index.astype(float))
    mapped = Embedded(mapped.queries + 0.2 * teacher.queries, mapped.index + 0.2 * teacher.index)

    place = {row: str(i) for i, row in enumerate(pair.holdout.test.tolist())}
    qrels = [
        ir_measures.Qrel(place[q], str(d), int(gain))
        for (q, d), gain in zip(rows.tolist(), gains.tolist(), strict=True)
        if q in place
    ]
    for name in DEPLOYMENTS:
        vectors = vectors_of(name, mapped, teacher)
        left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (vectors.queries, vectors.index))
        similarity = left @ right.T
        run = [
            ir_measures.ScoredDoc(str(q), str(d), float(similarity[q, d]))
            for q, d in itertools.product(range(len(left)), range(len(right)))
        ]
        expected = ir_measures.calc_aggregate(MEASURES, qrels, run)
        found = metrics_of(search_task(task, vectors))
        for measure, column in zip(MEASURES, COLUMNS, strict=True):
            assert found[column] == pytest.approx(expected[measure], abs=1e-12), (name, column)
        assert 0 < found["ndcg_at_10"] < 0.9


@pytest.mark.parametrize(
    "name",
    sorted(
        path.parent.name for path in (ROOT / "benchmark").glob("*/queries.jsonl") if "whole" not in path.parent.name
    ),
)
def test_what_the_teacher_of_a_shipped_pair_finds_is_what_ir_measures_says(name):
    """Its own queries in its own index, the first 150 documents of each query."""
    pair = load_pair(ROOT / "benchmark" / name).asked_by(300)
    task = task_of(pair)
    teacher = Embedded(task.teacher.queries.astype(float), task.teacher.index.astype(float))
    left, right = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (teacher.queries, teacher.index))
    similarity = left @ right.T
    first = np.argpartition(-similarity, 150, axis=1)[:, :150]
    run = [ir_measures.ScoredDoc(str(q), str(d), float(similarity[q, d])) for q, row in enumerate(first) for d in row]
    place = {row: str(i) for i, row in enumerate(pair.holdout.test.tolist())}
    judgements = zip(
        pair.judgements.queries.tolist(), pair.judgements.documents.tolist(), pair.judgements.gains, strict=True
    )
    qrels = [ir_measures.Qrel(place[q], str(d), int(gain)) for q, d, gain in judgements if q in place]
    expected = ir_measures.calc_aggregate([nDCG @ 10, R @ 100], qrels, run)
    found = metrics_of(search_task(task, teacher))
    assert found["ndcg_at_10"] == pytest.approx(expected[nDCG @ 10], abs=1e-12)
    assert found["trec_recall_at_100"] == pytest.approx(expected[R @ 100], abs=1e-12)


def test_standard_errors_are_over_a_hundred_sets_of_groups_where_there_are_more(debian):
    task = task_of(debian)
    assert len(np.unique(task.groups)) > 500
    assert len(np.unique(task.blocks)) == MOST_BLOCKS
    for group in np.unique(task.groups)[:50]:
        assert len(set(task.blocks[task.groups == group])) == 1
    small = task_of(debian.asked_by(40))
    assert small.blocks is small.groups


def test_a_pair_with_queries_is_fetched_with_both_models(httpserver, tmp_path):
    server = EmbeddingServer(httpserver)
    folder = tmp_path / "asked"
    folder.mkdir()
    side = f'source = "ollama"\nmodel = "little"\nendpoint = "{server.url}"\n'
    (folder / "pair.toml").write_text(
        f'queries = "queries.jsonl"\nqrels = "qrels.tsv"\nstorage = "int8"\n[draft]\n{side}[teacher]\n{side}'
    )
    names = [str(i) for i in range(12)]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": name, "title": f"Title {name}", "text": "body " * 4}) + "\n" for name in names)
    )
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": name, "text": f"what is {name}"}) + "\n" for name in names)
    )
    (folder / "qrels.tsv").write_text("".join(f"{name}\t{name}\t1\n" for name in names))
    cache = VectorCache(tmp_path / "cache.sqlite")
    embed_pair(folder, cache, quiet=True)
    cache.close()
    check_pair(folder)
    pair = load_pair(folder)
    for own, texts in (
        (pair.teacher, [f"Title {name} body body body body" for name in names]),
        (pair.query_draft, [f"what is {name}" for name in names]),
    ):
        cosines = (own * np.array([vector(text) for text in texts])).sum(axis=1)
        assert cosines.min() >= 0.9999
    recorded = json.loads((folder / "embeddings" / "provenance.json").read_text())
    assert {"corpus_sha256", "queries_sha256", "qrels_sha256", "draft_queries", "teacher_queries"} <= set(recorded)
    assert recorded["draft_queries"]["sha256"] == file_digest(folder / "embeddings" / "draft_queries.safetensors")


def test_texts_are_read_in_the_order_of_their_vectors(folder):
    texts = read_texts(folder, read_config(folder))
    assert len(texts.embedded("draft")) == len(texts.embedded("teacher_queries")) == 400
    assert texts.embedded("draft_queries")[3] == texts.queries[3].text

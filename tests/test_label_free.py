"""Pairs that nobody has labelled or judged: the teacher's own ranking is what is relevant, and every report says so."""

import dataclasses
import importlib
import json
import pickle
import re

import numpy as np
import pytest
import synthetic_runs
from pair_folders import write_pair, write_queries_pair

from embalign.deploy.card import Card
from embalign.deploy.map import Wanted, export_map
from embalign.deploy.summary import summarise
from embalign.errors import CorpusError
from embalign.evaluation.deployment import asked_by, task_of
from embalign.evaluation.index import Index
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.results import collect
from embalign.evaluation.scorecard import metrics_of, search_task
from embalign.evaluation.teacher_ranking import GAINS, teachers_own
from embalign.experiments.elbow import protocol
from embalign.experiments.fits import score_map
from embalign.experiments.gate.findings import Findings
from embalign.experiments.references import REFERENCES, score_reference
from embalign.experiments.templates import sentences
from embalign.pairs.clusters import cluster_names, count, names_of_documents
from embalign.pairs.corpus import Item, read_corpus
from embalign.pairs.holdout import check_texts
from embalign.pairs.pair import check_pair, load_pair, pair_digest
from embalign.pairs.provenance import file_digest
from embalign.pairs.queries import Query, read_queries
from embalign.pairs.texts import Texts
from embalign.runs.provenance import _split
from embalign.verdicts.basis import AGREEMENT, OF_TEACHER

LABELLED = '{"id": "a", "text": "one text", "label": "x"}\n'
SPLIT = {"train": 300, "held_out": 62, "near_duplicates": 2, "asking": 60, "groups": 12}
PLAIN = '{"id": "b", "text": "two texts"}\n'


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def drop(folder, *, labels=True):
    """Take labels and judgements out of a pair's files, and record their new digests."""
    for name in ("corpus", "queries"):
        path = folder / f"{name}.jsonl"
        if path.exists():
            gone = ("label", "relevant") if labels else ("relevant",)
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            kept = [{key: value for key, value in line.items() if key not in gone} for line in lines]
            path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    path = folder / "embeddings" / "provenance.json"
    content = json.loads(path.read_text())
    for name in ("corpus", "queries"):
        if f"{name}_sha256" in content:
            content[f"{name}_sha256"] = file_digest(folder / f"{name}.jsonl")
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def free_folder(smollm2, tmp_path_factory):
    """The folder of 400 items without labels."""
    return drop(write_pair(tmp_path_factory.mktemp("free") / "free", smollm2, 400))


@pytest.fixture(scope="module")
def free(free_folder):
    """The pair of 400 items without labels."""
    return load_pair(free_folder)


@pytest.fixture(scope="module")
def asked(debian, tmp_path_factory):
    """A pair of 400 documents and their queries without judgements."""
    return load_pair(drop(write_queries_pair(tmp_path_factory.mktemp("asked") / "asked", debian, 400)))


# What is read.


def test_a_corpus_without_labels_is_read_and_one_with_some_names_the_first_without(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text(PLAIN + '{"id": "c", "text": "THREE", "label": null, "style": "upper", "base": "b"}\n')
    items = read_corpus(path)
    assert [item.label for item in items] == [None, None]
    assert Texts(items).relevance == "teacher"
    path.write_text(LABELLED + PLAIN + LABELLED.replace('"a"', '"c"'))
    with pytest.raises(CorpusError, match=r"line 2: 'b' has no label, as 1 of 3 items; give every item one, .*remove"):
        read_corpus(path)
    path.write_text(LABELLED + '{"id": "c", "text": "ONE TEXT", "style": "upper", "base": "a"}\n')
    with pytest.raises(CorpusError, match=r"line 2: 'c' has no label, as 1 of 2 items; .* style variants too"):
        read_corpus(path)


def test_queries_that_all_say_nothing_are_judged_by_the_teacher_and_some_are_an_error(tmp_path):
    path = tmp_path / "queries.jsonl"
    path.write_text('{"id": "q1", "text": "one"}\n{"_id": "q2", "text": "two", "metadata": {}}\n')
    queries, judgements = read_queries(path, None, [Item("d1", "a text")])
    assert judgements is None
    assert Texts([Item("d1", "a text", "label")], queries).relevance == "teacher"
    path.write_text('{"id": "q1", "text": "one", "relevant": ["d1"]}\n{"id": "q2", "text": "two"}\n')
    with pytest.raises(CorpusError, match=r"line 2: query 'q2' has no relevant, as 1 of 2 queries; .*name qrels"):
        read_queries(path, None, [Item("d1", "a text")])


@pytest.mark.parametrize(
    ("items", "queries", "message"),
    [
        (19, 0, "19 items, and nobody says what is relevant: .* needs 20 of each at least; use more texts, or give"),
        (30, 5, "5 queries and 30 documents, and nobody says"),
        (5, 30, "30 queries and 5 documents, and nobody says"),
    ],
)
def test_texts_are_checked_without_vectors(items, queries, message):
    documents = [Item(f"d{i}", f"document {i}") for i in range(items)]
    with pytest.raises(CorpusError, match=message):
        check_texts(Texts(documents, [Query(f"q{i}", f"query {i}") for i in range(queries)]))
    check_texts(Texts([Item(f"d{i}", f"document {i}") for i in range(20)]))


# What is relevant.


def by_definition(queries, index, left_out):
    """The teacher's ranking of each query, its ten first rows with their gains."""
    similarity = queries.astype(np.float64) @ index.T.astype(np.float64)
    for row, columns in enumerate(left_out):
        similarity[row, columns] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :10]
    return [
        {
            int(column): gain
            for column, gain in zip(columns, GAINS, strict=False)
            if np.isfinite(similarity[row, column])
        }
        for row, columns in enumerate(order)
    ]


def as_gains(relevant):
    spans = zip(relevant.starts, relevant.stops, strict=True)
    return [dict(zip(relevant.rows[a:b].tolist(), relevant.gains[a:b], strict=True)) for a, b in spans]


@pytest.mark.parametrize("size", [7, 10, 40, 300])
def test_relevant_are_the_teachers_ten_nearest_in_any_index(size, monkeypatch):
    rng = np.random.default_rng(size)
    queries, index = unit(rng.standard_normal((23, 12))), unit(rng.standard_normal((size, 12)))
    left_out = [[row % size, (row + 1) % size] for row in range(23)]
    pairs = np.array([(row, column) for row, columns in enumerate(left_out) for column in columns])
    monkeypatch.setattr("embalign.evaluation.teacher_ranking.BLOCK", 5 * size)  # of several blocks
    found = teachers_own(queries, Index(index), Relevance.of_judgements(*pairs.T, count=23))
    assert as_gains(found) == by_definition(queries, index, left_out)
    without = teachers_own(queries, Index(index))
    assert as_gains(without) == by_definition(queries, index, [[]] * 23)


def test_rows_that_tie_share_the_gains_of_their_places():
    rng = np.random.default_rng(0)
    query = unit(rng.standard_normal((1, 16)))
    near = unit(query + 0.1 * rng.standard_normal((9, 16)))
    index = np.concatenate([near, near[[8, 8]], unit(rng.standard_normal((30, 16)))])
    order = np.argsort(-(near @ query[0]))
    (gains,) = as_gains(teachers_own(query, Index(index)))
    first = int(np.flatnonzero(order == 8)[0])
    shared = np.append(GAINS, [0.0, 0.0])[first : first + 3].mean()
    assert [gains[row] for row in (8, 9, 10)] == pytest.approx([shared] * 3)
    assert sum(gains.values()) == pytest.approx(GAINS.sum())
    moved = rng.permutation(len(index))
    (again,) = as_gains(teachers_own(query, Index(index[moved])))
    assert {int(moved[row]): gain for row, gain in again.items()} == pytest.approx(gains)


def test_equal_vectors_by_the_hundred_are_neither_slow_nor_wrong():
    index = np.repeat(np.eye(4, dtype=np.float32), 500, axis=0)
    found = teachers_own(index[:3], Index(index))
    assert found.most == 100
    np.testing.assert_allclose([sum(gains.values()) for gains in as_gains(found)], GAINS.sum())


@pytest.mark.parametrize("name", ["free", "asked"])
def test_the_teacher_finds_all_of_its_own_whatever_the_index(name, request):
    pair = request.getfixturevalue(name)
    task = task_of(pair)
    assert task.by_teacher
    random = np.random.default_rng(0).permutation(task.index_size)[: task.index_size // 2]
    for each in (task, task.alone, task.within(np.union1d(random, task.held_out))):
        found = search_task(each, each.teacher)
        np.testing.assert_allclose(found.ndcg, 1, atol=1e-9)
        assert metrics_of(found)["trec_recall_at_10"] == pytest.approx(1, abs=1e-3)
        assert not np.isnan(search_task(each, each.draft).ndcg).any()


def test_a_smaller_index_has_its_own_ten(free):
    task = task_of(free)
    alone = task.alone
    again = teachers_own(task.teacher.queries, Index(task.teacher.index[task.held_out]), alone.mates)
    assert as_gains(alone.relevant) == as_gains(again)
    filtered = task.relevant.within(task.held_out, task.index_size)
    assert (filtered.stops - filtered.starts).mean() < 9 < (alone.relevant.stops - alone.relevant.starts).min()


def test_an_item_and_its_copies_are_no_answers_to_it(free):
    vectors = {name: np.concatenate([getattr(free, name), getattr(free, name)[:40]]) for name in ("draft", "teacher")}
    items = (*free.items, *(Item(f"copy {i}", item.text) for i, item in enumerate(free.items[:40])))
    pair = dataclasses.replace(free)
    vars(pair).update(vars(free) | vectors | {"items": items})
    for name in ("groups", "document_groups", "holdout", "_smaller", "labels"):
        vars(pair).pop(name, None)
    rows = np.arange(40)
    task = asked_by(pair, rows)
    for row, gains in enumerate(as_gains(task.relevant)):
        assert not gains.keys() & {row, 400 + row}
        assert len(gains) >= 10
    for vectors in (task.teacher, task.draft):
        found = search_task(task, vectors)
        assert not (np.isin(found.nearest, [rows, 400 + rows]) & (found.nearest % 400 == rows)).any()
    np.testing.assert_allclose(search_task(task, task.teacher).ndcg, 1, atol=1e-9)
    whole = asked_by(free, rows)
    np.testing.assert_allclose(search_task(whole, whole.teacher).top1, search_task(task, task.teacher).top1, atol=1e-6)


# What is held out.


def test_clusters_are_enough_and_the_same_however_often_they_are_made(free):
    names = cluster_names(free.teacher)
    assert len(set(names.tolist())) == count(400) == 80
    assert (names == cluster_names(free.teacher.copy())).all()
    assert {name[:8] for name in names.tolist()} == {"cluster "}
    near = (free.teacher @ free.teacher.T)[~np.eye(400, dtype=bool)].reshape(400, 399)
    same = (names[:, None] == names)[~np.eye(400, dtype=bool)].reshape(400, 399)
    assert near[same].mean() > near[~same].mean() + 0.1
    for vectors in (np.ones((30, 4), np.float32) / 2, np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)):
        assert 1 <= len(set(cluster_names(vectors).tolist())) <= 3


def test_a_large_pair_is_clustered_by_a_sample(monkeypatch):
    rng = np.random.default_rng(0)
    topics = unit(rng.standard_normal((20, 32)))
    vectors = unit(topics.repeat(100, axis=0) + 0.02 * rng.standard_normal((2000, 32)))
    monkeypatch.setattr("embalign.pairs.clusters.SAMPLE", 400)
    monkeypatch.setattr("embalign.pairs.clusters.BLOCK", 300)
    names = cluster_names(vectors).reshape(20, 100)
    of_topics = [set(own.tolist()) for own in names]
    assert not set.intersection(*of_topics)
    assert sum(map(len, of_topics)) == len(set.union(*of_topics))


def test_whole_clusters_are_held_out(free):
    split, groups = free.holdout, free.groups
    assert 0.15 < (len(split.test) + len(split.near_duplicates)) / 400 < 0.25
    assert not set(groups[split.train]) & set(groups[split.test])
    sizes = np.unique(groups[split.test], return_counts=True)[1]
    assert sizes.sum() ** 2 / (sizes**2).sum() > 8
    fitted = free.fitted_on()
    assert (fitted.groups == groups).all()
    smaller = free.asked_by(40)
    assert len(smaller.holdout.test) <= 40
    assert smaller.groups is free.groups


def test_queries_are_held_out_with_the_documents_that_they_find_first(asked):
    split = asked.holdout
    assert asked.relevance == "teacher"
    assert asked.asking == asked.queries
    assert not set(asked.groups[split.train]) & set(asked.groups[split.test])
    assert not set(asked.document_groups[split.train_documents]) & set(asked.document_groups[split.test_documents])
    first = (asked.query_teacher @ asked.teacher.T).argmax(axis=1)
    same = asked.groups == asked.document_groups[first]
    assert same.mean() > 0.8
    for kind in ("queries", "documents", "query_document"):
        fitted = asked.fitted_on(kind)
        assert len(fitted.draft) == len(fitted.teacher) == len(fitted.groups)
    pairs = asked.fitted_on("query_document")
    training = asked.teacher[split.train_documents]
    best = training[(asked.query_teacher[split.train] @ training.T).argmax(axis=1)]
    np.testing.assert_array_equal(pairs.teacher, best)


def test_labels_of_queries_keep_them_on_one_side(asked):
    labelled = dataclasses.replace(asked)
    queries = tuple(Query(q.id, q.text, f"label {i % 7}" if i < 200 else None) for i, q in enumerate(asked.queries))
    vars(labelled).update({name: value for name, value in vars(asked).items() if name in asked.__dataclass_fields__})
    vars(labelled).update(queries=queries)
    assert labelled.relevance == "teacher"
    assert set(labelled.groups[:200].tolist()) == {f"label {i}" for i in range(7)}
    assert all(name.startswith("cluster ") for name in labelled.groups[200:].tolist())


def test_documents_without_a_query_belong_to_their_nearest_one():
    queries = np.eye(3, dtype=np.float32)
    documents = unit(np.array([[1, 0.1, 0], [0.9, 0.4, 0], [0, 1, 0.2], [0, 0.1, 1], [0, 0.6, 0.5]]))
    names = names_of_documents(queries, np.array(["a", "b", "c"]), documents)
    assert names.tolist() == ["a", "a", "b", "c", "b"]


def test_a_pair_travels_with_its_split(free):
    assert free.holdout.test.size
    there = pickle.loads(pickle.dumps(free))
    assert "groups" in vars(there)
    np.testing.assert_array_equal(there.holdout.test, free.holdout.test)
    np.testing.assert_array_equal(there.groups, free.groups)


def test_other_vectors_of_the_same_items_are_held_out_alike(free):
    other = free.with_vectors(teacher=np.roll(free.teacher, 7, axis=0))
    np.testing.assert_array_equal(other.groups, free.groups)


def test_a_pair_without_labels_has_cells_of_its_own(smollm2, free_folder, tmp_path):
    check_pair(free_folder)
    assert pair_digest(free_folder) != pair_digest(write_pair(tmp_path / "labelled", smollm2, 400))


def test_without_the_line_qrels_a_folder_of_beir_is_another_pair(debian, tmp_path):
    folder = write_queries_pair(tmp_path / "beir", debian, 60, "beir")
    before = pair_digest(folder)
    toml = (folder / "pair.toml").read_text()
    (folder / "pair.toml").write_text(toml.replace('qrels = "qrels/test.tsv"\n', ""))
    check_pair(folder)
    assert load_pair(folder).relevance == "teacher"
    assert pair_digest(folder) != before


# What is said.


@pytest.fixture(scope="module")
def references(free):
    """The references of experiment 1 on the pair without labels, two seeds."""
    cells = [
        ({"reference": name, "seed": seed}, score_reference(free, name, seed)) for seed in (0, 1) for name in REFERENCES
    ]
    return collect(cells)


def judged(free, references, basis):
    rng = np.random.default_rng(0)
    rows = []
    for seed in (0, 1):
        for ratio in (0.5, 1.0):
            train = rng.permutation(free.holdout.train)[: int(ratio * len(free.holdout.train))]
            weights = np.linalg.lstsq(
                np.vstack([free.draft[train], np.eye(48)]),
                np.vstack([free.teacher[train], np.zeros((48, 64))]),
                rcond=None,
            )[0].T.astype(np.float32)
            setting = {"policy": "random", "budget": "tuned", "ratio": ratio, "seed": seed}
            facts = {"n_train": len(train), "n_over_d": len(train) / 48}
            found = score_map(free, weights, seed)
            rows.append((setting, dataclasses.replace(found, metrics={**found.metrics, **facts})))
    return protocol.judge(collect(rows), references, None, basis)


def test_the_answer_says_first_what_is_relevant_and_names_it_in_its_verdicts(free, references):
    judgement = judged(free, references, "teacher")
    assert [found.name for found in judgement.suspicions] == []
    lines = sentences("elbow/answer.md.j2", "lines", judgement, protocol.BUDGETS, protocol.MARGIN_SHARE)
    assert lines[0] == AGREEMENT
    assert len(lines) <= 11
    for start in ("Query adapter", "Index migration", "Draft only", "Recommended ratio:", "Last doubling:", "Elbow:"):
        (line,) = [line for line in lines if line.startswith(start)]
        assert OF_TEACHER in line or line == "Recommended ratio: none.", line
    for use in judgement.uses.values():
        assert use.teacher == pytest.approx(1)
        assert use.retention.mean == pytest.approx(use.value)


def test_the_teacher_that_finds_its_own_is_no_ceiling_but_chance_still_counts(free, references):
    assert [found.name for found in judged(free, references, "labels").suspicions] == ["ceiling"]
    frame = references.frame
    assert frame.loc[frame["reference"] == "teacher", "query_adapter_ndcg_at_10"].to_numpy() == pytest.approx(1)
    assert frame.loc[frame["reference"] == "chance", "query_adapter_ndcg_at_10"].max() < 0.1
    noise = free.with_vectors(draft=unit(np.random.default_rng(0).standard_normal(free.draft.shape)))
    task = task_of(noise)
    assert metrics_of(search_task(task, task.draft))["ndcg_at_10"] < 0.1


@pytest.mark.parametrize("experiment", ["elbow", "spectral", "gate"])
def test_every_report_says_early_what_is_relevant(experiment, tmp_path, monkeypatch):
    about = synthetic_runs.about(experiment)
    about["data"]["split"] = SPLIT | {"relevance": "teacher", "own_queries": False}
    report = importlib.import_module(f"embalign.experiments.{experiment}.report")
    for name in [name for name in vars(report) if name.startswith("draw")]:
        monkeypatch.setattr(report, name, lambda *arguments: None)  # figures take longer than all else
    run = getattr(synthetic_runs, experiment)()
    if experiment == "elbow":  # a curve of each metric is enough
        curves = run["data_ratio_vs_metrics"]
        run["data_ratio_vs_metrics"] = curves.where(policy="random", budget=["tuned", "steps"])
    answer = report.write_report(run, about, tmp_path).split("\n")
    assert answer.index(AGREEMENT) <= 1
    assert sum(OF_TEACHER in line or "teacher's own" in line for line in answer) >= 2
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.split("\n")[2 + answer.index(AGREEMENT)] == f"- **{AGREEMENT}**"
    assert "docs/calibration/label-free.md" in text
    assert not re.search("label group|[^o] label[^s-]|judged so", text.split("## Run it again")[0])
    assert json.loads((tmp_path / "verdict.json").read_text())["relevance"] == "teacher"


def test_provenance_and_gate_know_what_is_relevant(free, asked, smollm2):
    assert _split(free, 600) | {"relevance": "teacher", "own_queries": False} == _split(free, 600)
    assert _split(asked, 600) | {"relevance": "teacher", "own_queries": True} == _split(asked, 600)
    assert _split(smollm2, 600)["relevance"] == "labels"
    assert Findings.basis == "labels"


def test_an_exported_map_says_that_it_was_held_to_the_teacher(free_folder, tmp_path):
    path = export_map(free_folder, tmp_path / "maps", wanted=Wanted("matrix"))
    card = Card.from_disk(path.with_suffix(".json"))
    assert card.relevance == "teacher"
    assert card.measured_on.endswith("clusters, index of the whole corpus")
    assert summarise(path).splitlines()[0] == AGREEMENT
    use = card.deployments["query_adapter"]
    assert use.retention["ndcg_at_10"].value == pytest.approx(use.quality["ndcg_at_10"].value)
    assert use.teacher["ndcg_at_10"].value == pytest.approx(1)
    promises = [own.promise for each in card.deployments.values() for own in each.thresholds.values() if own.promise]
    assert all("not among the teacher's own ten nearest" in promise for promise in promises)

"""What answers a training text: what somebody has judged, by the teacher's vectors of training texts alone."""

import dataclasses

import numpy as np
import pytest
from pair_folders import write_queries_pair

from embalign.maps.answers import answers_of
from embalign.maps.choose import _inner, choose, fit_for
from embalign.maps.families import FAMILIES
from embalign.pairs.pair import load_pair
from embalign.pairs.queries import Judgements

COUNT = 240


@pytest.fixture
def pair(debian, tmp_path):
    """A pair whose queries are answered two by two by the same two documents, every sixth by none."""
    pair = load_pair(write_queries_pair(tmp_path / "pair", debian, COUNT))
    queries = np.repeat(np.arange(COUNT), 2)
    documents = queries // 2 * 2 + np.tile([0, 1], COUNT)
    kept = queries % 6 != 5
    vars(pair)["judgements"] = Judgements(queries[kept], documents[kept], np.ones(kept.sum()))
    return pair


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_what_answers_a_query_is_the_direction_of_its_documents(pair):
    rows = pair.holdout.train[::-1]
    found = answers_of(pair, "queries", rows)
    first = rows // 2 * 2
    expected = np.where(
        (rows % 6 != 5)[:, None], pair.teacher[first] + pair.teacher[first + 1], pair.query_teacher[rows]
    )
    np.testing.assert_allclose(found.vectors, unit(expected), atol=1e-6)
    names = np.where(rows % 6 != 5, first, -rows)
    np.testing.assert_array_equal(found.same[:, None] == found.same, names[:, None] == names)
    assert len(set(names.tolist())) < len(rows)


def test_what_answers_a_document_are_its_queries(pair):
    rows = pair.holdout.train_documents
    found = answers_of(pair, "documents", rows)
    first = rows // 2 * 2
    both = (first + 1) % 6 != 5
    expected = pair.query_teacher[first] + np.where(both[:, None], pair.query_teacher[first + 1], 0)
    np.testing.assert_allclose(found.vectors, unit(expected), atol=1e-6)
    np.testing.assert_array_equal(found.same[:, None] == found.same, first[:, None] == first)


def test_a_text_without_an_answer_and_answers_without_a_direction_leave_its_own_vector(pair):
    first = int(pair.holdout.train[0]) // 2 * 2
    pair.teacher[first + 1] = -pair.teacher[first]
    rows = pair.holdout.train
    found = answers_of(pair, "queries", rows)
    np.testing.assert_array_equal(found.vectors[rows == first], pair.query_teacher[first : first + 1])
    assert np.bincount(found.same)[found.same[rows == first]] == 1


@pytest.mark.parametrize("kind", ["queries", "documents"])
def test_answers_are_training_texts_alone(pair, kind):
    """Vectors of every held-out text are ruined: no answer shows it."""
    split = pair.holdout
    rows = split.train if kind == "queries" else split.train_documents
    before = answers_of(pair, kind, rows)
    pair.teacher[np.setdiff1d(np.arange(COUNT), split.train_documents)] = np.nan
    pair.query_teacher[np.setdiff1d(np.arange(COUNT), split.train)] = np.nan
    np.testing.assert_array_equal(answers_of(pair, kind, rows).vectors, before.vectors)


def test_without_judgements_nothing_is_known(pair, smollm2):
    assert answers_of(smollm2, "queries", smollm2.holdout.train) is None
    assert answers_of(pair, "query_document", pair.holdout.train) is None


def test_a_bakeoffs_contrastive_map_learns_from_answers(pair):
    """Of judged pairs the tries with answers are other maps; the first of them is that of the family."""
    contrastive = FAMILIES["contrastive"]
    settings = [{"temperature": 0.05, "answers": share, "steps": 20} for share in (0.5, 0.0)]
    rows = {"queries": pair.holdout.train, "documents": pair.holdout.train_documents}
    maps = [
        fit_for(dataclasses.replace(contrastive, settings=(setting,)), pair, rows)[deployment].map
        for deployment in ("query_adapter", "index_migration")
        for setting in settings
    ]
    weights = [each.query.weights for each in maps]
    assert not np.allclose(weights[0], weights[1], atol=1e-3)
    assert not np.allclose(weights[2], weights[3], atol=1e-3)
    assert contrastive.settings[0] == settings[0] | {"steps": 50}


@pytest.mark.parametrize(("kind", "deployment"), [("queries", "query_adapter"), ("documents", "index_migration")])
def test_tries_are_judged_by_a_fifth_of_the_queries_that_can_ask_however_many_texts_cannot(
    debian, tmp_path, kind, deployment
):
    """Of five documents four are answers to nothing, and as many queries have no answer."""
    pair = load_pair(write_queries_pair(tmp_path / "pair", debian, COUNT))
    judged = np.arange(0, COUNT, 5)
    vars(pair)["judgements"] = Judgements(judged, judged, np.ones(len(judged)))
    rows = pair.fitted_on(kind).train
    held = _inner(pair, kind, tuple(rows.tolist()), 0)
    able = np.intersect1d(judged, pair.holdout.train)
    assert len(able) / 10 < len(held.task.groups) < len(able) / 4
    assert len(held.training.draft) > 0.8 * len(rows)
    asked = pair.query_teacher[able]
    assert (held.task.teacher.queries @ asked.T).max(axis=1) == pytest.approx(1, abs=1e-5)
    found = choose(FAMILIES["ridge"], pair, rows, [deployment])[deployment]
    assert np.isfinite(found.tries).all()

"""A corpus of too many texts to hold is, to all that reads it, the corpus that is held."""

import json
import pickle
import shutil

import numpy as np
import pytest
from pair_folders import ROOT, write_pair

from embalign.errors import CorpusError
from embalign.evaluation import deployment
from embalign.pairs import stored_items as module
from embalign.pairs.config import read_config
from embalign.pairs.corpus import corpus_digest, read_corpus
from embalign.pairs.meaning import remarks
from embalign.pairs.pair import check_pair, load_pair
from embalign.pairs.stored_items import StoredItems, stored_items
from embalign.pairs.texts import read_texts

COUNT = 700


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(module, "MANY", 100)


@pytest.fixture(scope="module")
def folder(smollm2, tmp_path_factory):
    """A pair of plain items, two of which are one text and one of which has a twin in another spelling."""
    folder = write_pair(tmp_path_factory.mktemp("pairs") / "plain", smollm2, COUNT)
    lines = (folder / "corpus.jsonl").read_text().splitlines()
    items = [json.loads(line) for line in lines]
    items[8]["text"], items[20]["text"], items[30]["text"] = items[7]["text"], "caf\u00e9 au lait", "cafe\u0301 au lait"
    (folder / "corpus.jsonl").write_text("\n\n".join(json.dumps(item) for item in items))
    provenance = json.loads((folder / "embeddings" / "provenance.json").read_text())
    provenance["corpus_sha256"] = corpus_digest(folder / "corpus.jsonl")
    (folder / "embeddings" / "provenance.json").write_text(json.dumps(provenance))
    return folder


def test_stored_items_are_those_that_are_read_at_once(folder, small_limits):
    items, stored = read_corpus(folder / "corpus.jsonl"), stored_items(folder / "corpus.jsonl", searched=False)
    assert isinstance(stored, StoredItems)
    assert stored.labelled
    assert list(stored) == items
    assert [stored[place] for place in (0, -1, 33)] == [items[place] for place in (0, -1, 33)]
    assert stored[5:40:7] == tuple(items[5:40:7])
    assert pickle.loads(pickle.dumps(stored)) == tuple(items)
    with pytest.raises(IndexError):
        stored[COUNT]


def test_a_pair_whose_items_are_stored_is_the_pair_whose_items_are_held(folder, monkeypatch):
    held = load_pair(folder)
    said = remarks(read_texts(folder, read_config(folder)))
    monkeypatch.setattr(module, "MANY", 100)
    stored = load_pair(folder)
    check_pair(folder)
    assert isinstance(stored.items, StoredItems)
    assert isinstance(held.items, tuple)
    assert remarks(read_texts(folder, read_config(folder))) == said
    assert len(said) == 2
    assert stored.relevance == held.relevance == "labels"
    for name in ("labels", "groups", "document_groups", "draft", "teacher", "styled_draft"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(held, name))
    for one, other in (
        (stored, held),
        (stored.asked_by(50), held.asked_by(50)),
        (stored.asked_by(5), held.asked_by(5)),
    ):
        for part in ("train", "test", "near_duplicates", "test_documents"):
            np.testing.assert_array_equal(getattr(one.holdout, part), getattr(other.holdout, part))
        task, same = deployment.task_of(one), deployment.task_of(other)
        for which in ("relevant", "mates"):
            for found, wanted in zip(of_each(getattr(task, which)), of_each(getattr(same, which)), strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_mates_are_the_rows_of_an_equal_text(folder, small_limits):
    pair = load_pair(folder)
    texts = np.array([item.text for item in pair.items])
    rows = np.arange(COUNT)
    assert len(set(texts)) < COUNT
    for row, mates in zip(rows, of_each(deployment.asked_by(pair, rows).mates), strict=True):
        np.testing.assert_array_equal(mates, np.flatnonzero(texts == texts[row]))


def of_each(relevance):
    """The relevant rows of each query."""
    return [relevance.rows[start:stop] for start, stop in zip(relevance.starts, relevance.stops, strict=True)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"id": "', '"id": 1, "', "line 1[^0-9]"),
        ('"label": "', '"mark": "', "unknown field `mark`"),
        ('"text": "', '"text": "  ", "x": "', "strings that are not blank"),
    ],
)
def test_a_faulty_line_among_many_is_named(folder, tmp_path, small_limits, old, new, message):
    content = (folder / "corpus.jsonl").read_text()
    (tmp_path / "corpus.jsonl").write_text(content.replace(old, new, 1))
    assert stored_items(tmp_path / "corpus.jsonl", searched=False) is None
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path / "corpus.jsonl")


def test_an_id_that_is_used_twice_among_many_is_named_with_both_lines(folder, tmp_path, small_limits):
    lines = [line for line in (folder / "corpus.jsonl").read_text().splitlines() if line]
    (tmp_path / "corpus.jsonl").write_text("\n".join([*lines, lines[3]]))
    assert stored_items(tmp_path / "corpus.jsonl", searched=False) is None
    with pytest.raises(CorpusError, match=f"line {COUNT + 1}: id .* is already used on line 4"):
        read_corpus(tmp_path / "corpus.jsonl")


def test_corpora_with_style_variants_and_small_ones_are_held(tmp_path, small_limits):
    styled = ROOT / "benchmark" / "smollm2-mpnet" / "corpus.jsonl"
    assert stored_items(styled, searched=False) is None
    shutil.copy(styled, tmp_path / "corpus.jsonl")
    lines = styled.read_text().splitlines()[:90]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    assert stored_items(tmp_path / "corpus.jsonl", searched=False) is None
    assert stored_items(tmp_path / "none.jsonl", searched=False) is None

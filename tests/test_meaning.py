"""Vectors and labels that can be read and mean nothing are named before the first cell."""

import json
import os
import unicodedata

import light
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from embalign.errors import CorpusError, PairError
from embalign.pairs.config import read_config
from embalign.pairs.corpus import Item
from embalign.pairs.equal_vectors import equal_vectors
from embalign.pairs.meaning import remarks
from embalign.pairs.pair import check_pair
from embalign.pairs.provenance import file_digest
from embalign.pairs.queries import Query
from embalign.pairs.texts import Texts, read_texts


def change(folder, role, alter):
    """Change one side's vectors and record the file as it is then, with its digest alone."""
    path = folder / "embeddings" / f"{role}.safetensors"
    save_file({"embeddings": alter(load_file(path)["embeddings"].copy())}, path)
    record(folder)


def record(folder):
    """Write the shortest provenance.json."""
    content = {"corpus_sha256": file_digest(folder / "corpus.jsonl")}
    for role in ("draft", "teacher"):
        content[role] = {"sha256": file_digest(folder / "embeddings" / f"{role}.safetensors")}
    (folder / "embeddings" / "provenance.json").write_text(json.dumps(content))


def rows(alter):
    def changed(vectors):
        alter(vectors)
        return vectors

    return changed


ODD = {
    "all equal": (rows(lambda v: v.__setitem__(slice(None), v[0])), "240 of 240 texts share their vector with another"),
    "two vectors by turns": (rows(lambda v: v.__setitem__(slice(2, None), np.tile(v[:2], (119, 1)))), "240 of 240"),
    "two thirds equal": (rows(lambda v: v.__setitem__(slice(160), v[0])), "160 of 240 texts share"),
    "one of length 2": (rows(lambda v: v.__setitem__(17, 2 * v[17])), "row 17 has length 2; each embedding must be"),
    "lengths as they come": (lambda v: 12 * v, "row 0 has length 12"),
    "one zero": (rows(lambda v: v.__setitem__(239, 0)), "row 239 has length 0"),
    "one NaN": (rows(lambda v: v.__setitem__((100, 3), np.nan)), "row 100 has length nan"),
    "one infinite": (rows(lambda v: v.__setitem__((100, 3), np.inf)), "row 100 has length inf"),
}


@pytest.mark.parametrize("role", ["draft", "teacher"])
@pytest.mark.parametrize("odd", ODD)
def test_own_vectors_that_mean_nothing_are_named_with_their_file(small_pair, odd, role):
    alter, message = ODD[odd]
    change(small_pair, role, alter)
    with pytest.raises(PairError, match=rf"{role}\.safetensors: {message}"):
        check_pair(small_pair)


def test_a_run_says_so_before_its_first_cell_and_needs_neither_model_nor_dimension(small_pair, tmp_path):
    root = tmp_path / "root"
    change(small_pair, "draft", lambda vectors: vectors)
    relabel(small_pair, 3)
    light.build_root(root, small_pair, cells=2)
    left = root / "benchmark" / "small" / "embeddings" / ".building-"
    left.mkdir()
    os.utime(left, (0, 0))
    done = light.run(root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "small: 3 text(s) stand under several labels" in done.stderr
    assert not left.exists()  # of a killed fetch, though nothing is fetched now
    change(root / "benchmark" / "small", "draft", ODD["all equal"][0])
    done = light.run(root)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "240 of 240 texts share their vector with another text" in done.stderr
    assert "Traceback" not in done.stderr


def relabel(folder, count):
    """Write the first `count` texts again, each under another label."""
    path = folder / "corpus.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number in range(count):
        lines[120 + number] |= {"text": f" {unicodedata.normalize('NFD', lines[number]['text'])}", "label": "another"}
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    record(folder)
    return lines


def test_texts_under_several_labels_are_said_and_many_are_refused(small_pair):
    lines = relabel(small_pair, 3)
    check_pair(small_pair)
    texts = read_texts(small_pair, read_config(small_pair))
    conflict, twin = remarks(texts)
    assert f"3 text(s) stand under several labels, as {lines[0]['text'][:20]!r}"[:-1] in conflict
    assert f"under {' and '.join(map(repr, sorted(['another', lines[0]['label']])))}" in conflict
    assert "3 text(s) are there in several spellings that look alike" in twin
    relabel(small_pair, 40)
    with pytest.raises(CorpusError, match=r"40 of 200 texts stand under several labels.*give each text one label"):
        check_pair(small_pair)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_twins_of_another_unicode_form_are_said(small_pair, forms):
    path = small_pair / "corpus.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for number, form in enumerate(forms):
        lines[number] |= {"text": unicodedata.normalize(form, "café à Zürich"), "label": lines[0]["label"]}
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    (line,) = remarks(read_texts(small_pair, read_config(small_pair)))
    assert "1 text(s) are there in several spellings" in line
    assert r"'cafe\u0301 a\u0300" in line
    assert r"'caf\xe9 \xe0" in line


items = st.builds(
    Item,
    id=st.uuids().map(str),
    text=st.sampled_from(["caf\u00e9", "cafe\u0301", " caf\u00e9", "tea  pot", "tea pot", "pot"]),
    label=st.sampled_from(["x", "y", None]),
    style=st.sampled_from([None, None, "formal"]),
)


@given(st.lists(items, max_size=12), st.lists(st.builds(Query, st.just("1"), st.sampled_from(["pot", "cafe\u0301"]))))
def test_what_is_odd_is_counted_as_a_comparison_of_all_texts_does(items, queries):
    def same(text):
        return unicodedata.normalize("NFC", text).split()

    plain = [item for item in items if item.style is None and item.label is not None]
    conflicts = {
        tuple(same(one.text))
        for one in plain
        for other in plain
        if same(one.text) == same(other.text) and one.label != other.label
    }
    texts = [each.text for each in (*items, *queries)]
    twins = {tuple(same(one)) for one in texts for other in texts if same(one) == same(other) and one != other}
    said = remarks(Texts(items, queries))
    assert [int(line.split()[0]) for line in said] == [len(found) for found in (conflicts, twins) if found]
    assert ["labels" in line for line in said] == [kind for kind, found in ((True, conflicts), (False, twins)) if found]


def test_shipped_texts_have_nothing_odd(smollm2, debian):
    for pair in (smollm2, debian):
        assert remarks(read_texts(pair.folder, pair.config)) == []


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(0, 3))
def test_equal_vectors_are_those_of_a_comparison_of_all_pairs(numbers, seed):
    vectors = np.random.default_rng(seed).standard_normal((6, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"text {place}" for place in range(len(numbers))]
    found = equal_vectors(texts, vectors[numbers])
    expected = {
        tuple(text for text, number in zip(texts, numbers, strict=True) if number == chosen)
        for chosen in numbers
        if numbers.count(chosen) > 1
    }
    assert set(found.different) == expected
    assert found.alike == ()
    assert found.affected == sum(map(len, expected))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("A river", "a  river", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("caf\u00e9", "Cafe", True),
        ("a river", "a river.", True),
        ("ﬁne", "fine", True),
        ("a river", "a lake", False),
        ("😀", "😡", False),
        ("...", "?", False),
        ("1", "2", False),
    ],
)
def test_texts_written_alike_are_told_from_different_ones(one, other, alike):
    found = equal_vectors([one, other], np.ones((2, 4)) / 2)
    assert (found.alike, found.different)[not alike] == ((one, other),)
    assert found.too_many is not alike

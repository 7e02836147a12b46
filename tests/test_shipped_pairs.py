"""The builders of the shipped pairs: what they keep, the same text each time, a subset cut byte for byte."""

import hashlib
import json
import sys

import numpy as np
import pytest
from pair_folders import ROOT
from safetensors.numpy import load_file, save_file

from embalign.pairs.holdout import held_out_labels


@pytest.fixture(scope="module")
def scripts():
    """The scripts of the shipped pairs, importable."""
    folder = str(ROOT / "benchmark" / "shipped")
    sys.path.insert(0, folder)
    import debian_corpus
    import debian_pair

    yield debian_corpus, debian_pair
    sys.path.remove(folder)


@pytest.fixture
def other_scripts(scripts):
    """The scripts of the pairs that came later."""
    import debian_mpnet
    import zh_corpus
    import zh_pair

    return debian_mpnet, zh_corpus, zh_pair


@pytest.fixture(scope="module")
def rows(scripts):
    """The committed rows."""
    _, debian_pair = scripts
    return debian_pair.read_rows(debian_pair.TEXT)


def test_of_packages_that_share_a_description_the_first_is_kept(scripts):
    debian_corpus, _ = scripts
    long = "word " * debian_corpus.FEWEST_WORDS
    found = [("a", "game", long), ("b", "game", f"other {long}"), ("c", "toy", long), ("d", "toy", long[5:])]
    rows = [
        {"package": name, "short": short, "long": text} for name, short, text in [*found, ("e", "toy", f"x {long}")]
    ]
    assert [row["package"] for row in debian_corpus.select(rows)] == ["a", "e"]


def test_a_long_description_becomes_one_line(scripts):
    debian_corpus, _ = scripts
    assert debian_corpus.one_line(" It is.\n .\n  * a   list\n") == "It is. * a list"


def test_the_text_is_the_same_each_time_and_every_query_has_one_document(scripts, rows, tmp_path, capsys):
    debian_corpus, debian_pair = scripts
    assert debian_corpus.select(rows) == rows
    debian_pair.write_text(tmp_path, rows)
    assert (
        "corpus.jsonl: 56895 rows, SHA-256 ebd34a6593898298bcc1fa1fdd7f4e4d34ab43fb833b359d0a0336ee496ff49d"
        in capsys.readouterr().out
    )
    queries = (tmp_path / "queries.jsonl").read_bytes()
    assert hashlib.sha256(queries).hexdigest() == "fe2e99c0bcae9a5dc7982e3f2245c8257ef1441e09383db888143db508d048a6"


def test_the_subset_is_whole_source_packages_and_shares_the_held_out_ones(scripts, rows):
    _, debian_pair = scripts
    sources = [row["source"] for row in rows]
    chosen = debian_pair.choose(sources, debian_pair.SUBSET_DOCUMENTS)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == debian_pair.SUBSET_DOCUMENTS
    inside = {sources[number] for number in chosen}
    assert chosen == [number for number, source in enumerate(sources) if source in inside]
    held_out, of_whole = held_out_labels([sources[number] for number in chosen]), held_out_labels(sources)
    assert len(held_out & of_whole) > 0.95 * min(len(held_out), len(of_whole & inside))


def test_the_subset_has_the_rows_of_the_whole_pair_byte_for_byte(scripts, tmp_path, monkeypatch):
    _, debian_pair = scripts
    monkeypatch.setattr(debian_pair, "draft_made_by", lambda: "model2vec 0")
    whole, target = tmp_path / "whole" / "embeddings", tmp_path / "subset"
    whole.mkdir(parents=True)
    target.mkdir()
    generator = np.random.default_rng(0)
    for part in debian_pair.FILES:
        tensors = {
            "embeddings": generator.integers(-127, 128, (6, 4), np.int8),
            "scale": generator.random(6, np.float32),
        } | ({"dimension_scale": generator.random(4, np.float32)} if part == "draft" else {})
        save_file(tensors, whole / f"{part}.safetensors")
    digests = {
        part: hashlib.sha256((whole / f"{part}.safetensors").read_bytes()).hexdigest() for part in debian_pair.FILES
    }
    records = {part: {"sha256": digest, "dimension": 4, "vectors": 6} for part, digest in digests.items()}
    (whole / "provenance.json").write_text(json.dumps(records))
    texts = [{"package": name, "source": "s", "short": name, "long": name} for name in "ab"]
    debian_pair.write_text(target, texts)
    debian_pair.cut(whole.parent, target, [1, 4])

    provenance = json.loads((target / "embeddings" / "provenance.json").read_text())
    for part in debian_pair.FILES:
        path = target / "embeddings" / f"{part}.safetensors"
        before, after = load_file(whole / f"{part}.safetensors"), load_file(path)
        assert all((after[name] == before[name][[1, 4]]).all() for name in ("embeddings", "scale"))
        assert (part == "draft") == ("dimension_scale" in after)
        if part == "draft":
            np.testing.assert_array_equal(after["dimension_scale"], before["dimension_scale"])
        assert provenance[part]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert provenance[part]["cut_from"] == digests[part]
        assert provenance[part]["vectors"] == 2
    save_file({"embeddings": np.zeros((6, 4), np.int8), "scale": np.ones(6, np.float32)}, whole / "draft.safetensors")
    with pytest.raises(SystemExit, match=r"draft\.safetensors is not what its provenance records"):
        debian_pair.cut(whole.parent, target, [1, 4])


def test_the_two_sentence_models_have_documents_of_the_subset(other_scripts, scripts, rows):
    debian_mpnet, _, _ = other_scripts
    _, debian_pair = scripts
    subset = {rows[number]["package"] for number in debian_pair.choose([row["source"] for row in rows], 12_000)}
    chosen = debian_mpnet.chosen(rows)
    assert len(chosen) == 5000
    assert {row["package"] for row in chosen} <= subset


def test_the_texts_of_the_other_pairs_are_the_same_each_time(other_scripts, rows, tmp_path):
    debian_mpnet, zh_corpus, zh_pair = other_scripts
    chinese = zh_pair.read_rows(zh_corpus.TEXT)
    assert zh_corpus.select(chinese) == chinese
    zh_pair.write_text(tmp_path / "zh-en", chinese)
    config, licence = debian_mpnet.PAIR_TOML, debian_mpnet.LICENCE
    debian_mpnet.write_text(tmp_path / "debian-minilm-mpnet", debian_mpnet.chosen(rows), config, licence)
    for name, digests in {
        "zh-en": (
            "390af0351dfa22cef61679d12d161762c8bd05ed3df385df3d07870aa06fc9ae",
            "57b95a9c3a7aa8eaf2280e65ee03553f2620cbbd3024680d1fc77c3a8fd40009",
        ),
        "debian-minilm-mpnet": (
            "d59890a3eaf7cd6a4bf81a18b838b90d31aa50079e6dab73767359e5676fc449",
            "3fd1069efdde4db271eaec3360699875e341cdff9d1fe1679698910eeb4e08bb",
        ),
    }.items():
        files = (tmp_path / name / "corpus.jsonl", tmp_path / name / "queries.jsonl")
        assert tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in files) == digests


def test_a_line_end_between_chinese_characters_is_no_space(other_scripts):
    _, zh_corpus, _ = other_scripts
    assert (
        zh_corpus.LINE_END.sub("", "跨平台的 古代战争 game 游戏， 简而言之") == "跨平台的古代战争 game 游戏，简而言之"
    )

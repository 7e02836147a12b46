"""The builder of the Debian pair: which packages it keeps, the same text each time, a subset cut byte for byte."""

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
        }
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
        assert all((after[name] == before[name][[1, 4]]).all() for name in before)
        assert provenance[part]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert provenance[part]["cut_from"] == digests[part]
        assert provenance[part]["vectors"] == 2
    save_file({"embeddings": np.zeros((6, 4), np.int8), "scale": np.ones(6, np.float32)}, whole / "draft.safetensors")
    with pytest.raises(SystemExit, match=r"draft\.safetensors is not what its provenance records"):
        debian_pair.cut(whole.parent, target, [1, 4])

"""The one door for files: what may lie in the place of a file, and the one line that says so."""

import csv
import json
import os
import pickle
import re
import time

import numpy as np
import pytest
from hostile import NESTED
from pair_folders import ROOT
from safetensors.numpy import save_file

from embalign.deploy import load
from embalign.deploy.card import Card
from embalign.errors import BaselineError, ClaimError, ConclusionError, EmbalignError, MapError, PairError
from embalign.imports.sheets import read_sheet
from embalign.judging.source import read_source
from embalign.pairs import corpus
from embalign.pairs.config import read_config
from embalign.pairs.corpus import corpus_digest, read_corpus
from embalign.pairs.provenance import file_digest, read_provenance, vectors_digests
from embalign.pairs.queries import read_queries
from embalign.pairs.vectors import check_vectors_file
from embalign.readers import as_array, read_bytes, read_json, read_toml
from embalign.regression.baseline import read_baseline
from embalign.research.claims import parse, read_raw
from embalign.research.conclusion import IMAGE, LINK, REFERENCE, check_files, read_conclusion
from embalign.research.numbers import check_numbers
from embalign.research.promote import same_artifact
from embalign.verdicts.metrics import CHECKED

SIDE = '[{}]\nsource = "openai"\nmodel = "m"\n'
PAIR = SIDE.format("draft") + SIDE.format("teacher")
CONCLUSION = ROOT / "docs" / "research" / "2026-11-27-elbow-smollm2-mpnet"


@pytest.fixture
def folder(tmp_path):
    """A folder with a pair.toml and no other file of a pair."""
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "pair.toml").write_text(PAIR)
    return tmp_path


# The file each reader reads, by its place in the folder.
READERS = {
    "pair.toml": read_config,
    "corpus.jsonl": lambda folder: read_corpus(folder / "corpus.jsonl"),
    "digest.jsonl": lambda folder: corpus_digest(folder / "digest.jsonl"),
    "queries.jsonl": lambda folder: read_queries(folder / "queries.jsonl", None, []),
    "embeddings/provenance.json": read_provenance,
    "embeddings/draft.safetensors": lambda folder: check_vectors_file(folder, "draft", 1, {"draft": {}}),
    "baseline.json": lambda folder: read_baseline(folder / "baseline.json"),
    "W.json": lambda folder: Card.from_disk(folder / "W.json"),
    "verdict.json": lambda folder: read_raw(folder / "verdict.json"),
    "data.csv": lambda folder: read_raw(folder / "data.csv"),
    "before.npz": lambda folder: same_artifact(folder / "before.npz", folder / "before.npz"),
    "conclusion.toml": read_conclusion,
}
IN_THE_WAY = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a circular link": lambda path: path.symlink_to(path.name),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a file of a terabyte": lambda path: (path.touch(), os.truncate(path, 2**40)),
    "an empty file": lambda path: path.touch(),
    "UTF-16": lambda path: path.write_bytes('{"id": 1}'.encode("utf-16")),
    "a merge conflict": lambda path: path.write_text("<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> other\n"),
    "nested": lambda path: path.write_text(NESTED),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
}


TEXTS = ("an empty file", "a merge conflict", "nested", "zeros")
ANY_TEXT = {"digest.jsonl": (*TEXTS, "UTF-16"), "data.csv": TEXTS}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("thing", IN_THE_WAY)
def test_whatever_lies_in_the_place_of_a_file_is_named_with_the_file(folder, name, thing):
    path = folder / name
    path.unlink(missing_ok=True)
    IN_THE_WAY[thing](path)
    if thing in ANY_TEXT.get(name, ()):
        READERS[name](folder)  # any text has a digest, and is a table of some kind
        return
    with pytest.raises(EmbalignError) as found:
        READERS[name](folder)
    assert re.match(rf"{re.escape(str(path))}(: |, line \d+: )\S.+", str(found.value)), found.value
    assert str(found.value).isprintable()


CONTENTS = {
    "a doubled key": ('{"a": 1, "a": 2}', "the key 'a' stands there twice"),
    "a doubled key inside": ('[{"b": {"c": 1, "c": 1}}]', "the key 'c' stands there twice"),
    "a huge number": (f'{{"a": {"9" * 5000}}}', "a number of 5000 digits; the limit is 300"),
    "a float beyond all": ('{"a": -1e999}', "the number '-1e999' is too large"),
    "NaN": ('{"a": NaN}', "NaN is no number of JSON"),
    "-Infinity": ("[-Infinity]", "-Infinity is no number of JSON"),
    "a lone surrogate": ('{"a": "\\ud800"}', "surrogates not allowed"),
    "a lone surrogate as a key": ('{"\\uDFFF": 1}', "surrogates not allowed"),
    "nested objects": ('{"a":' * 100_000, "recursion"),
    "a NUL": ('{"a": "\x00"}', "Invalid control character"),
    "an empty file": ("", "Expecting value"),
    "another kind": ("[1]", "Expected `object`, got `array`"),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_json_that_means_nothing_is_refused_with_the_cause(tmp_path, content):
    text, cause = CONTENTS[content]
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(PairError, match=rf"some\.json: not .*{re.escape(cause)}.*; write it again"):
        read_json(path, PairError, "write it again", dict)


def test_json_may_have_a_byte_order_mark_pairs_of_surrogates_and_on_request_any_number(tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00", "b": 1e999, "c": NaN}')
    found = read_json(path, PairError, "", dict, nan=True)
    assert found["a"] == "\U0001f600"
    assert found["b"] == float("inf")
    assert found["c"] != found["c"]


def test_a_limit_is_named_and_checked_before_the_file_is_read(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"123456")
    with pytest.raises(PairError, match=r"large: 6 bytes; the limit is 5; make it smaller"):
        read_bytes(path, PairError, "make it smaller", 5)
    assert read_bytes(path, PairError, "", 6) == b"123456"


@pytest.mark.parametrize(
    "line",
    ["a." * 3000 + "a = 1", "x = {" + "b." * 3000 + "b = 1}", "[" + "c." * 3000 + "c]", "[[" + "d." * 3000 + "d]]"],
    ids=["key", "inline", "table", "array of tables"],
)
def test_toml_whose_reading_time_is_quadratic_is_refused(tmp_path, line):
    path = tmp_path / "some.toml"
    path.write_text(f"first = 1\n{line}\n")
    with pytest.raises(
        PairError, match=r"not valid TOML \(line 2 has 3\d\d\d dots; the limit is 128\)|2 has 300[0-2] dots"
    ):
        read_toml(path, PairError, "", limit=10**6)


def test_the_slowest_toml_within_the_limits_is_read_soon(tmp_path):
    path = tmp_path / "some.toml"
    lines = [f"{'a.' * 127}x{number} = 1" for number in range(1000)]
    path.write_text("\n".join(lines))
    start = time.monotonic()
    read_toml(path, PairError, "", limit=2**20)
    assert time.monotonic() - start < 60  # minutes without the limit


def test_names_that_no_path_can_have_are_refused(folder):
    for name in ("\\u0000", "x" * 5000, "/" * 4000):
        (folder / "pair.toml").write_text(f'corpus = "{name}"\n{PAIR}')
        with pytest.raises(EmbalignError, match=r"pair\.toml: corpus .* is outside the pair's folder|cannot be read"):
            read_corpus(folder / read_config(folder).corpus)


def test_a_digest_never_waits_for_a_pipe(folder):
    os.mkfifo(folder / "embeddings" / "draft.safetensors")
    with pytest.raises(OSError, match="Not a regular file"):
        file_digest(folder / "embeddings" / "draft.safetensors")
    assert vectors_digests(folder) == {"draft": "unknown"}


@pytest.mark.parametrize("size", [1, 5, 2**20 - 1, 2**20, 2**20 + 1])
def test_a_digest_does_not_depend_on_line_ends_wherever_a_part_of_the_file_ends(tmp_path, size):
    text = b"x" * (size - 1) + b"\n" + b"y\rz\n\n" + b"last"
    paths = [tmp_path / name for name in ("lf", "crlf")]
    paths[0].write_bytes(text)
    paths[1].write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert corpus_digest(paths[0]) == corpus_digest(paths[1]) == file_digest(paths[0])


def test_a_line_of_ten_megabytes_is_read_and_a_longer_one_than_the_limit_is_named(tmp_path, monkeypatch):
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"id": "1", "text": "x" * 10_000_000, "label": "a"}) + "\n")
    assert len(read_corpus(path)[0].text) == 10_000_000
    monkeypatch.setattr(corpus, "LONGEST_LINE", 2**20)
    with pytest.raises(EmbalignError, match=r"corpus\.jsonl, line 1: longer than 1048576 bytes"):
        read_corpus(path)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"id": "1", "text": "a", "text": "b", "label": "c"}', "the key 'text' stands there twice"),
        ('{"id": "1", "text": "a", "label": "c", "\\u006cabel": "d"}', "the key 'label' stands there twice"),
        ('{"id": "1", "text": "\\ud800", "label": "c"}', "surrogate|truncated"),
        ('{"_id": ' + NESTED, "unknown field `_id`"),
        ('{"id": "1", "text": ' + NESTED, r"Expected `str`, got `array` - at `\$\.text`"),
        ('{"' + "k" * 100_000 + '": 1}', "unknown field `k+ ... "),
        ('{"id": 1e999, "text": "a"}', "Expected `str`|range"),
    ],
    ids=["doubled", "doubled by an escape", "surrogate", "nested in BEIR's", "nested", "long key", "number"],
)
def test_a_line_that_means_nothing_is_named_and_quoted_in_short(tmp_path, line, cause):
    path = tmp_path / "corpus.jsonl"
    path.write_text(line)
    with pytest.raises(EmbalignError, match=rf"line 1: .*{cause}") as found:
        read_corpus(path)
    assert len(str(found.value)) < 1000


def test_a_text_that_speaks_of_keys_is_no_doubled_key(tmp_path):
    path = tmp_path / "corpus.jsonl"
    path.write_text(json.dumps({"id": "text", "text": 'the "text" and "text" of \u00e9', "label": "label"}))
    assert read_corpus(path)[0].id == "text"


METRICS = dict.fromkeys(CHECKED, 0.5)
ODD_METRICS = {"null": "null", "NaN": "NaN", "text": '"0.5"', "infinite": "1e999", "true": "true", "list": "[0.5]"}


@pytest.mark.parametrize("odd", ODD_METRICS)
def test_a_baseline_whose_metric_is_no_number_names_cell_and_metric(tmp_path, odd):
    values = {"t/first": METRICS, "t/second": METRICS | {"mrr": "@"}}
    whole = {"schema": 1, "pair": "p", "experiment": "e", "commit": "c", "fingerprints": {}, "repeatability": {}}
    path = tmp_path / "p-e.json"
    path.write_text(json.dumps(whole | {"values": values}).replace('"@"', ODD_METRICS[odd]))
    with pytest.raises(BaselineError, match=r"not a baseline \(cell t/second has no finite mrr\); restore it from git"):
        read_baseline(path)


def test_a_header_that_asks_for_gigabytes_is_refused_before_it_is_read(folder):
    path = folder / "embeddings" / "draft.safetensors"
    save_file({"embeddings": np.eye(2, dtype=np.float32)}, path)
    content = path.read_bytes()
    path.write_bytes((99_000_000).to_bytes(8, "little") + content[8:] + b" " * 99_000_000)
    with pytest.raises(PairError, match="a header of 99000000 bytes; the limit is 1048576"):
        check_vectors_file(folder, "draft", 2, {"draft": {}})


def test_maps_are_never_unpickled_and_never_wait(tmp_path):
    os.mkfifo(tmp_path / "W.json")
    with pytest.raises(MapError, match=r"W\.json: cannot be read \(Not a regular file\); .*export the map again"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (pickle.dumps([1, 2]), "it does not begin as one"),
        (b"id,label\n", "it does not begin as one"),
        (b"", "it does not begin as one"),
        (b"PK\x03\x04", "it is an archive, such as .npz"),
    ],
    ids=["a pickle", "text", "nothing", "an archive"],
)
def test_what_is_no_array_is_named_without_a_way_to_load_it_unsafely(content, cause, tmp_path):
    with pytest.raises(MapError, match=r"not a readable \.npy file of numbers") as fault:
        as_array(content, tmp_path / "W.npy", MapError, "save it again")
    assert f"({cause}); save it again" in str(fault.value)
    assert "allow_pickle" not in str(fault.value)


def test_an_array_of_objects_is_never_loaded(tmp_path):
    np.save(tmp_path / "W.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MapError, match=r"\(it holds objects, which are never loaded\)"):
        as_array((tmp_path / "W.npy").read_bytes(), tmp_path / "W.npy", MapError, "save it again")


def test_arrays_that_unpack_to_more_than_the_limit_are_refused(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", zeros=np.zeros(10**6))
    monkeypatch.setattr("embalign.research.promote.LARGEST_RAW", 10**6)
    with pytest.raises(ConclusionError, match=r"bomb\.npz: not arrays of numbers \(8000128 bytes unpacked; the limit"):
        same_artifact(tmp_path / "bomb.npz", tmp_path / "bomb.npz")


@pytest.mark.parametrize("opener", ["![", "](", "[", "[\n", "![](", "```\n", "[a](", "((((", "2 ", "\\[", "\u2212"])
def test_a_text_of_openers_alone_takes_linear_time(opener, tmp_path):
    text = opener * 30_000
    start = time.monotonic()
    for expression in (IMAGE, LINK, REFERENCE):
        expression.findall(text)
    with pytest.raises(ClaimError):
        check_numbers(text + " 7", [], tmp_path, [])
    assert time.monotonic() - start < 20  # minutes, where time is quadratic


def test_a_conclusion_has_limits_that_are_named(tmp_path):
    text = (CONCLUSION / "conclusion.toml").read_text()
    (tmp_path / "README.md").write_text("# A title\n")
    (tmp_path / "conclusion.toml").write_text(
        text + '[[claims]]\ntext = "1"\nfile = "a"\npath = "b"\nformat = "g"\n' * 2000
    )
    with pytest.raises(ConclusionError, match=r"conclusion\.toml: .*Expected `array` of length <= 2000"):
        read_conclusion(tmp_path)
    (tmp_path / "conclusion.toml").write_text(text)
    (tmp_path / "README.md").write_text("x" * 200_000)
    with pytest.raises(ConclusionError, match=r"README\.md: 200000 bytes; the limit is 131072"):
        read_conclusion(tmp_path)


def test_a_pipe_among_the_files_of_a_conclusion_is_no_file(tmp_path):
    for path in CONCLUSION.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "verdict.json").unlink()
    os.mkfifo(tmp_path / "verdict.json")
    with pytest.raises(ConclusionError, match=r"verdict\.json: not a file of its own"):
        check_files(read_conclusion(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", "a,b\n1,2,3\n", "row 2 has another number of columns"),
        ("d.csv", "a,b\n1\n", "row 2 has another number of columns"),
        ("d.csv", f"a,b\n1,{'2' * 200_000}\n", "field larger than field limit"),
        ("d.json", "[" * 100_000, "recursion"),
        ("d.json", '{"a": ' + "1" * 5000 + "}", "a number of 5000 digits"),
    ],
    ids=["long row", "short row", "long field", "nested", "number"],
)
def test_raw_data_that_mean_nothing_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    fields = {"path": "a"} if name.endswith("json") else {"where": "a:1", "col": "b"}
    with pytest.raises(ClaimError, match=message):
        parse({"file": name, "format": ".3g", **fields}).computed(tmp_path)


def test_the_limit_of_csv_cells_comes_back(tmp_path):
    """It is one of the whole process: another reader's long cells must not reach this one."""
    before = csv.field_size_limit()
    (tmp_path / "curve.csv").write_text("n,seed,value,log\n" + f"10,0,0.5,{'x' * 2 * before}\n")
    (tmp_path / "labels.csv").write_text(f"id,label\n0,{'x' * 2 * before}\n")
    assert read_source(tmp_path / "curve.csv").frame["log"].str.len().tolist() == [2 * before]
    assert len(read_sheet(tmp_path / "labels.csv").lines) == 1
    assert csv.field_size_limit() == before

"""Line ends and byte order marks change no digest of a corpus, and where they change another file's, it says so."""

import codecs
import hashlib
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_folders import ROOT

from embalign.errors import ConclusionError, CorpusError, PairError
from embalign.pairs.corpus import corpus_digest, read_corpus
from embalign.pairs.pair import check_pair, load_pair, pair_digest
from embalign.pairs.provenance import file_digest, line_ends_hint
from embalign.research.conclusion import verify

CHANGES = {
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "byte order mark": lambda content: codecs.BOM_UTF8 + content,
    "both": lambda content: codecs.BOM_UTF8 + content.replace(b"\n", b"\r\n"),
    "mixed": lambda content: content.replace(b"\n", b"\r\n", 7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_pair_whose_corpus_has_other_line_ends_is_the_same_pair(small_pair, change):
    corpus = small_pair / "corpus.jsonl"
    before, items = pair_digest(small_pair), read_corpus(corpus)
    corpus.write_bytes(CHANGES[change](corpus.read_bytes()))
    assert pair_digest(small_pair) == before
    check_pair(small_pair)
    assert list(load_pair(small_pair).items) == read_corpus(corpus) == items


def test_the_digest_of_a_corpus_with_lf_is_that_of_its_bytes(small_pair):
    assert corpus_digest(small_pair / "corpus.jsonl") == file_digest(small_pair / "corpus.jsonl")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8), max_size=6))
def test_nothing_but_line_ends_and_the_mark_is_left_out_of_the_digest(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    digests = set()
    for start, end in (("", "\n"), ("", "\r\n"), ("\ufeff", "\n"), ("\ufeff", "\r\n")):
        path.write_bytes((start + "".join(line + end for line in lines)).encode())
        digests.add(corpus_digest(path))
    plain = "".join(f"{line}\n" for line in lines).encode().removeprefix(codecs.BOM_UTF8)
    assert digests == {hashlib.sha256(plain).hexdigest()}


def test_a_corpus_that_was_recorded_by_its_bytes_is_still_accepted(small_pair):
    """As versions before this one recorded a corpus with CRLF."""
    corpus, record = small_pair / "corpus.jsonl", small_pair / "embeddings" / "provenance.json"
    corpus.write_bytes(CHANGES["CRLF"](corpus.read_bytes()))
    provenance = json.loads(record.read_text())
    record.write_text(json.dumps(provenance | {"corpus_sha256": file_digest(corpus)}))
    check_pair(small_pair)
    corpus.write_bytes(corpus.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(PairError, match="SHA-256"):
        check_pair(small_pair)


def test_a_corpus_that_is_not_there_has_no_digest(tmp_path):
    with pytest.raises(CorpusError, match=r"No such file.*a pair needs a corpus"):
        corpus_digest(tmp_path / "corpus.jsonl")
    with pytest.raises(CorpusError, match="cannot be read"):
        corpus_digest(tmp_path)


def test_a_file_that_differs_in_its_line_ends_alone_is_named_as_such(tmp_path):
    path = tmp_path / "raw.csv"
    path.write_bytes(b"seed,value\n0,1\n")
    recorded = file_digest(path)
    path.write_bytes(b"seed,value\r\n0,1\r\n")
    assert "changed to CRLF, as git's core.autocrlf does. Add the line '* -text'" in line_ends_hint(path, recorded)
    recorded = file_digest(path)
    path.write_bytes(b"seed,value\n0,1\n")
    assert "changed to LF" in line_ends_hint(path, recorded)
    path.write_bytes(b"seed,value\r\n0,2\r\n")
    assert line_ends_hint(path, recorded) == ""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_a_clone_with_autocrlf_has_the_committed_bytes(tmp_path):
    """As Git for Windows clones by default."""
    clone = tmp_path / "clone"
    git = shutil.which("git")
    subprocess.run([git, "-c", "core.autocrlf=true", "clone", "-q", ROOT, clone], check=True)
    done = subprocess.run([git, "ls-files", "--eol"], cwd=clone, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) > 100
    assert [line for line in lines if len({word.partition("/")[2] for word in line.split()[:2]}) > 1] == []


def test_a_conclusion_whose_line_ends_were_changed_says_so(tmp_path):
    source = next(path for path in sorted((ROOT / "docs" / "research").iterdir()) if path.is_dir())
    folder = shutil.copytree(source, tmp_path / source.name)
    raw = sorted(folder.glob("*.csv"))[0]
    raw.write_bytes(CHANGES["CRLF"](raw.read_bytes()))
    with pytest.raises(ConclusionError, match=rf"{raw.name}: its SHA-256 .*only line ends differ.*autocrlf"):
        verify(folder, ROOT)

"""Cache keys, damaged rows, Ollama's address rules, batches and a model in this process."""

import dataclasses
import os
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair_folders import ROOT

from embalign.embeddings.addresses import parse_address, without_credentials
from embalign.embeddings.answers import shown
from embalign.embeddings.asking import BATCH_TEXTS
from embalign.embeddings.cache import VectorCache, vector_key
from embalign.embeddings.ollama import address
from embalign.embeddings.preflight import BATCH_CHARACTERS, batches
from embalign.embeddings.source import Identity, check_vectors
from embalign.errors import SourceError

PAIRS_OF_KEYS = 100_000


def test_keys_that_differ_in_one_field_never_meet():
    """100,000 pairs: each differs in one field of the identity, in the text by one character, or in an option."""
    generator = np.random.default_rng(0)
    names = [field.name for field in dataclasses.fields(Identity)]
    alphabet = ["a", "b", "", " ", "\x00", "é", "e\u0301", '"', ",", "[", "\\", "1", "null", "\ud800"]

    def word():
        return "".join(alphabet[i] for i in generator.integers(0, len(alphabet), 4))

    collisions = 0
    for number in range(PAIRS_OF_KEYS):
        values = {name: word() for name in names if name not in ("verified", "options")}
        one = Identity(**values, verified=bool(number % 2), options={"dimensions": number % 3})
        text = word()
        changed = (*names, "text")[number % (len(names) + 1)]
        other, other_text = one, text
        if changed == "text":
            other_text = text + "b" if number % 4 else f"{text} "
        elif changed == "verified":
            other = dataclasses.replace(one, verified=not one.verified)
        elif changed == "options":
            other = dataclasses.replace(one, options={"dimensions": str(number % 3)})
        else:
            # Moving a character to a neighbouring field is what a key without separators would not see.
            other = dataclasses.replace(one, **{changed: getattr(one, changed) + "a"})
        collisions += vector_key(one, text) == vector_key(other, other_text)
    assert collisions == 0


def test_characters_moved_between_fields_change_the_key():
    one = Identity(kind="ollama", server="ab", model="c")
    assert vector_key(one, "x") != vector_key(dataclasses.replace(one, server="a", model="bc"), "x")
    assert vector_key(one, "x") == vector_key(dataclasses.replace(one), "x")


def test_every_flipped_bit_of_a_stored_row_is_noticed(tmp_path):
    path = tmp_path / "vectors.sqlite"
    key, vector = b"k" * 32, np.array([0.6, -0.8, 0.0], dtype=np.float32)
    cache = VectorCache(path)
    cache.put({key: vector})
    connection = sqlite3.connect(path)
    whole = connection.execute("SELECT dimension, vector, sha256 FROM vectors").fetchone()
    flips = 0
    for column, name in ((1, "vector"), (2, "sha256")):
        for bit in range(8 * len(whole[column])):
            damaged = bytearray(whole[column])
            damaged[bit // 8] ^= 1 << bit % 8
            with connection:
                connection.execute(f"UPDATE vectors SET {name} = ?", (bytes(damaged),))
            assert cache.get([key]) == {}
            flips += 1
            cache.put({key: vector})
    for bit in range(32):
        with connection:
            connection.execute("UPDATE vectors SET dimension = ?", (whole[0] ^ (1 << bit),))
        assert cache.get([key]) == {}
        flips += 1
        cache.put({key: vector})
    for bit in range(8 * len(key)):
        damaged = bytearray(key)
        damaged[bit // 8] ^= 1 << bit % 8
        with connection:
            connection.execute("UPDATE vectors SET key = ?", (bytes(damaged),))
        assert cache.get([key, bytes(damaged)]) == {}
        flips += 1
        cache.put({key: vector})
    assert flips == 8 * 12 + 8 * 32 + 32 + 8 * 32
    np.testing.assert_array_equal(cache.get([key])[key], vector)
    cache.close()
    connection.close()


def test_of_many_keys_those_present_are_found(tmp_path):
    cache = VectorCache(tmp_path / "vectors.sqlite")
    vectors = {number.to_bytes(32, "big"): np.array([number], dtype=np.float32) for number in range(1, 1300)}
    cache.put(vectors)
    found = cache.get([*vectors, b"absent"])
    cache.close()
    assert {key: float(value[0]) for key, value in found.items()} == {k: float(v[0]) for k, v in vectors.items()}


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("box", "http://box:11434"),
        ("box:8080", "http://box:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://box", "http://box:80"),
        ("https://box", "https://box:443"),
        ("https://box:99", "https://box:99"),
        ("http://box/some/path/", "http://box:80/some/path"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:1", "http://127.0.0.1:1"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:7", "http://[::1]:7"),
        ("[::]:7", "http://[::1]:7"),
        ("box:70000", "http://box:11434"),
        ("box:word", "http://box:11434"),
        ("'box'", "http://box:11434"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(value, url):
    assert address("", {"OLLAMA_HOST": value}).shown == url


def test_an_endpoint_goes_before_ollama_host():
    found = address("http://a:1", {"OLLAMA_HOST": "b"})
    assert (found.shown, found.origin) == ("http://a:1", "endpoint in pair.toml")


@given(st.lists(st.text(max_size=BATCH_CHARACTERS // 6), max_size=60))
def test_batches_are_the_texts_in_order_within_both_limits(texts):
    parts = list(batches(texts))
    assert [text for part in parts for text in part] == texts
    for part in parts:
        assert 1 <= len(part) <= BATCH_TEXTS
        assert len(part) == 1 or sum(map(len, part)) <= BATCH_CHARACTERS


def test_a_text_over_the_limit_goes_alone():
    assert [len(part) for part in batches(["a", "b" * (BATCH_CHARACTERS + 1), "c"])] == [1, 1, 1]


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("http://user:secret@box:1/v1?key=secret", "http://box:1/v1"),
        ("http://box", "http://box"),
        ("user:secret@box/x", "box/x"),
    ],
)
def test_credentials_leave_a_url_before_it_is_shown(url, clean):
    assert without_credentials(url) == clean


@pytest.mark.parametrize("url", ["box:1", "http://", "http://box:0", "file:///etc/passwd", "http://[::1", "http://b:x"])
def test_addresses_that_cannot_be_asked_are_refused(url):
    with pytest.raises(SourceError, match=r"pair\.toml"):
        parse_address(url, "endpoint in pair.toml")


def test_what_a_server_says_is_cut_and_escaped():
    assert shown("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert len(shown("x" * 1000)) == 203
    assert shown("") == "(nothing)"


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf")])
def test_numbers_that_no_vector_can_hold_are_named(value):
    with pytest.raises(SourceError, match="a vector with NaN or infinite values for the text 'text'"):
        check_vectors("it", [[0.6, value]], ["text"])


def test_what_only_a_fetch_or_a_split_needs_is_imported_by_them_alone():
    """Starting pytest and collecting cases must not wait for heavy libraries."""
    heavy = ["torch", "pandas", "scipy", "sklearn", "matplotlib", "requests", "tqdm", "sentence_transformers"]
    code = (
        "import sys, embalign.embeddings.fetch, embalign.embeddings.pair\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6))
def test_only_finite_unit_vectors_pass(values):
    length = np.linalg.norm(values)
    if abs(length - 1) < 0.0099:
        assert check_vectors("it", [values], ["text"]).shape == (1, len(values))
    elif abs(length - 1) > 0.0101:
        with pytest.raises(SourceError, match="text"):
            check_vectors("it", [values], ["text"])

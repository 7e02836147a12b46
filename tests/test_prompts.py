"""Prompts and dimensions of each side: what a server is asked, what is kept, and that they are part of the key."""

import json

import numpy as np
import pytest
from embedding_server import DIMENSION, EmbeddingServer, vector

from embalign.embeddings.cache import VectorCache, vector_key
from embalign.embeddings.fetch import embed_pair
from embalign.embeddings.source import Identity, check_vectors
from embalign.errors import PairError, SourceError
from embalign.pairs.config import read_config
from embalign.pairs.pair import check_pair, load_pair

COUNT = 12
QUERIES = {str(number): f"what is {number}" for number in range(COUNT)}
DOCUMENTS = {str(number): f"number {number} in many words" for number in range(COUNT)}


@pytest.fixture
def server(httpserver):
    """A healthy server of both protocols."""
    return EmbeddingServer(httpserver)


class Folder:
    """A pair folder with or without queries, embedded from a server through one cache."""

    def __init__(self, path, server):
        self.path, self.server, self.cache = path / "pair", server, VectorCache(path / "cache.sqlite")
        self.path.mkdir()

    def write(self, source="openai", queries=True, **keys):
        """Write pair.toml with further keys of the draft, and the texts."""
        side = f'source = "{source}"\nmodel = "little"\npooling = "mean"\nendpoint = "{self.server.url}"\n'
        more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
        named = 'queries = "queries.jsonl"\n' if queries else ""
        (self.path / "pair.toml").write_text(f"{named}[teacher]\n{side}[draft]\n{side}{more}")
        corpus = [{"id": name, "text": text, "label": "ab"[int(name) % 2]} for name, text in DOCUMENTS.items()]
        if queries:
            corpus = [{"id": item["id"], "text": item["text"]} for item in corpus]
        asked = [{"id": name, "text": text, "relevant": [name]} for name, text in QUERIES.items()]
        for name, items in (("corpus", corpus), ("queries", asked)):
            (self.path / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))

    def embed(self, **options):
        """Fetch what is missing and return the pair."""
        embed_pair(self.path, self.cache, quiet=True, **options)
        check_pair(self.path)
        return load_pair(self.path)

    def recorded(self):
        """What provenance.json says."""
        return json.loads((self.path / "embeddings" / "provenance.json").read_text())


@pytest.fixture
def folder(tmp_path, server):
    """An empty pair folder."""
    made = Folder(tmp_path, server)
    yield made
    made.cache.close()


def cosines(found, texts, dimension=DIMENSION):
    """Cosine of each stored vector to the server's own, cut to so many values."""
    right = np.array([vector(text)[:dimension] for text in texts])
    return (found * right).sum(axis=1) / np.linalg.norm(right, axis=1)


@pytest.mark.parametrize("source", ["openai", "ollama"])
def test_each_text_is_asked_for_after_the_prompt_of_its_side_and_kind(folder, source):
    folder.write(source, query_prompt="query: ", document_prompt="passage: ")
    pair = folder.embed()
    prompted = {f"query: {text}" for text in QUERIES.values()} | {f"passage: {text}" for text in DOCUMENTS.values()}
    expected = prompted | set(QUERIES.values()) | set(DOCUMENTS.values())
    exchanged = {f"passage: {text}" for text in QUERIES.values()} | {f"query: {text}" for text in DOCUMENTS.values()}
    assert folder.server.asked_of(expected | exchanged) == expected
    for found, prompt, texts in (
        (pair.query_draft, "query: ", QUERIES),
        (pair.draft, "passage: ", DOCUMENTS),
        (pair.query_teacher, "", QUERIES),
        (pair.teacher, "", DOCUMENTS),
    ):
        assert cosines(found, [prompt + text for text in texts.values()]).min() > 0.9999
    recorded = folder.recorded()
    assert [recorded[part]["prompt"] for part in ("draft", "draft_queries", "teacher")] == ["passage: ", "query: ", ""]


@pytest.mark.parametrize("source", ["openai", "ollama"])
@pytest.mark.parametrize("answer", ["cut and normalised", "cut", "ignored"])
def test_dimensions_are_asked_for_and_kept_whatever_the_server_does_with_them(folder, source, answer):
    def cut(texts):
        found = [vector(text) for text in texts]
        if answer == "ignored":
            return found
        short = [values[:8] for values in found]
        return short if answer == "cut" else [(np.array(v) / np.linalg.norm(v)).tolist() for v in short]

    folder.write(source, dimensions=8)
    config = (folder.path / "pair.toml").read_text()
    (folder.path / "pair.toml").write_text(config.replace("[draft]", "dimensions = 8\n[draft]"))
    folder.server.fault = cut
    pair = folder.embed()
    assert pair.draft.shape == pair.teacher.shape == (COUNT, 8)
    assert {payload["dimensions"] for payload in folder.server.payloads} == {8}
    assert cosines(pair.draft, DOCUMENTS.values(), 8).min() > 0.9999
    assert cosines(pair.query_draft, QUERIES.values(), 8).min() > 0.9999
    assert np.linalg.norm(pair.draft, axis=1) == pytest.approx(1, abs=1e-6)
    assert folder.recorded()["draft"]["dimensions"] == folder.recorded()["draft_queries"]["dimension"] == 8


def test_without_dimensions_no_server_is_asked_for_any(folder):
    folder.write()
    folder.embed()
    assert not any("dimensions" in payload for payload in folder.server.payloads)


def test_fewer_values_than_asked_for_are_refused(folder):
    folder.write(dimensions=DIMENSION + 1)
    with pytest.raises(SourceError, match=r"a vector of 24 values, fewer than the dimensions = 25 of pair\.toml"):
        folder.embed()


def test_a_vector_that_is_zero_where_it_is_kept_is_refused():
    with pytest.raises(SourceError, match="first 2 values are all zero for the text 'text'"):
        check_vectors("it", [[0.0, 0.0, 1.0]], ["text"], cut=2)
    assert check_vectors("it", [[0.0, 3.0, 4.0]], ["text"], cut=2).tolist() == [[0.0, 1.0]]


def test_a_prompt_or_dimensions_make_another_key_and_none_of_them_the_old_one():
    plain = Identity(kind="openai", server="s", model="m", options={"endpoint": "e"})
    assert vector_key(plain.asked(), "x") == vector_key(plain, "x")
    asked = [plain, plain.asked("a"), plain.asked("b"), plain.asked(dimensions=8), plain.asked("a", 8)]
    assert len({vector_key(identity, "x") for identity in asked}) == len(asked)
    assert vector_key(plain.asked("query: "), "x") != vector_key(plain, "query: x")


def test_a_changed_prompt_is_noticed_and_refresh_fetches_only_what_it_touches(folder):
    folder.write(query_prompt="query: ")
    folder.embed()
    folder.server.asked.clear()
    folder.write(query_prompt="ask: ")
    with pytest.raises(PairError, match=r"draft_queries.safetensors: made with prompt 'query: '.* 'ask: '.*--refresh"):
        check_pair(folder.path)
    with pytest.raises(PairError, match="made with prompt"):
        load_pair(folder.path)
    pair = folder.embed()
    forms = [f"{prompt}{text}" for text in (*QUERIES.values(), *DOCUMENTS.values()) for prompt in ("ask: ", "")]
    assert folder.server.asked_of(forms) == {f"ask: {text}" for text in QUERIES.values()}
    assert cosines(pair.query_draft, [f"ask: {text}" for text in QUERIES.values()]).min() > 0.9999


def test_changed_dimensions_are_noticed(folder):
    folder.write(dimensions=8)
    folder.embed()
    for keys, message in (({}, "dimensions 8, pair.toml now names None"), ({"dimensions": 6}, "8, pair.toml now nam")):
        folder.write(**keys)
        with pytest.raises(PairError, match=message):
            check_pair(folder.path)


def test_vectors_of_ones_own_may_be_used_with_a_prompt_that_they_do_not_record(folder):
    folder.write()
    folder.embed()
    recorded = folder.recorded()
    own = {name: value for name, value in recorded.items() if isinstance(value, str)}
    own |= {name: {"sha256": side["sha256"]} for name, side in recorded.items() if isinstance(side, dict)}
    (folder.path / "embeddings" / "provenance.json").write_text(json.dumps(own))
    folder.write(query_prompt="query: ")
    check_pair(folder.path)


def test_without_queries_items_have_the_prompt_of_documents(folder):
    folder.write(queries=False, document_prompt="passage: ")
    pair = folder.embed()
    assert cosines(pair.draft, [f"passage: {text}" for text in DOCUMENTS.values()]).min() > 0.9999


@pytest.mark.parametrize(
    ("keys", "queries", "message"),
    [
        ({"query_prompt": "query: "}, False, r"draft\.query_prompt 'query: ' is for queries.*use document_prompt"),
        (
            {"truncate": True},
            True,
            r"draft\.truncate is for source 'sentence-transformers'.* not for 'openai'; remove it",
        ),
        ({"dimensions": 1}, True, "Expected `int` >= 2"),
        ({"dimensions": "256"}, True, r"Expected `int \| null`, got `str`.*dimensions \(a whole number\)"),
        ({"query_promt": "query: "}, True, "did you mean 'query_prompt'"),
    ],
)
def test_keys_that_cannot_be_meant_are_refused(folder, keys, queries, message):
    folder.write(queries=queries, **keys)
    with pytest.raises(PairError, match=message):
        read_config(folder.path)

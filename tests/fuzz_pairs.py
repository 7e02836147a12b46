"""What `fuzz_readers.py` gives to the readers of a pair's files, and how they are called."""

import contextlib
import hashlib
import json
from types import SimpleNamespace

import hostile
import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save, save_file

from embalign.errors import EmbalignError
from embalign.pairs.config import read_config
from embalign.pairs.corpus import Item, corpus_digest, read_corpus
from embalign.pairs.pair import load_pair
from embalign.pairs.provenance import read_provenance
from embalign.pairs.queries import read_queries
from embalign.pairs.vectors import check_vectors_file, read_vectors

SIDE = '[{}]\nsource = "openai"\nmodel = "m"\nendpoint = "http://127.0.0.1:1"\npooling = "mean"\nlicence = "MIT"\n'
PAIR = SIDE.format("draft") + SIDE.format("teacher")
WITH_QUERIES = f'corpus = "corpus.jsonl"\nqueries = "queries.jsonl"\nqrels = "qrels.tsv"\nstorage = "int8"\n{PAIR}'
ITEMS = [
    {"id": "d1", "text": "first \u4e2d", "label": "a"},
    {"id": "d2", "text": "second", "label": "b"},
    {"id": "d3", "text": "third", "label": "b", "style": "loud", "base": "d2"},
    {"_id": "d4", "title": "a title", "text": "fourth", "metadata": {}},
]
QUERIES = [
    {"id": "q1", "text": "one?", "relevant": ["d1", "d2"]},
    {"id": "q2", "text": "two?", "label": "b", "relevant": {"d1": 2, "d2": 1.5}},
    {"_id": "q3", "text": "three?", "metadata": {}},
]
DOCUMENTS = [Item("d1", "first"), Item("d2", "second")]
UNIT = np.eye(6, 8, dtype=np.float32)


def state(inputs, folder, **more):
    return SimpleNamespace(inputs=inputs, folder=folder, **more)


def written(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def config(folder):
    return state(hostile.toml_files([PAIR, WITH_QUERIES]), folder)


def read_a_config(now, content):
    written(now.folder / "pair.toml", content)
    read_config(now.folder)


def corpus(folder):
    return state(hostile.lines(ITEMS), folder)


def read_a_corpus(now, content):
    path = written(now.folder / "corpus.jsonl", content)
    corpus_digest(path)
    with contextlib.suppress(EmbalignError):
        read_corpus(path)
    read_corpus(path, searched=True)


def queries(folder):
    return state(hostile.lines(QUERIES), folder)


def read_some_queries(now, content):
    read_queries(written(now.folder / "queries.jsonl", content), None, DOCUMENTS)


def qrels(folder):
    lines = [{"id": "q1", "text": "one?"}, {"id": "q2", "text": "two?"}]
    written(folder / "queries.jsonl", "\n".join(map(json.dumps, lines)).encode())
    rows = [["query-id", "corpus-id", "score"], ["q1", "d1", "1"], ["q2", "d2", "2"], ["q1", "0", "d2", "1"]]
    return state(hostile.tables(rows), folder)


def read_some_qrels(now, content):
    read_queries(now.folder / "queries.jsonl", written(now.folder / "qrels.tsv", content), DOCUMENTS)


def provenance(folder):
    written(folder / "pair.toml", PAIR.encode())
    side = {"model": "m", "sha256": "a" * 64, "dimension": 8, "source": "openai", "prompt": "", "verified": True}
    return state(hostile.json_files([{"corpus_sha256": "b" * 64, "draft": side, "teacher": side}]), folder)


def read_a_provenance(now, content):
    written(now.folder / "embeddings" / "provenance.json", content)
    read_provenance(now.folder)


def as_safetensors(header, body):
    return len(header).to_bytes(8, "little") + header + body


def vectors(folder):
    scale = np.ones(6, np.float32)
    rows = UNIT.astype(np.float16)
    files = [
        save({"embeddings": rows}),
        save({"embeddings": UNIT}),
        save({"embeddings": UNIT.astype(np.float64)}),
        save({"embeddings": UNIT.astype(np.int8), "scale": scale, "dimension_scale": np.ones(8, np.float32)}),
    ]
    headers = [json.loads(found[8 : 8 + int.from_bytes(found[:8], "little")]) for found in files]
    body = st.sampled_from([rows.tobytes(), UNIT.tobytes(), b"", b"\xff" * 96, bytes(1000)])
    size = st.sampled_from([0, 1, 2**20, 2**27, 2**62, 2**64 - 1])
    broken = st.builds(lambda number, found: number.to_bytes(8, "little") + found[8:], size, st.sampled_from(files))
    headed = st.builds(as_safetensors, hostile.json_files(headers), body)
    return state(st.one_of(headed, hostile.mutated(files), broken), folder)


def read_some_vectors(now, content):
    written(now.folder / "embeddings" / "draft.safetensors", content)
    about = {"draft": {"sha256": hashlib.sha256(content).hexdigest(), "dimension": 8}}
    check_vectors_file(now.folder, "draft", 6, about)
    read_vectors(now.folder, "draft", 6, about)


def pair(folder):
    lines = [json.dumps({"id": f"d{row}", "text": f"text {row}", "label": "ab"[row % 2]}) for row in range(6)]
    texts = {"corpus.jsonl": "\n".join(lines).encode(), "pair.toml": PAIR.encode()}
    for name, content in texts.items():
        written(folder / name, content)
    (folder / "embeddings").mkdir()
    sides = {}
    for role in ("draft", "teacher"):
        save_file({"embeddings": UNIT}, path := folder / "embeddings" / f"{role}.safetensors")
        sides[role] = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "dimension": 8}
    texts["embeddings/provenance.json"] = b""
    kinds = {
        "corpus.jsonl": hostile.mutated([texts["corpus.jsonl"]]),
        "pair.toml": hostile.toml_files([PAIR]),
        "embeddings/provenance.json": hostile.json_files([sides | {"corpus_sha256": "a"}]),
    }
    inputs = st.one_of(*(st.tuples(st.just(name), found) for name, found in kinds.items()))
    return state(inputs, folder, texts=texts, sides=sides)


def load_a_pair(now, content):
    name, changed = content
    for other, text in now.texts.items():
        written(now.folder / other, changed if other == name else text)
    if name != "embeddings/provenance.json":
        about = now.sides | {"corpus_sha256": corpus_digest(now.folder / "corpus.jsonl")}
        written(now.folder / "embeddings" / "provenance.json", json.dumps(about).encode())
    load_pair(now.folder)


READERS = {
    "pair.toml": (config, read_a_config),
    "corpus": (corpus, read_a_corpus),
    "queries": (queries, read_some_queries),
    "qrels": (qrels, read_some_qrels),
    "provenance": (provenance, read_a_provenance),
    "vectors": (vectors, read_some_vectors),
    "pair": (pair, load_a_pair),
}

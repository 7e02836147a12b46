"""What each reader of the package is given by `fuzz_readers.py`, and how it is called."""

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import sqlite3
import threading
from types import SimpleNamespace
from unittest import mock

import hostile
import msgspec
import numpy as np
from hypothesis import strategies as st
from pair_folders import ROOT
from safetensors.numpy import save, save_file

from embalign.__main__ import main
from embalign.deploy import load
from embalign.deploy.summary import summarise
from embalign.embeddings import http
from embalign.embeddings.cache import VectorCache
from embalign.errors import ConclusionError, EmbalignError
from embalign.evaluation.measurement import Measurement
from embalign.pairs.config import read_config
from embalign.pairs.corpus import Item, corpus_digest, read_corpus
from embalign.pairs.pair import load_pair
from embalign.pairs.provenance import read_provenance
from embalign.pairs.queries import read_queries
from embalign.pairs.vectors import check_vectors_file, read_vectors
from embalign.plugin.options import OPTIONS
from embalign.regression.baseline import read_baseline
from embalign.research import claims
from embalign.research.conclusion import CHECKS, read_conclusion
from embalign.research.promote import same_artifact
from embalign.runs.store import Store
from embalign.verdicts.metrics import SMALLEST_EFFECTS

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


def baseline(folder):
    metrics = dict.fromkeys(SMALLEST_EFFECTS, 0.5)
    about = {"schema": 1, "pair": "p", "experiment": "e", "commit": "c", "fingerprints": {"config": "a", "data": "b"}}
    whole = about | {"repeatability": {"mrr": 0.001}, "values": {"t/a-seed00": metrics, "t/a-seed01": metrics}}
    return state(hostile.json_files([whole]), folder)


def read_a_baseline(now, content):
    read_baseline(written(now.folder / "baseline.json", content))


def results(folder):
    arrays = [{"mrr": np.ones((3, 4), np.float32)}, {"x": np.array([{}, None], object)}, {"a": np.zeros(3), "b": UNIT}]
    files = []
    for found in arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **found)
        files.append(buffer.getvalue())
    written(folder / "before.npz", files[0])
    rows = [["policy", "seed", "mrr", "status"], ["random", "0", "0.5", "ok"], ["random", "1", "0.25", "ok"]]
    verdict = {"primary": {"kind": "elbow", "ratio": 0.5, "bends": [{"at": 1}, None]}, "n": 3}
    kinds = {
        "npz": hostile.mutated(files, most=2),
        "csv": hostile.tables(rows, signs=[","]),
        "json": hostile.json_files([verdict]),
    }
    return state(st.one_of(*(st.tuples(st.just(kind), found) for kind, found in kinds.items())), folder)


def read_some_results(now, content):
    kind, found = content
    path = written(now.folder / f"after.{kind}", found)
    if kind == "npz":
        same_artifact(now.folder / "before.npz", path)
        return
    selected = (
        {"path": "primary/bends/0/at"} if kind == "json" else {"where": "policy:random", "col": "mrr", "fn": "mean"}
    )
    claims.parse({"file": path.name, "format": ".3g", **selected}).computed(now.folder)


def conclusion(folder):
    source = ROOT / "docs" / "research" / "2026-11-27-elbow-smollm2-mpnet"
    shutil.copytree(source, folder / source.name)
    texts = {name: (source / name).read_bytes() for name in ("conclusion.toml", "README.md", "provenance.json")}
    short = texts["conclusion.toml"].decode()
    short = short[: short.index("[[claims]]", short.index("[[claims]]") + 2000)]
    kinds = {
        "conclusion.toml": hostile.toml_files([short]),
        "README.md": hostile.mutated([texts["README.md"], b"# How much", b"![a](b.png)\n[c](d)\n```\nx\n```\n"]),
        "provenance.json": hostile.json_files([json.loads(texts["provenance.json"])]),
    }
    inputs = st.one_of(*(st.tuples(st.just(name), found) for name, found in kinds.items()))
    return state(inputs, folder / source.name, texts=texts)


def read_a_conclusion(now, content):
    name, changed = content
    for other, text in now.texts.items():
        written(now.folder / other, changed if other == name else text)
    found = read_conclusion(now.folder)
    faults = []
    for check in CHECKS.values():
        try:
            check(found, ROOT)
        except ConclusionError as error:
            faults.append(error)
    for fault in faults[:1]:
        raise fault


def estimate(value):
    return {"value": value, "interval": [0.1, 0.2]}


def a_map(folder):
    held = {
        "threshold": 0.5,
        "coverage": 0.5,
        "risk_bound": 0.1,
        "lacking_accepts": None,
        "index_size": 6,
        "promise": "p",
    }
    use = {
        "queries": "mapped",
        "index": "teacher",
        "index_size": 6,
        "score": "top1",
        "score_is": "s",
        "confidence": 0.95,
    }
    use |= {name: {"ndcg_at_10": estimate(0.5)} for name in ("quality", "retention", "teacher", "no_map")}
    use |= {"beats_no_map": True, "over_no_map": {"difference": 0.1, "lower_bound": 0.05, "confidence": 0.95}}
    use |= {"thresholds": dict.fromkeys(("0.05", "0.10", "0.20"), held)}
    names = ("query_adapter", "index_migration", "draft_only")
    card = {
        "pair": "p",
        "draft": {},
        "teacher": {},
        "shape": [6, 8],
        "rows": "r",
        "trained_on": "t",
        "measured_on": "m",
    }
    recipe = {"name": "tuned", "steps": 400, "penalty": 1.0, "inner": {}}
    card |= {"seed": 0, "config": {}, "deployments": dict.fromkeys(names, use), "pair_sha256": "a", "recipe": recipe}
    files = []
    for weights in (UNIT, UNIT.astype(np.float64), np.array([{}], object), UNIT.T):
        buffer = io.BytesIO()
        np.save(buffer, weights, allow_pickle=True)
        files.append(buffer.getvalue())
    whole = st.tuples(st.just("card"), hostile.json_files([card | {"sha256": hashlib.sha256(files[0]).hexdigest()}]))
    matrix = st.tuples(st.just("matrix"), hostile.mutated(files))
    return state(st.one_of(whole, matrix), folder, card=card, right=files[0])


def load_a_map(now, content):
    kind, found = content
    matrix = found if kind == "matrix" else now.right
    written(now.folder / "W.npy", matrix)
    card = json.dumps(now.card | {"sha256": hashlib.sha256(matrix).hexdigest()}).encode()
    path = written(now.folder / "W.json", found if kind == "card" else card)
    load(now.folder).map(UNIT)
    summarise(path)


def database(make, table, folder):
    """Bytes of a small database, damaged; or a sound one whose row has other values."""
    opened = make(folder / "whole.sqlite")
    if table == "measurements":
        opened.put("key", Measurement({"mrr": 0.5}, {"mrr": np.ones(3, np.float32)}))
    else:
        opened.put({b"k" * 32: UNIT[0]})
    opened.close()
    whole = (folder / "whole.sqlite").read_bytes()
    right = Measurement({"mrr": 0.5}, {"mrr": np.ones(3, np.float32)}).to_bytes()
    blobs = st.one_of(
        hostile.mutated([right, UNIT[0].tobytes()]),
        st.builds(
            lambda a, b, c: msgspec.msgpack.encode((a, b, c)),
            st.sampled_from([{}, {"m": None}, {"m": 1e300}, {"m": float("nan")}, [], {1: 2}]),
            st.sampled_from([{}, {"m": b"abc"}, {"m": b""}, {"m": "text"}]),
            st.sampled_from([{}, {"t": {"a": [1], "b": [1, 2]}}, {"t": {"a": []}}, {"t": {"a": [[], {}, None]}}]),
        ),
    )
    column = st.one_of(blobs, st.sampled_from(["text", 7, 1.5, -(2**63), ""]))
    inputs = st.one_of(st.tuples(st.just("file"), hostile.mutated([whole])), st.tuples(st.just("row"), column))
    return state(inputs, folder, whole=whole)


def store(folder):
    return database(Store, "measurements", folder)


def cache(folder):
    return database(VectorCache, "vectors", folder)


def placed(now, name, content, statement, values):
    """A database that is damaged, or one with a row of these values; its columns take any type."""
    kind, found = content
    for old in now.folder.glob(f"{name}*"):
        old.unlink()
    path = written(now.folder / name, found if kind == "file" else b"")
    if kind == "row":
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)
            connection.execute(f"INSERT INTO {statement.split()[2]} VALUES ({', '.join('?' * len(values))})", values)
    return path


def sha256_of(content):
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else "x"


def read_a_store(now, content):
    values = ("key", content[1], sha256_of(content[1]))
    opened = Store(placed(now, "store.sqlite", content, "CREATE TABLE measurements (key, content, sha256)", values))
    with contextlib.closing(opened):
        opened.get("key")
        opened.put("other", Measurement({"mrr": 1.0}))


def read_a_cache(now, content):
    key = b"k" * 32
    digest = bytes.fromhex(sha256_of(content[1])) if isinstance(content[1], bytes) else b"x"
    values = (key, 8, content[1], digest)
    statement = "CREATE TABLE vectors (key, dimension, vector, sha256)"
    with contextlib.closing(VectorCache(placed(now, "cache.sqlite", content, statement, values))) as opened:
        opened.get([key])
        opened.put({b"other": UNIT[1]})


WAITS = {"ATTEMPTS": 2, "FIRST_WAIT": 0.0, "LONGEST_WAIT": 0.0}


def server(folder):
    """A socket that answers each request with the bytes at hand."""
    listening = socket.create_server(("127.0.0.1", 0))
    answer = {}

    def serve():
        while True:
            connection, _ = listening.accept()
            with contextlib.suppress(OSError), connection:
                connection.settimeout(2)
                connection.recv(65536)
                connection.sendall(answer["content"])

    threading.Thread(target=serve, daemon=True).start()
    body = [b'{"embeddings": [[0.5, 0.5]], "model": "m"}', b'{"error": {"message": "no"}}', b'{"data": [{"index": 0}]}']
    starts = (
        b"200 OK",
        b"500 Oops",
        b"404 Not Found",
        b"307 Go\r\nLocation: http://u:p@h/",
        b"429 Wait\r\nRetry-After: 0",
    )
    files = [
        b"HTTP/1.1 " + start + b"\r\nContent-Length: " + str(len(found)).encode() + b"\r\n\r\n" + found
        for start in starts
        for found in body
    ]
    bodies = hostile.json_files([json.loads(found) for found in body])
    whole = bodies.map(lambda b: b"HTTP/1.1 200 OK\r\nContent-Length: " + str(len(b)).encode() + b"\r\n\r\n" + b)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    return state(st.one_of(whole, hostile.mutated(files)), folder, answer=answer, address=address)


def ask_a_server(now, content):
    now.answer["content"] = content
    waits = {name: value for name, value in WAITS.items() if hasattr(http, name)}
    with mock.patch.multiple(http, **waits), mock.patch.dict(os.environ, {http.DEADLINE_VARIABLE: "0.5"}):
        http.Client(now.address, "a test", lambda status, text: "").ask("/api/embed", {"input": ["a"]})


def options(folder):
    names = [*OPTIONS, "--pai", "--seed", "export", "--out"]
    odd = [
        "",
        " ",
        "-1",
        "0",
        "1e9",
        "nan",
        hostile.HUGE,
        "\u0663",
        "\u00b2",
        "../..",
        "/",
        "x" * 5000,
        "a\nb",
        "\x1b[31m",
    ]
    value = st.one_of(st.sampled_from(odd), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
    words = st.lists(st.one_of(st.sampled_from(names), value), min_size=1, max_size=5)
    return state(words, folder)


def read_some_options(now, words):
    parser = argparse.ArgumentParser(prog="pytest")
    for name, settings in OPTIONS.items():
        parser.add_argument(name, **settings)
    written(now.folder / "out", b"a file")
    quiet = contextlib.redirect_stderr(io.StringIO())
    with quiet, contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        parser.parse_args(words)
    with quiet, contextlib.suppress(SystemExit), contextlib.chdir(now.folder):
        pair = next((word for word in words if word), "x")
        code = main(["export", f"--pair={pair}", "--out", "out"])
        assert code == EmbalignError.exit_code, f"exit code {code} for {words!r}"


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
    "baseline": (baseline, read_a_baseline),
    "results": (results, read_some_results),
    "conclusion": (conclusion, read_a_conclusion),
    "map": (a_map, load_a_map),
    "store": (store, read_a_store),
    "cache": (cache, read_a_cache),
    "http": (server, ask_a_server),
    "options": (options, read_some_options),
}

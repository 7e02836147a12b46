"""What `fuzz_readers.py` gives to all other readers: those of runs, conclusions, maps, servers, options."""

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import threading
import warnings
from unittest import mock

import hostile
import numpy as np
from fuzz_databases import READERS as DATABASES
from fuzz_pairs import READERS as PAIRS
from fuzz_pairs import UNIT, state, written
from hypothesis import strategies as st
from pair_folders import ROOT
from safetensors.numpy import save

from embalign.__main__ import main
from embalign.deploy import MapWarning, load
from embalign.deploy.summary import summarise
from embalign.embeddings import http
from embalign.embeddings.addresses import parse_address
from embalign.embeddings.patience import Patience
from embalign.errors import ConclusionError, EmbalignError
from embalign.plugin.options import OPTIONS
from embalign.regression.baseline import read_baseline
from embalign.research import claims
from embalign.research.conclusion import CHECKS, read_conclusion
from embalign.research.promote import same_artifact
from embalign.verdicts.metrics import CHECKED


def baseline(folder):
    metrics = dict.fromkeys(CHECKED, 0.5)
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


def a_card():
    """A card of W.npy, whose map is 6 by 8, without the digest."""
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
    return card | {
        "seed": 0,
        "config": {},
        "deployments": dict.fromkeys(names, use),
        "pair_sha256": "a",
        "recipe": recipe,
    }


def a_map(folder):
    card, files = a_card(), []
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


def a_map_of_a_family(folder):
    """One of affine queries and an index that a kernel maps, searched by CSLS."""
    sides = {
        "queries": {"weights": UNIT[:5], "offset": np.ones(5, np.float32)},
        "index": {
            "anchors": np.eye(3, 6, dtype=np.float32),
            "coefficients": np.ones((3, 5), np.float32),
            "offset": np.zeros(5, np.float32),
            "width": np.ones(1, np.float32),
        },
    }
    named = {f"query_adapter.{side}.{name}": array for side, own in sides.items() for name, array in own.items()}
    wide = {name: array.astype(np.float64) for name, array in named.items()}
    files = [save(arrays) for arrays in (named, wide, named | {"more": UNIT})]
    fitted = {"family": "affine", "setting": {"penalty": 0.1}, "search": "csls", "queries": "affine", "index": "kernel"}
    fitted |= {"inner": {"affine": {"csls": 0.5, "plain": 0.25}}, "sample": 6}
    card = a_card() | {"maps": {"query_adapter": fitted}, "recipe": {}}
    card["deployments"] = {"query_adapter": card["deployments"]["query_adapter"]}
    whole = st.tuples(st.just("card"), hostile.json_files([card | {"sha256": hashlib.sha256(files[0]).hexdigest()}]))
    arrays = st.tuples(st.just("arrays"), hostile.mutated(files))
    return state(st.one_of(whole, arrays), folder, card=card, right=files[0])


def load_a_map_of_a_family(now, content):
    kind, found = content
    arrays = found if kind == "arrays" else now.right
    written(now.folder / "map.safetensors", arrays)
    card = json.dumps(now.card | {"sha256": hashlib.sha256(arrays).hexdigest()}).encode()
    path = written(now.folder / "map.json", found if kind == "card" else card)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MapWarning)
        adapter = load(now.folder)
        adapter.accept(UNIT, adapter.prepare(np.eye(6, dtype=np.float32), UNIT))
    summarise(path)


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


def impatient(limit):
    """What waits for a server that may come back, and gives up at once."""
    return Patience(0.0)


def ask_a_server(now, content):
    now.answer["content"] = content
    quick = mock.patch.dict(os.environ, {http.DEADLINE_VARIABLE: "0.5"})
    with mock.patch.object(http, "Patience", impatient), quick:
        http.Client(parse_address(now.address, "a test"), lambda status, text: "").ask("/api/embed", {"input": ["a"]})


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


READERS = (
    PAIRS
    | DATABASES
    | {
        "baseline": (baseline, read_a_baseline),
        "results": (results, read_some_results),
        "conclusion": (conclusion, read_a_conclusion),
        "map": (a_map, load_a_map),
        "family": (a_map_of_a_family, load_a_map_of_a_family),
        "http": (server, ask_a_server),
        "options": (options, read_some_options),
    }
)

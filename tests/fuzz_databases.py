"""What `fuzz_readers.py` gives to the readers of the store and of the cache: database files and their rows."""

import contextlib
import hashlib
import sqlite3

import hostile
import msgspec
import numpy as np
from fuzz_pairs import UNIT, state, written
from hypothesis import strategies as st

from embalign.embeddings.cache import VectorCache
from embalign.evaluation.measurement import Measurement
from embalign.runs.store import Store


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


READERS = {"store": (store, read_a_store), "cache": (cache, read_a_cache)}

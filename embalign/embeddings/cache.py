"""The embedding cache: one SQLite file of vectors, keyed by everything that a vector depends on.

A key is the SHA-256 of a canonical JSON array of source, server, model, digests, pooling, options and the exact text.
Each row stores a digest of key and vector, which is verified on every read; a row that fails is deleted and fetched
again. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embalign.durable import open_database
from embalign.embeddings.source import Identity
from embalign.errors import CacheError, NewerSchemaError

SCHEMA = 1
TABLE = (
    "CREATE TABLE IF NOT EXISTS vectors "
    "(key BLOB PRIMARY KEY, dimension INTEGER NOT NULL, vector BLOB NOT NULL, sha256 BLOB NOT NULL) STRICT"
)
ASKED_AT_ONCE = 500


def vector_key(identity: Identity, text: str) -> bytes:
    """Return the cache key of a text embedded by that source: a SHA-256 over every field and the text."""
    fields = vars(identity)
    canonical = json.dumps([SCHEMA, *(fields[name] for name in sorted(fields)), text], sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).digest()


class VectorCache:
    """Vectors by key in one SQLite file, created on first use; safe with many processes and under kills."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def get(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the stored vectors of the keys that have one; damaged rows are deleted, to be fetched again."""
        found, damaged = {}, []
        for start in range(0, len(keys), ASKED_AT_ONCE):
            part = keys[start : start + ASKED_AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT key, dimension, vector, sha256 FROM vectors WHERE key IN ({marks})"
            with self._open() as connection:
                rows = connection.execute(query, part).fetchall()
            for key, dimension, blob, digest in rows:
                if len(blob) == 4 * dimension and _digest(key, dimension, blob) == digest:
                    found[key] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
                else:
                    damaged.append((key,))
        if damaged:
            with self._open() as connection:
                connection.executemany("DELETE FROM vectors WHERE key = ?", damaged)
        return found

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Store vectors in one transaction; they are on disk when this returns. A key that exists is replaced."""
        rows = []
        for key, vector in vectors.items():
            blob = vector.astype("<f4").tobytes()
            rows.append((key, len(vector), blob, _digest(key, len(vector), blob)))
        with self._open() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection:
                yield self._connection
        except NewerSchemaError as error:
            raise CacheError(str(error)) from None
        except (sqlite3.OperationalError, OSError) as error:  # a full disk, a folder that cannot be written
            raise CacheError(
                f"{self.path}: {error}; fetched embeddings are saved: fix this and rerun the same command"
            ) from None
        except sqlite3.DatabaseError as error:
            self.close()
            raise CacheError(
                f"{self.path}: {error}; rerun the same command, which sets a damaged cache aside"
            ) from None

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = open_database(self.path, SCHEMA, TABLE)
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if state == "ok":
                return connection
            connection.close()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            pass
        # Not a database, or a truncated one. The cache can be fetched again, so set it aside for inspection.
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        return open_database(self.path, SCHEMA, TABLE)


def _digest(key: bytes, dimension: int, blob: bytes) -> bytes:
    return hashlib.sha256(key + struct.pack("<q", dimension) + blob).digest()

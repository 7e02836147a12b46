"""The embedding cache: one SQLite file of vectors, keyed by everything that a vector depends on.

A key is the SHA-256 of a canonical JSON array of source, server, model, digests, pooling, options and the exact text.
Each row stores a digest of key and vector, which is verified on every read; a row that fails is deleted and fetched
again. Nothing is unpickled.

Vectors of a fetch are pending until its last check has passed: a fetch that is killed leaves them so, and the next one
checks them too. What fails is deleted.
"""

import hashlib
import json
import sqlite3
import struct
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from embalign.durable import Database
from embalign.embeddings.source import Identity
from embalign.errors import CacheError

SCHEMA = 1


def vector_key(identity: Identity, text: str) -> bytes:
    """Return the cache key of a text embedded by that source: a SHA-256 over every field and the text."""
    fields = vars(identity)
    canonical = json.dumps([SCHEMA, *(fields[name] for name in sorted(fields)), text], sort_keys=True)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).digest()


class VectorCache(Database):
    """Vectors by key in one SQLite file, created on first use; safe with many processes and under kills."""

    schema = SCHEMA
    table = "vectors (key BLOB PRIMARY KEY, dimension INTEGER NOT NULL, vector BLOB NOT NULL, sha256 BLOB NOT NULL)"
    error = CacheError
    if_unwritable = "fetched embeddings are saved: fix this and rerun the same command"
    if_damaged = "rerun the same command, which sets a damaged cache aside"

    def get(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """Return the stored vectors of the keys that have one; damaged rows are deleted, to be fetched again."""
        vectors = {}
        with self.transaction() as connection:
            for key in keys:
                query = "SELECT dimension, vector, sha256 FROM vectors WHERE key = ?"
                for dimension, blob, digest in connection.execute(query, (key,)).fetchall():
                    if _is_whole(key, dimension, blob, digest):
                        vectors[key] = np.frombuffer(blob, dtype="<f4").astype(np.float32)
                    else:
                        connection.execute("DELETE FROM vectors WHERE key = ?", (key,))
        return vectors

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]], *, pending: bool = False) -> None:
        """Store vectors in one transaction; they are on disk when this returns. A key that exists is replaced."""
        rows = []
        for key, vector in vectors.items():
            blob = vector.astype("<f4").tobytes()
            rows.append((key, len(vector), blob, _digest(key, len(vector), blob)))
        with self.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?)", rows)
            mark = "INSERT OR IGNORE INTO pending VALUES (?)" if pending else "DELETE FROM pending WHERE key = ?"
            connection.executemany(mark, [(key,) for key in vectors])

    def pending(self, keys: Iterable[bytes]) -> set[bytes]:
        """Return those of the keys whose vectors no fetch has checked to its end."""
        with self.transaction() as connection:
            marked = {key for (key,) in connection.execute("SELECT key FROM pending")}
        return marked.intersection(keys)

    def confirm(self, keys: Iterable[bytes]) -> None:
        """Make pending vectors final."""
        with self.transaction() as connection:
            connection.executemany("DELETE FROM pending WHERE key = ?", [(key,) for key in keys])

    def delete(self, keys: Iterable[bytes]) -> None:
        """Delete vectors, pending or final."""
        rows = [(key,) for key in keys]
        with self.transaction() as connection:
            connection.executemany("DELETE FROM vectors WHERE key = ?", rows)
            connection.executemany("DELETE FROM pending WHERE key = ?", rows)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = super()._connect()
            (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if state == "ok":
                return _with_marks(connection)
            connection.close()
        except sqlite3.OperationalError:
            raise
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            pass
        # Not a database, or a truncated one. The cache can be fetched again, so set it aside for inspection.
        self.path.rename(self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}"))
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        return _with_marks(super()._connect())


def _with_marks(connection: sqlite3.Connection) -> sqlite3.Connection:
    # A table of its own, so that a cache of an earlier version needs no change: all its vectors are final.
    connection.execute("CREATE TABLE IF NOT EXISTS pending (key BLOB PRIMARY KEY) STRICT")
    return connection


def _is_whole(key: bytes, dimension: object, blob: object, digest: object) -> bool:
    """Return whether a row is as it was written: any of its values may be of another type by now."""
    if not isinstance(dimension, int) or not isinstance(blob, bytes) or len(blob) != 4 * dimension:
        return False
    return _digest(key, dimension, blob) == digest


def _digest(key: bytes, dimension: int, blob: bytes) -> bytes:
    return hashlib.sha256(key + struct.pack("<q", dimension) + blob).digest()

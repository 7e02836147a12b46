"""The results store: one SQLite file of finished cells, safe to write from many processes and to be killed in.

A cell's key is the SHA-256 of its settings, the pair's data, the source its number depends on and the versions of the
numerical libraries. Rows are added once and never changed; whatever changes a number changes the key.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from embalign.durable import NewerSchemaError, open_database
from embalign.experiments.grid import Cell, Row
from embalign.runs.source import source_digest

SCHEMA = 1
TABLE = "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, row TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT"
NUMERICAL_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


class StoreError(RuntimeError):
    """A store file that cannot be used; the message names it and the remedy."""


class Store:
    """Finished rows by cell key in one SQLite file, created on first use; may be used from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> Row | None:
        """Return the row stored under a key, or None; a row that has changed on disk since is dropped."""
        with self._open() as connection:
            found = connection.execute("SELECT row, sha256 FROM rows WHERE key = ?", (key,)).fetchone()
            if found is None:
                return None
            if _digest(found[0]) != found[1]:
                connection.execute("DELETE FROM rows WHERE key = ?", (key,))
                return None
        row: Row = json.loads(found[0])
        return row

    def put(self, key: str, row: Row) -> None:
        """Add a row; it is on disk when this returns. A key already present keeps its row."""
        text = json.dumps(row)
        with self._open() as connection:
            connection.execute("INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, text, _digest(text)))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """One transaction at a time on one connection."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = open_database(self.path, SCHEMA, TABLE)
                with self._connection:
                    yield self._connection
            except NewerSchemaError as error:
                raise StoreError(str(error)) from None
            except (sqlite3.OperationalError, OSError) as error:  # a full or failing disk, a folder without access
                raise StoreError(
                    f"{self.path}: {error}; cells stored before are kept: mend that and run again"
                ) from None
            except sqlite3.DatabaseError as error:
                raise StoreError(
                    f"{self.path}: {error}; finished cells are kept in this file: move it away to measure anew"
                ) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def cell_key(cell: Cell, measure: str, data_digest: str) -> str:
    """Return the key of a cell that `measure` ("module:function") measures on a pair with that data digest.

    The functions among its settings count with their source, as the measure does.
    """
    identity = [SCHEMA, cell.experiment, cell.table, dict(cell.settings), cell.seed, data_digest]
    sources = [source_digest(function) for function in (measure, *cell.functions)]
    canonical = json.dumps([*identity, *sources, library_versions()], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute numbers, without importing them."""
    return {name: importlib.metadata.version(name) for name in NUMERICAL_LIBRARIES}

"""The results store: one SQLite file of measured cells, safe to write from many processes and to be killed in.

A cell's key is the SHA-256 of its settings, the pair's data, the source its number depends on and the versions of the
numerical libraries. Measurements are added once and never changed; whatever changes a number changes the key.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from embalign.durable import open_database
from embalign.errors import NewerSchemaError, StoreError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell
from embalign.lazy import Reference
from embalign.runs.source import source_digest

SCHEMA = 2
TABLE = (
    "CREATE TABLE IF NOT EXISTS measurements (key TEXT PRIMARY KEY, content BLOB NOT NULL, sha256 TEXT NOT NULL) STRICT"
)
NUMERICAL_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


class Store:
    """Measurements by cell key in one SQLite file, created on first use; may be used from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> Measurement | None:
        """Return the measurement stored under a key, or None; one that has changed on disk since is dropped."""
        with self._open() as connection:
            found = connection.execute("SELECT content, sha256 FROM measurements WHERE key = ?", (key,)).fetchone()
            if found is None:
                return None
            if _digest(found[0]) != found[1]:
                connection.execute("DELETE FROM measurements WHERE key = ?", (key,))
                return None
        return Measurement.from_bytes(found[0])

    def put(self, key: str, found: Measurement) -> None:
        """Add a measurement; it is on disk when this returns. A key already present keeps what it has."""
        content = found.to_bytes()
        values = (key, content, _digest(content))
        with self._open() as connection:
            connection.execute("INSERT INTO measurements VALUES (?, ?, ?) ON CONFLICT DO NOTHING", values)

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


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def cell_key(cell: Cell, measure: Reference, data_digest: str) -> str:
    """Return the key of a cell that `measure` measures on a pair with that data digest."""
    functions = [value for _, value in cell.settings if isinstance(value, Reference)]
    identity = {
        "schema": SCHEMA,
        "cell": [cell.experiment, cell.table, cell.seed],
        "settings": {name: str(value) if isinstance(value, Reference) else value for name, value in cell.settings},
        "training": dataclasses.asdict(cell.training),
        "data": data_digest,
        "source": [[found.module, found.name, source_digest(found.module)] for found in (measure, *functions)],
        "versions": library_versions(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute numbers, without importing them."""
    return {name: importlib.metadata.version(name) for name in NUMERICAL_LIBRARIES}

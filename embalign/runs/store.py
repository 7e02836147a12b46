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
from collections.abc import Iterator
from pathlib import Path

import embalign
from embalign.embeddings.pair import file_digest
from embalign.runs.experiment import Cell, Row

SCHEMA = 1
NUMERICAL_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")
# What a row's numbers can depend on; a change of wording in a report or of the plugin must not recompute anything.
NUMERICAL_SOURCE = ("embeddings", "alignment", "evaluation", "runs/measure.py")


class Store:
    """Finished rows by cell key in `path`, created on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> Row | None:
        """Return the row stored under a key, or None."""
        if not self.path.exists():
            return None
        with self._connection() as connection:
            found = connection.execute("SELECT row FROM rows WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def put(self, key: str, row: Row) -> None:
        """Add a row; it is on disk when this returns. A key already present keeps its row."""
        with self._connection() as connection, connection:
            connection.execute("INSERT INTO rows VALUES (?, ?) ON CONFLICT DO NOTHING", (key, json.dumps(row)))

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, row TEXT NOT NULL) STRICT")
            yield connection
        finally:
            connection.close()


def cell_key(cell: Cell, data_digest: str) -> str:
    """Return the cell's key for a pair with that data digest."""
    identity = [SCHEMA, cell.experiment, cell.table, dict(cell.settings), cell.seed, data_digest]
    canonical = json.dumps([*identity, source_digest(), library_versions()], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


@functools.cache
def source_digest() -> str:
    """Return the SHA-256 over the source files that measured numbers depend on."""
    root = Path(embalign.__file__).parent
    places = [root / name for name in NUMERICAL_SOURCE]
    files = sorted(path for place in places for path in ([place] if place.is_file() else place.glob("*.py")))
    return hashlib.sha256("".join(file_digest(path) for path in files).encode()).hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute numbers, without importing them."""
    return {name: importlib.metadata.version(name) for name in NUMERICAL_LIBRARIES}

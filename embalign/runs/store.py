"""The results store: one SQLite file of measured cells, safe to write from many processes and to be killed in.

A cell's key is the SHA-256 of its settings, the pair's data, the source its number depends on and the versions of the
numerical libraries. Measurements are added once and never changed; whatever changes a number changes the key.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import json

from embalign.durable import Database
from embalign.errors import StoreError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell
from embalign.lazy import Reference
from embalign.runs.source import source_digest

SCHEMA = 2
NUMERICAL_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch")


class Store(Database):
    """Measurements by cell key in one SQLite file, created on first use; may be used from several threads."""

    schema = SCHEMA
    table = "measurements (key TEXT PRIMARY KEY, content BLOB NOT NULL, sha256 TEXT NOT NULL)"
    error = StoreError
    if_unwritable = "finished cells are saved: fix this and rerun the same command"
    if_damaged = "finished cells stay in this file: move it away to measure them again"

    def get(self, key: str) -> Measurement | None:
        """Return the measurement stored under a key, or None; one that has changed on disk since is dropped."""
        with self.transaction() as connection:
            # A digest whose bits have flipped may not be text any more.
            query = "SELECT content, CAST(sha256 AS BLOB) FROM measurements WHERE key = ?"
            for content, digest in connection.execute(query, (key,)).fetchall():
                if (found := _measurement(content, digest)) is not None:
                    return found
                connection.execute("DELETE FROM measurements WHERE key = ?", (key,))
        return None

    def put(self, key: str, found: Measurement) -> None:
        """Add a measurement; it is on disk when this returns. A key already present keeps what it has."""
        content = found.to_bytes()
        with self.transaction() as connection:
            values = (key, content, _digest(content))
            connection.execute("INSERT INTO measurements VALUES (?, ?, ?) ON CONFLICT DO NOTHING", values)


def _measurement(content: object, digest: object) -> Measurement | None:
    """Return what a row holds, or None for a damaged one."""
    if not isinstance(content, bytes) or not isinstance(digest, bytes) or _digest(content).encode() != digest:
        return None
    try:
        return Measurement.from_bytes(content)
    except ValueError:
        return None


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
        "queries": cell.queries,
        "device": cell.device,
        "data": data_digest,
        "source": [[found.module, found.name, source_digest(found.module)] for found in (measure, *functions)],
        "versions": library_versions(),
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


@functools.cache
def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that compute numbers, without importing them."""
    return {name: importlib.metadata.version(name) for name in NUMERICAL_LIBRARIES}

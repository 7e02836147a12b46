"""Crash-safe files: SQLite databases that many processes write, and files that are moved into place atomically."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path

from embalign.errors import NewerSchemaError

BUSY_SECONDS = 60


def open_database(path: Path, schema: int, table: str) -> sqlite3.Connection:
    """Return a connection whose transactions are on disk when they end; `table` is created if it is missing.

    Several threads may use it, one at a time. Raises NewerSchemaError, and sqlite3.DatabaseError for a file that is not
    a database.
    """
    own_folder(path.parent)
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > schema:
            raise NewerSchemaError(
                f"{path} was written by a newer embalign (schema {version}); update embalign or move the file away"
            )
        # SQLite's own timeout does not cover two processes that switch to WAL at once, so this loop waits.
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(table)
        connection.execute(f"PRAGMA user_version = {schema}")
    except BaseException:
        connection.close()
        raise
    return connection


def own_folder(path: Path) -> None:
    """Create a folder for the suite's own files and have git ignore it, so that it never makes a user's tree dirty."""
    path.mkdir(parents=True, exist_ok=True)
    ignore = path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="ascii")


def move_all(source: Path, target: Path, first: str | None = None) -> None:
    """Move every file of `source` into `target`, each atomically, after all of them are synced to disk.

    The file named `first` is in place and synced before any other file is moved. Use it for the record of the other
    files: a kill between two moves then leaves a record without files, never files without a record.
    """
    paths = sorted(source.iterdir(), key=lambda path: (path.name != first, path.name))
    for path in paths:
        with path.open("rb+") as file:  # Windows syncs only files that are open for writing
            os.fsync(file.fileno())
        path.chmod(0o644)
    for path in paths:
        os.replace(path, target / path.name)
        if path.name == first:
            _sync_folder(target)
    _sync_folder(target)


def _sync_folder(path: Path) -> None:
    """Sync the entries of a folder to disk; a no-op on Windows and on file systems that do not support it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)

"""Crash-safe files: SQLite databases that many processes write, and files that are moved into place atomically."""

import contextlib
import errno
import os
import re
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from embalign.errors import EmbalignError, LinkError
from embalign.readers import opened, said, said_of

BUSY_SECONDS = 60
SWEPT_SECONDS = 3600
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EACCES, errno.EPERM)


class Database:
    """One SQLite file, created on first use; safe with several processes and threads, and under kills.

    A subclass says what the file holds and which error is raised, with which remedy, where it cannot be used.
    """

    schema: int
    table: str
    error: type[EmbalignError]
    if_unwritable: str
    if_damaged: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._failed = ""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction, which is on disk when it ends. Raises `error`.

        A file that failed once fails at once from then on, until it is closed: who waited for a locked one does not
        wait again at each cell.
        """
        with self._lock:
            if self._failed:
                raise self.error(self._failed)
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._connection:
                    yield self._connection
            except (sqlite3.OperationalError, OSError) as error:  # a full or failing disk, a folder without access
                self._failed = f"{self.path}: {said(error)}{_who_locks(error)}; {self.if_unwritable}"
                raise self.error(self._failed) from None
            except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where sqlite3's own words hold odd names
                self.close()
                self._failed = f"{self.path}: {said(error)}; {self.if_damaged}"
                raise self.error(self._failed) from None

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            self._failed = ""
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        refuse_links(self.path.parent, self.path, error=self.error)  # the folder may be one, to a larger disk
        own_folder(self.path.parent)
        if os.path.lexists(self.path):
            opened(self.path).close()
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > self.schema:
                written = f"{self.path} was written by a newer embalign (schema {version})"
                raise self.error(f"{written}; update embalign or move the file away")
            _switch_to_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self.table} STRICT")
            name = self.table.partition(" ")[0]
            (kind,) = connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (name,)).fetchone()
            if kind != "table":  # a view is a query, which may have no end
                raise sqlite3.DatabaseError(f"{name} is a {kind}")
            connection.execute(f"PRAGMA user_version = {self.schema}")
        except BaseException:
            connection.close()
            raise
        return connection


def _who_locks(error: Exception) -> str:
    return f" by another program, for over {BUSY_SECONDS:g} s: end that one" if "locked" in str(error) else ""


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    # SQLite's own timeout does not cover two processes that switch at once, so this loop waits.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def writing(path: Path, error: type[EmbalignError], otherwise: str) -> Iterator[None]:
    """Turn a fault of the system inside into `error`: the path, the cause and the remedy, which may be `otherwise`."""
    try:
        yield
    except OSError as fault:
        raise error(f"{path}: cannot be written ({said(fault)}); {remedy_of(fault, otherwise)}") from None


def check_can_be_written(folder: Path, prefix: str, error: type[EmbalignError], otherwise: str) -> None:
    """Raise `error` unless files can be written into a folder, or it can be made; for what is long to compute.

    Nothing is left behind. `prefix` is that of a temporary folder.
    """
    there = nearest(folder)
    with writing(there, error, otherwise), tempfile.TemporaryDirectory(dir=there, prefix=prefix):
        pass


def nearest(folder: Path) -> Path:
    """Return the folder itself, or what is there of those above it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def remedy_of(fault: OSError, otherwise: str) -> str:
    """Return what to do about a fault of the system: what its cause suggests, or `otherwise`."""
    first = {**dict.fromkeys(FULL, "free some space there, or "), **dict.fromkeys(CLOSED, "give this user access, or ")}
    return f"{first.get(fault.errno or 0, '')}{otherwise}"


def in_words(fault: OSError) -> str:
    """Return a fault of the system that no reader or writer has foreseen: the path that it names, cause and remedy."""
    return f"{said_of(fault)}; {remedy_of(fault, 'name another place')}"


def own_folder(path: Path) -> None:
    """Create a folder for the suite's own files and have git ignore it, so that it never makes a user's tree dirty."""
    path.mkdir(parents=True, exist_ok=True)
    # Mode x: never through a link, not even one that leads nowhere.
    with contextlib.suppress(FileExistsError), (path / ".gitignore").open("x", encoding="ascii") as file:
        file.write("*\n")


def refuse_links(
    base: Path, *paths: Path, remedy: str = "remove the link", error: type[EmbalignError] = LinkError
) -> None:
    """Raise `error` for a path that is a symbolic link, or lies behind one, below `base`; `base` may be one itself.

    What is about to be written or deleted below a folder that came from elsewhere is checked so.
    """
    for path in paths:
        inside = path.relative_to(base)
        there = os.path.normpath(os.path.join(os.path.realpath(base), inside))
        if os.path.normcase(os.path.realpath(path)) != os.path.normcase(there):
            steps = [base.joinpath(*inside.parts[:count]) for count in range(1, len(inside.parts) + 1)]
            link = next((step for step in steps if step.is_symlink()), path)
            raise error(f"{link} is a symbolic link, and nothing is written or deleted through one; {remedy}")


def own_prefix(kind: str) -> str:
    """Return how the name of a temporary folder of this process begins, `kind` and then machine and process."""
    machine = re.sub(r"[^A-Za-z0-9.]", "", socket.gethostname())
    return f"{kind}{machine}-{os.getpid()}"


def is_abandoned(name: str, kind: str) -> bool:
    """Return whether a temporary folder, `own_prefix` and more, is that of a process of this machine that has ended."""
    prefix, _, rest = name.rpartition("-")
    machine, _, number = prefix.rpartition("-")
    if os.name != "posix" or machine != own_prefix(kind).rpartition("-")[0] or not number.isdecimal() or not rest:
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def sweep(folder: Path, prefix: str) -> None:
    """Remove what killed runs were building; one that still builds is younger than that."""
    for left in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):  # another process sweeps too
            if left.is_dir() and not left.is_symlink() and time.time() - left.stat().st_mtime > SWEPT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


class PartlyMovedError(OSError):
    """A fault after the first files of a set were moved into place; the message says how many are there."""


def move_all(source: Path, target: Path, first: str | None = None) -> None:
    """Move every file of `source` into `target`, each atomically, after all of them are synced to disk.

    The file named `first` is in place and synced before any other file is moved. Use it for the record of the other
    files: a kill between two moves then leaves a record without files, never files without a record. Raises OSError
    where nothing has been moved, PartlyMovedError where something has.
    """
    paths = sorted(source.iterdir(), key=lambda path: (path.name != first, path.name))
    for path in paths:
        with path.open("rb+") as file:  # Windows syncs only files that are open for writing
            os.fsync(file.fileno())
        path.chmod(0o644)
    moved: list[str] = []
    try:
        for path in paths:
            os.replace(path, target / path.name)
            moved.append(path.name)
            if path.name == first:
                sync_folder(target)
        sync_folder(target)
    except OSError as error:
        if not moved:
            raise
        where = f"{len(moved)} of {len(paths)} files are in place in {target}"
        raise PartlyMovedError(error.errno, f"{error.strerror}; {where}, perhaps not yet on disk") from None


def sync_folder(path: Path) -> None:
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

"""A pair as a Dask worker comes by it: from the same folder where it sees that, or else in chunks from the client.

With a cell travels where the pair lies and what it is, never its content. A worker that sees the same files at that
path maps or reads them there. One that does not asks the client for them, chunk by chunk, writes them into a folder of
its own and loads the pair from there, so that neither side holds a pair of many rows whole. That folder is removed as
soon as the pair is loaded: what is mapped stays readable until the process lets go of it.
"""

import contextlib
import functools
import queue
import tempfile
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from embalign.durable import writing
from embalign.errors import EmbalignError, ExecutorError, PairError
from embalign.lazy import lazy
from embalign.pairs.config import read_config
from embalign.pairs.pair import Pair, load_pair, pair_digest
from embalign.pairs.provenance import PROVENANCE, file_digest, vectors_path
from embalign.pairs.texts import parts_of
from embalign.readers import MEBI, opened, quoted, reading

get_worker = lazy("distributed").get_worker

CHUNK = 8 * MEBI
PATIENCE_SECONDS = 300.0  # for a chunk: many workers may be waiting for theirs
KEPT = 4  # pairs of a worker: cells of several may come in turn, and what is sent should be sent once
SETTINGS = "pair.toml"
RERUN = "leave the files of a pair alone while a run reads them, and rerun the command"

_LOADING = threading.Lock()
_WAITING: dict[str, queue.SimpleQueue[bytes | EmbalignError]] = {}


@dataclass(frozen=True)
class SentPair:
    """What travels with a cell: the pair's folder and files on the client, what they hold, and where to ask for them.

    `identity` is that of `identity_of`; `topic` that of the client's events, which makes no other pair.
    """

    folder: str
    identity: str
    files: tuple[str, ...]
    topic: str = field(compare=False)


def describe(folder: Path, digest: str, topic: str) -> SentPair:
    """Return what is sent of the pair in `folder`, whose `pair_digest` is known. Raises PairError."""
    config = read_config(folder)
    vectors = [vectors_path(Path(), part).as_posix() for part in parts_of(config)]
    files = (SETTINGS, f"embeddings/{PROVENANCE}", *config.texts.values(), *vectors)
    return SentPair(str(folder), identity_of(folder, digest), files, topic)


def identity_of(folder: Path, digest: str = "") -> str:
    """Return `pair_digest` and the SHA-256 of the two files that it leaves out. Raises EmbalignError and OSError."""
    others = (folder / SETTINGS, folder / "embeddings" / PROVENANCE)
    return "-".join([digest or pair_digest(folder), *(file_digest(path) for path in others)])


def chunk_of(sent: SentPair, number: int, start: int) -> bytes | EmbalignError:
    """Return a chunk of a file on the client, empty at its end, or why it cannot be read."""
    path = Path(sent.folder, sent.files[number])
    try:
        with reading(path, PairError, RERUN), opened(path) as file:
            file.seek(start)
            return file.read(CHUNK)
    except PairError as error:
        return error


def take_chunk(ticket: str, found: bytes | EmbalignError) -> None:
    """Hand a chunk to the thread of this worker that waits for it, if it still does."""
    with contextlib.suppress(KeyError):
        _WAITING[ticket].put(found)


def pair_of(sent: SentPair) -> Pair:
    """Return the pair on this worker, which keeps the last few, or fail as it did before in this run.

    Raises ExecutorError, PairError or CorpusError.
    """
    with _LOADING:
        found = _tried(sent, sent.topic)
    if isinstance(found, EmbalignError):
        raise type(found)(*found.args)
    return found


@functools.lru_cache(maxsize=KEPT)
def _tried(sent: SentPair, topic: str) -> Pair | EmbalignError:
    try:
        return _loaded(sent)
    except EmbalignError as error:
        return error


@functools.lru_cache(maxsize=KEPT)
def _loaded(sent: SentPair) -> Pair:
    folder = Path(sent.folder)
    return load_pair(folder) if _is(folder, sent) else _from_client(sent)


def _is(folder: Path, sent: SentPair) -> bool:
    with contextlib.suppress(EmbalignError, OSError):
        return identity_of(folder) == sent.identity
    return False


def _from_client(sent: SentPair) -> Pair:
    place, name = Path(get_worker().local_directory), Path(sent.folder).name
    remedy = f"start dask worker with --local-directory on a disk with room for {name}"
    with (
        writing(place, ExecutorError, remedy),
        tempfile.TemporaryDirectory(prefix="pair-", dir=place, ignore_cleanup_errors=True) as parent,
    ):
        folder = Path(parent, name)
        for number, file in enumerate(sent.files):
            path = (folder / file).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise PairError(f"{name}: {quoted(file)} leads out of the pair's folder; name the file without ..")
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as copy:
                while chunk := _asked(sent, number, copy.tell()):
                    copy.write(chunk)
        if not _is(folder, sent):
            raise PairError(f"{sent.folder}: its files have changed since the run began; {RERUN}")
        return load_pair(folder)


def _asked(sent: SentPair, number: int, start: int) -> bytes:
    """Return a chunk that the client is asked for."""
    worker, ticket = get_worker(), uuid.uuid4().hex
    _WAITING[ticket] = queue.SimpleQueue()
    request = {"worker": worker.address, "ticket": ticket, "pair": sent.folder, "file": number, "start": start}
    try:
        worker.log_event(sent.topic, request)
        found = _WAITING[ticket].get(timeout=PATIENCE_SECONDS)
    except queue.Empty:
        raise ExecutorError(
            f"worker {worker.address}: the client has sent nothing of {sent.files[number]} for {PATIENCE_SECONDS:.0f} "
            f"s; rerun the command, or copy the pair to {sent.folder} on the worker's machine"
        ) from None
    finally:
        del _WAITING[ticket]
    if isinstance(found, EmbalignError):
        raise found
    return found

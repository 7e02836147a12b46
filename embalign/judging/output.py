"""A folder of results of one's own: written whole, and over nothing but an earlier result of the same command.

`verdict.json` is the record: it names the command and the digest of every other file. It is moved into place first, and
keeps the digests of the files that it replaces, so that a rerun after a kill finds what it may write over.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from embalign.durable import check_can_be_written, move_all, nearest, refuse_links, sweep, writing
from embalign.errors import TableError
from embalign.experiments.tables import as_json
from embalign.pairs.place import refuse_pair
from embalign.pairs.provenance import file_digest
from embalign.readers import read_json

RECORD = "verdict.json"
OTHER = "name another folder with --out"


def cache_folder() -> Path:
    """Return a folder for what may be made again, such as the cache of fonts: never beside a user's files."""
    home = os.path.expanduser("~")
    place = Path(home, ".cache") if os.path.isabs(home) else Path(tempfile.gettempdir())
    return Path(os.environ.get("XDG_CACHE_HOME") or place) / "embalign" / "matplotlib"


@contextlib.contextmanager
def result_folder(folder: Path, command: str, content: Mapping[str, Any], names: Sequence[str]) -> Iterator[Path]:
    """Give a folder to write files of these names into; they and the record with `content` are moved into `folder`.

    Raises TableError where that holds files of others under these names or a pair, or cannot be written, and LinkError
    for symbolic links.
    """
    replaced = _refuse(folder, command, names)
    there, prefix = nearest(folder), f".embalign-{command}-"
    for place in {there, folder.parent}:  # what builds the first result is beside its folder, later ones in it
        sweep(place, prefix)
    with writing(there, TableError, OTHER), tempfile.TemporaryDirectory(dir=there, prefix=prefix) as built:
        yield Path(built)
        files = {name: file_digest(Path(built) / name) for name in names}
        record = {
            "command": f"embalign {command}",
            "version": metadata.version("embalign"),
            **content,
            "files": files,
            "replaced": replaced,
        }
        (Path(built) / RECORD).write_text(as_json(record), encoding="ascii")
        folder.mkdir(parents=True, exist_ok=True)
        move_all(Path(built), folder, first=RECORD)


def check_result_folder(folder: Path, command: str, names: Sequence[str]) -> None:
    """Raise what `result_folder` raises before it gives a folder: for a result that takes long to compute."""
    _refuse(folder, command, names)
    check_can_be_written(folder, f".embalign-{command}-", TableError, OTHER)


def _refuse(folder: Path, command: str, names: Sequence[str]) -> dict[str, str]:
    """Raise TableError or LinkError where nothing is to be written; return the digests of what is written over."""
    if folder.exists() and not folder.is_dir():
        raise TableError(f"{folder}: not a folder; {OTHER}")
    refuse_pair(folder, TableError)
    refuse_links(folder, *(folder / name for name in (*names, RECORD)), remedy="remove it, or name another --out")
    return _replaced(folder, names, _earlier(folder, command))


def _earlier(folder: Path, command: str) -> Mapping[str, Any]:
    """The record of an earlier result, empty where none is there; TableError where the file is another's."""
    path = folder / RECORD
    if not path.exists():
        return {}
    remedy = "it is not written over; name another folder with --out, or move it away"
    found = read_json(path, TableError, remedy, dict[str, Any])
    if found.get("command") != f"embalign {command}":
        raise TableError(f"{path}: this is no result of embalign {command}; {remedy}")
    return found


def _replaced(folder: Path, names: Sequence[str], earlier: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the files that will be written over, all of which an earlier record names."""
    known = [found for key in ("files", "replaced") if isinstance(found := earlier.get(key), dict)]
    found = {}
    for name in names:
        path = folder / name
        if not path.exists():
            continue
        found[name] = file_digest(path)
        if not any(record.get(name) == found[name] for record in known):
            words = "was changed since it was written" if earlier else "was not written by this command"
            raise TableError(f"{path} {words}; it is not written over: name another folder with --out, or move it away")
    return found

"""embeddings/provenance.json: which models made a pair's vectors, from which texts, and the SHA-256 of each file.

    {"corpus_sha256": "...", "draft": {"model": "...", "sha256": "..."}, "teacher": {...}}

A pair with queries also has queries_sha256, draft_queries and teacher_queries. The digests are required; a fetch
records more (source, server, weights, pooling, checks, dimension, date), an import the file that the vectors are from.
A vectors file whose digest is not recorded here, or whose record names no source, was not made by a fetch, and no fetch
overwrites it.
"""

import hashlib
import os
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from embalign.errors import PairError
from embalign.escaping import shell
from embalign.pairs.config import PairConfig, read_config
from embalign.pairs.tensors import TENSOR, opened_tensors
from embalign.pairs.texts import ROLES, parts_of
from embalign.readers import opened, read_json, reading

PROVENANCE = "provenance.json"
SETTLED = 2.0  # seconds after a file was written, from which on its times tell whether it was written again
_DIGESTS: dict[tuple[int, ...], str] = {}
UNKNOWN = "unknown"
_REMEDY = "correct it, or move it and the vectors away and rerun to embed the pair"
_SIDE = msgspec.defstruct(
    "Side",
    [
        ("sha256", str),
        ("dimension", int | msgspec.UnsetType, msgspec.UNSET),
        ("model", str | None | msgspec.UnsetType, msgspec.UNSET),
    ],
)


def vectors_path(folder: Path, part: str) -> Path:
    """Return the path of one vectors file in a pair folder."""
    return folder / "embeddings" / f"{part}.safetensors"


def is_embedded(folder: Path) -> bool:
    """Return whether a pair's folder has embeddings; `check_pair` says whether they match the texts."""
    parts = parts_of(read_config(folder))
    paths = (folder / "embeddings" / PROVENANCE, *(vectors_path(folder, part) for part in parts))
    return all(path.is_file() for path in paths)


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file. Raises OSError, also for what is no regular file.

    A file that has not changed since this process has read it is not read again, by inode, size and times. As git has
    it, that is asked only of files that were not written just before: a second write may be in the same tick.
    """
    about = os.stat(path)
    state = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
    if state in _DIGESTS:
        return _DIGESTS[state]
    with opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time() - max(about.st_mtime, about.st_ctime) > SETTLED:
        _DIGESTS[state] = digest
    return digest


def line_ends_hint(path: Path, recorded: str) -> str:
    """Return an explanation and remedy if only the line ends of a text file differ from its recorded SHA-256."""
    unix = path.read_bytes().replace(b"\r\n", b"\n")
    for name, content in (("LF", unix.replace(b"\n", b"\r\n")), ("CRLF", unix)):
        if hashlib.sha256(content).hexdigest() == recorded:
            return (
                f"; only line ends differ: they were changed to {name}, as git's core.autocrlf does. Add the line "
                f"'* -text' to .gitattributes, delete {path.name} and run git checkout on it"
            )
    return ""


def read_provenance(folder: Path, parts: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the checked content of embeddings/provenance.json, with the dimension of each vectors file.

    It must account for all texts and vectors files of the pair, or for the corpus and the files `parts` alone.

    A dimension that is not recorded is read from the vectors file, if it has one. Raises PairError that names the
    faulty key.
    """
    path = folder / "embeddings" / PROVENANCE
    if not os.path.lexists(path):
        raise PairError(f"{path}: no such file; this pair has not been embedded yet")
    config = read_config(folder)
    texts = [(f"{key}_sha256", str) for key in (config.texts if parts is None else ("corpus",))]
    parts = parts_of(config) if parts is None else parts
    required = msgspec.defstruct("Provenance", [*texts, *((part, _SIDE) for part in parts)])
    content = read_json(path, PairError, _REMEDY, dict[str, Any])
    with reading(path, PairError, _REMEDY, "not what belongs there"):
        msgspec.convert(content, required)
    for part in parts:
        if "dimension" not in content[part] and (dimension := _dimension(vectors_path(folder, part))):
            content[part]["dimension"] = dimension
    return content


def vectors_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each vectors file in a pair folder by its part; "unknown" for one that cannot be read."""
    digests = {}
    for part in parts_of(read_config(folder)):
        path = vectors_path(folder, part)
        if os.path.lexists(path):
            try:
                digests[part] = file_digest(path)
            except OSError:
                digests[part] = UNKNOWN
    return digests


def check_can_be_embedded(folder: Path) -> None:
    """Raise PairError for a pair whose vectors were imported: no run can make them."""
    config = read_config(folder)
    if not config.imported:
        return
    imported = f"{folder}: its vectors were imported, and no run can embed or refresh them"
    missing = [f"{part}.safetensors" for part in parts_of(config) if not vectors_path(folder, part).is_file()]
    if missing:
        state = f"embeddings/ lacks {' and '.join(missing)}. Import them"
    elif not os.path.lexists(folder / "embeddings" / PROVENANCE):
        raise PairError(f"{imported}; embeddings/ lacks {PROVENANCE}. {_to_use(folder, config)}")
    else:
        state = "rerun without --refresh to use them as they are. To replace them, import others"
    command = import_command(folder, config, vectors="FILE")
    raise PairError(f"{imported}; {state}, into a new folder: {command}")


def import_command(folder: Path, config: PairConfig, vectors: str = "") -> str:
    """Return the command that makes a new pair of the texts in a pair's folder and of the vectors there, or others."""
    parts = [(part.replace("_", "-"), vectors or vectors_path(folder, part)) for part in parts_of(config)]
    texts = [(key, folder / name) for key, name in config.texts.items()]
    models = [("draft-model", config.draft.model), ("teacher-model", config.teacher.model)]
    options = [*parts, *texts, *models, ("out", f"{folder.name}-imported")]
    return shell(["embalign", "import", *(str(word) for key, value in options for word in (f"--{key}", value))])


def _to_use(folder: Path, config: PairConfig) -> str:
    return f"To use the vectors as they are, make a pair of them: {import_command(folder, config)}"


def check_vectors_are_own(folder: Path, replaceable: Collection[str] = ()) -> None:
    """Raise PairError if a fetch would overwrite vectors that no fetch made, or a provenance.json that is not valid.

    A fetch made a vectors file if provenance.json records its digest. `replaceable` are further digests that the user
    asked to replace (--refresh); vectors without a provenance.json, or with a record that names no source, are never
    replaced.
    """
    _check_names(folder)
    # Vectors before provenance.json: a concurrent fetch moves provenance.json first.
    present, config = vectors_digests(folder), read_config(folder)
    to_use = _to_use(folder, config)
    if not os.path.lexists(folder / "embeddings" / PROVENANCE):
        if present:
            names = " and ".join(f"{part}.safetensors" for part in present)
            raise PairError(
                f"{folder / 'embeddings'}: a fetch would overwrite {names}, which no {PROVENANCE} accounts for. To "
                f"embed the pair again, move them away. {to_use}"
            )
        return
    # A pair that has got queries since it was embedded has no record of these.
    recorded = read_provenance(folder, (*ROLES, *(part for part in present if part not in ROLES)))
    for part, digest in present.items():
        if "source" not in recorded[part]:
            raise PairError(
                f"{vectors_path(folder, part)}: a fetch would overwrite it, and no fetch made it: {PROVENANCE} names "
                f"no source for it; its SHA-256 is {digest}, recorded is {recorded[part]['sha256']}. To embed the pair "
                f"again, move it away. {to_use}"
            )
        if digest == recorded[part]["sha256"] or (digest in replaceable and digest != UNKNOWN):
            continue
        raise PairError(
            f"{vectors_path(folder, part)}: a fetch would overwrite it, and {PROVENANCE} does not account for it; "
            f"its SHA-256 is {digest}, recorded is {recorded[part]['sha256']}. To embed the pair again, move it "
            f"away or rerun with --refresh, which replaces it. {to_use}"
        )


def _check_names(folder: Path) -> None:
    """Raise PairError for a file whose name is that of a vectors file but for letter case."""
    target = folder / "embeddings"
    wanted = {PROVENANCE, *(vectors_path(folder, part).name for part in parts_of(read_config(folder)))}
    try:
        names = os.listdir(target)
    except OSError:
        return
    for name in sorted(names):
        if name not in wanted and name.casefold() in wanted:
            raise PairError(f"{target / name}: rename it to {name.casefold()}, or move it away to embed the pair")


def _dimension(path: Path) -> int | None:
    try:
        with opened_tensors(path) as file:
            shape = file.get_slice(TENSOR).get_shape()
    except PairError:
        return None
    return int(shape[1]) if len(shape) == 2 else None

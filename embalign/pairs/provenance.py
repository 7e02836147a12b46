"""embeddings/provenance.json: which models made a pair's vectors, from which corpus, and the SHA-256 of each file.

    {"corpus_sha256": "...", "draft": {"model": "...", "dimension": 576, "sha256": "..."}, "teacher": {...}}

These keys are required; a fetch records more (server, weights, pooling, date). Vectors whose digest is not recorded
here are not the package's own: nothing overwrites them.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from embalign.errors import PairError

ROLES = ("draft", "teacher")
PROVENANCE = "provenance.json"
_REMEDY = "correct it, or move it and the vectors away and rerun to embed the pair"


def vectors_path(folder: Path, role: str) -> Path:
    """Return where the embeddings by one side of the pair in `folder` are."""
    return folder / "embeddings" / f"{role}.safetensors"


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def line_ends_hint(path: Path, recorded: str) -> str:
    """Return what to say of a text file that differs from its recorded SHA-256 in its line ends alone, else nothing."""
    unix = path.read_bytes().replace(b"\r\n", b"\n")
    for name, content in (("LF", unix.replace(b"\n", b"\r\n")), ("CRLF", unix)):
        if hashlib.sha256(content).hexdigest() == recorded:
            return (
                f"; only its line ends differ: they were changed to {name}, as git's core.autocrlf does. Add the line "
                f"'* -text' to .gitattributes, delete {path.name} and run git checkout on it"
            )
    return ""


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return the checked content of embeddings/provenance.json; raises PairError that names the missing key."""
    path = folder / "embeddings" / PROVENANCE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PairError(f"{path}: no such file; this pair has not been embedded yet") from None
    except OSError as error:
        raise PairError(f"{path}: cannot be read ({error.strerror}); correct its permissions") from None
    except (ValueError, RecursionError) as error:
        raise PairError(f"{path}: not valid JSON ({error}); {_REMEDY}") from None
    if not isinstance(content, dict):
        raise PairError(f"{path}: expected a JSON object, found {repr(content)[:60]}; {_REMEDY}")
    _check_key(path, content, "corpus_sha256", str)
    for role in ROLES:
        _check_key(path, content, role, dict)
        _check_key(path, content[role], "sha256", str, of=f"{role}.")
        _check_key(path, content[role], "dimension", int, of=f"{role}.")
    return content


def check_vectors_are_own(folder: Path, corpus_sha256: str, *, refresh: bool) -> None:
    """Raise PairError if a fetch into `folder` would overwrite vectors or a provenance.json that no fetch has written.

    Vectors are a fetch's own if provenance.json records their digest. With `refresh` the user asks for other vectors,
    so there the digests may differ; vectors without any record are refused all the same.
    """
    # Vectors first, then the record: a fetch that runs beside this one moves its files the other way round.
    present = {role: _digest(path) for role in ROLES if os.path.lexists(path := vectors_path(folder, role))}
    names = " and ".join(f"{role}.safetensors" for role in present)
    if not os.path.lexists(folder / "embeddings" / PROVENANCE):
        if present:
            raise PairError(
                f"{folder / 'embeddings'}: {names} would be overwritten by a fetch, and no {PROVENANCE} says that a "
                f"fetch made them. To embed the pair, move them away. To keep them, write {PROVENANCE} beside them: "
                f"{_template(corpus_sha256, present)}"
            )
        return
    recorded = read_provenance(folder)
    foreign = [role for role, digest in present.items() if recorded[role]["sha256"] != digest]
    if foreign and not refresh:
        role = foreign[0]
        raise PairError(
            f"{vectors_path(folder, role)}: would be overwritten by a fetch, but its SHA-256 is {present[role]} and "
            f"{PROVENANCE} records {recorded[role]['sha256']}, so no fetch made it. To embed the pair, move it away or "
            f"rerun with --refresh, which replaces it. To keep it, correct {PROVENANCE}: "
            f"{_template(corpus_sha256, present)}"
        )


def _check_key(path: Path, table: dict[str, Any], key: str, kind: type, of: str = "") -> None:
    words = {str: "a string", int: "a whole number", dict: "a JSON object"}[kind]
    if not isinstance(table.get(key), kind) or isinstance(table[key], bool):
        raise PairError(f"{path}: {of}{key} is {repr(table.get(key))[:60]}; it must be {words}: {_REMEDY}")


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        return f"unknown: {error.strerror}"


def _template(corpus_sha256: str, present: dict[str, str]) -> str:
    """What provenance.json must hold, as far as it is known here."""
    sides = ", ".join(
        f'"{role}": {{"model": "<its name>", "dimension": <values per vector>, '
        f'"sha256": "{present.get(role, f"<SHA-256 of {role}.safetensors>")}"}}'
        for role in ROLES
    )
    return f'{{"corpus_sha256": "{corpus_sha256}", {sides}}}'

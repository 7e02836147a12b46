"""pair.toml: the two models of a pair and its corpus, with every key checked."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from embalign.errors import PairError

SOURCES = ("ollama", "openai", "sentence-transformers")
POOLINGS = ("last", "mean", "cls", "unknown")
LARGEST_BYTES = 32 * 1024  # parsing time is quadratic in the dots of a key


@dataclass(frozen=True)
class Model:
    """One side of a pair, as pair.toml declares it."""

    source: str
    model: str
    pooling: str = "unknown"
    endpoint: str = ""
    licence: str = ""
    credit: str = ""


@dataclass(frozen=True)
class PairConfig:
    """The content of pair.toml; `corpus` is relative to the pair's folder."""

    draft: Model
    teacher: Model
    corpus: str = "corpus.jsonl"


def find_pair(name: str, root: Path) -> Path:
    """Return the folder of a pair, given its name under `root`/benchmark or a path to any folder.

    Raises PairError that lists the known pairs.
    """
    for folder in (root / "benchmark" / name, Path(name)):
        if _is_file(folder / "pair.toml"):
            return folder.resolve()
    known = sorted(path.parent.name for path in (root / "benchmark").glob("*/pair.toml"))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise PairError(
        f"no pair {name!r}: neither benchmark/{name}/pair.toml nor {name}/pair.toml exists (known pairs: "
        f"{', '.join(known) or 'none'}){hint}"
    )


def read_config(folder: Path) -> PairConfig:
    """Return the checked content of a folder's pair.toml. Raises PairError that names the key and the closest one."""
    path = folder / "pair.toml"
    raw = _read_toml(path)
    _check_keys(raw, {"draft", "teacher", "corpus"}, f"{path}")
    sides: dict[str, Model] = {}
    for role in ("draft", "teacher"):
        table = raw.get(role)
        if not isinstance(table, dict):
            raise PairError(f"{path}: no [{role}] table; a pair declares its draft and its teacher")
        _check_keys(table, {field.name for field in fields(Model)}, f"{path}, [{role}]")
        if missing := [key for key in ("source", "model") if not table.get(key)]:
            raise PairError(f"{path}, [{role}]: {missing[0]} is missing")
        for key, allowed in (("source", SOURCES), ("pooling", POOLINGS)):
            if table.get(key, allowed[0]) not in allowed:
                raise PairError(f"{path}, [{role}]: {key} is {table[key]!r}; choose one of {', '.join(allowed)}")
        sides[role] = Model(**table)
    corpus = str(raw.get("corpus", "corpus.jsonl"))
    if not _lies_within(folder, corpus):
        raise PairError(f"{path}: corpus {corpus!r} is outside the pair's folder; copy it into the folder")
    return PairConfig(sides["draft"], sides["teacher"], corpus)


def _read_toml(path: Path) -> dict[str, object]:
    try:
        content = path.read_bytes()
        if len(content) > LARGEST_BYTES:
            raise PairError(f"{path}: {len(content)} bytes; the limit is {LARGEST_BYTES}")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise PairError(f"{path}: cannot be read ({error.strerror}); every pair needs a pair.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PairError(f"{path}: not valid TOML ({error})") from None


def _check_keys(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(known))}"
            raise PairError(f"{where}: unknown key {key!r}; {hint}")
        if not isinstance(value, str) and key not in ("draft", "teacher"):
            raise PairError(f"{where}: {key} is {repr(value)[:60]}; it must be a string in quotes")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # name too long for the file system
        return False


def _lies_within(folder: Path, name: str) -> bool:
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # NUL in the name, circular links
        return False

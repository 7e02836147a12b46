"""The corpus of a pair: one JSON object per line, checked line by line."""

from __future__ import annotations

import codecs
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from embalign.errors import CorpusError

REQUIRED, OPTIONAL = ("id", "text", "label"), ("style", "base")


@dataclass(frozen=True)
class Item:
    """One text of a corpus; a style variant also has its style and the id of its plain text."""

    id: str
    text: str
    label: str
    style: str | None = None
    base: str | None = None


def read_corpus(path: Path) -> list[Item]:
    """Return the items of a JSON-lines corpus: ``id``, ``text``, ``label``, and for style variants ``style``, ``base``.

    Text and label are strings that are not blank; ids are unique. A byte order mark and CRLF line ends are accepted.
    Raises CorpusError that names the first faulty line.
    """
    raw = _content(path)
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        bad = raw[: error.start].count(b"\n") + 1
        raise CorpusError(f"{path}, line {bad}: not UTF-8; save the file as UTF-8") from None
    items: list[Item] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        item = _parse(line, f"{path}, line {number}")
        if item.id in line_of:
            raise CorpusError(f"{path}, line {number}: id {item.id!r} is already used on line {line_of[item.id]}")
        line_of[item.id] = number
        items.append(item)
    if not any(item.style is None for item in items):
        raise CorpusError(f"{path}: no plain item; add items without a style")
    plain = {item.id for item in items if item.style is None}
    for item in items:
        if item.style is not None and item.base not in plain:
            raise CorpusError(
                f"{path}, line {line_of[item.id]}: style variant {item.id!r} has base {item.base!r}; no plain item of "
                "this corpus has that id"
            )
    return items


def corpus_digest(path: Path) -> str:
    """Return the hex SHA-256 of a corpus with LF line ends and without a byte order mark.

    Git and editors change both silently, and `read_corpus` accepts both. Raises CorpusError for an unreadable file.
    """
    return hashlib.sha256(_content(path).removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; a pair needs a corpus of one JSON object per line") from None
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); correct its permissions") from None


def _parse(line: str, where: str) -> Item:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{where}: not a JSON object ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, deep nesting
        raise CorpusError(f"{where}: not a JSON object ({error})") from None
    if not isinstance(fields, dict):
        raise CorpusError(f"{where}: expected a JSON object, found {line.strip()[:60]!r}")
    if missing := [name for name in REQUIRED if name not in fields]:
        raise CorpusError(f"{where}: missing {', '.join(missing)}; each item needs {', '.join(REQUIRED)}")
    if unknown := sorted(set(fields) - {*REQUIRED, *OPTIONAL}):
        raise CorpusError(f"{where}: unknown key {unknown[0]!r}; known keys: {', '.join(REQUIRED + OPTIONAL)}")
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise CorpusError(f"{where}: {name} is {value!r}; it must be a string that is not blank")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise CorpusError(f"{where}: {name} contains a lone surrogate, which is not a character: {value!r}")
    if ("style" in fields) != ("base" in fields):
        raise CorpusError(f"{where}: a style variant needs both style and base")
    return Item(**fields)

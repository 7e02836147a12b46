"""The corpus of a pair: one JSON object a line, checked line by line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from embalign.errors import CorpusError

REQUIRED, OPTIONAL = ("id", "text", "label"), ("style", "base")


@dataclass(frozen=True)
class Item:
    """One text of a corpus; a style variant names its style and the id of its plain text."""

    id: str
    text: str
    label: str
    style: str | None = None
    base: str | None = None


def read_corpus(path: Path) -> list[Item]:
    """Return the items of a JSON-lines corpus: ``id``, ``text``, ``label``, and for style variants ``style``, ``base``.

    Text and label are free strings, not blank; ids are unique. A byte order mark and CRLF line ends are accepted.
    Raises CorpusError naming the first offending line.
    """
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; a pair needs a corpus of one JSON object a line") from None
    except UnicodeDecodeError as error:
        bad = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CorpusError(f"{path}, line {bad}: not UTF-8; save the file as UTF-8") from None
    items: list[Item] = []
    line_of: dict[str, int] = {}
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        item = _parse(line, f"{path}, line {number}")
        if item.id in line_of:
            raise CorpusError(f"{path}, line {number}: id {item.id!r} is already on line {line_of[item.id]}")
        line_of[item.id] = number
        items.append(item)
    if not any(item.style is None for item in items):
        raise CorpusError(f"{path}: no plain item (one without a style)")
    plain = {item.id for item in items if item.style is None}
    for item in items:
        if item.style is not None and item.base not in plain:
            raise CorpusError(
                f"{path}, line {line_of[item.id]}: style variant {item.id!r} has base {item.base!r}, which is no plain "
                "item of this corpus"
            )
    return items


def _parse(line: str, where: str) -> Item:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{where}: not a JSON object ({error.msg} at column {error.colno})") from None
    if not isinstance(fields, dict):
        raise CorpusError(f"{where}: expected a JSON object, found {line.strip()[:60]!r}")
    if missing := [name for name in REQUIRED if name not in fields]:
        raise CorpusError(f"{where}: missing {', '.join(missing)}; every item needs {', '.join(REQUIRED)}")
    if unknown := sorted(set(fields) - {*REQUIRED, *OPTIONAL}):
        raise CorpusError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(REQUIRED + OPTIONAL)}")
    for name, value in fields.items():
        if not isinstance(value, str) or not value.strip():
            raise CorpusError(f"{where}: {name} must be a string that is not blank, found {value!r}")
    if ("style" in fields) != ("base" in fields):
        raise CorpusError(f"{where}: style and base go together; a style variant needs both")
    return Item(**fields)

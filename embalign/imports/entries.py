"""Texts that people bring: a corpus or queries as JSON lines (this package's or BEIR's), CSV with a header, Parquet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from embalign.errors import CorpusError
from embalign.imports.parquet import text_columns
from embalign.imports.sheets import IDS, REPEATED, TEXTS, first_line, is_sheet, lines_of, read_sheet
from embalign.pairs.corpus import LONGEST_LINE, parse_beir, parse_line
from embalign.readers import quoted, reading

_REMEDY = (
    'a line is a JSON object, {"id": "1", "text": "...", "label": "its topic"}, or a row of CSV below such a header'
)
_KNOWN = ("id", "_id", "text", "label", "style", "base", "relevant")


Cell = str | int | float | None


class _Line(msgspec.Struct, frozen=True):
    """A line of JSON; numbers are taken for ids and labels, and other keys are not read."""

    id: str | int | None = None
    of_beir: str | int | None = msgspec.field(default=None, name="_id")
    text: str | None = None
    label: str | int | float | None = None
    style: str | None = None
    base: str | int | None = None
    relevant: Any = None


class Entry(msgspec.Struct, frozen=True):
    """One text; `id` is empty where the file gives none, `text` where it has none, `where` names its line."""

    where: str
    id: str = ""
    text: str = ""
    label: str | None = None
    style: str | None = None
    base: str | None = None
    relevant: Any = None


@dataclass(frozen=True)
class Entries:
    """The texts of a file in their order: either all have an id or none, and so with texts and labels."""

    path: Path
    all: Sequence[Entry]

    @property
    def ids(self) -> list[str] | None:
        """The ids; None if the file has none."""
        return [entry.id for entry in self.all] if self.all[0].id else None

    @property
    def written(self) -> bool:
        """Whether the entries have texts."""
        return bool(self.all[0].text)

    @property
    def labels(self) -> list[str | None] | None:
        """The labels; None if no entry has one."""
        found = [entry.label for entry in self.all]
        return found if any(label is not None for label in found) else None


def read_entries(path: Path, kind: str) -> Entries:
    """Return the texts of a corpus or of queries, `kind` in words.

    Raises CorpusError that names the first faulty line: what cannot be read, ids that are used twice, an id or a text
    that some have and others lack, keys or columns among which none is known.
    """
    is_parquet = path.suffix.casefold() == ".parquet"
    source = _of_parquet(path) if is_parquet else _of_sheet(path) if is_sheet(path) else _of_lines(path)
    with reading(path, CorpusError, _REMEDY, f"not readable as a {kind}"):
        found = list(source)
    if not found:
        raise CorpusError(f"{path}: the {kind} is empty; {_REMEDY}")
    for name in ("id", "text"):
        lacking = next((entry for entry in found if not getattr(entry, name)), None)
        if lacking is not None and any(getattr(entry, name) for entry in found):
            raise CorpusError(f"{lacking.where}: no {name}, or a blank one, and other lines have one; {_REMEDY}")
    if not any((found[0].id, found[0].text, found[0].label)):
        raise CorpusError(f"{found[0].where}: neither id nor text nor label; {_REMEDY}")
    line_of: dict[str, str] = {}
    for entry in found if found[0].id else ():
        if entry.id in line_of:
            raise CorpusError(f"{entry.where}: id {quoted(entry.id)} is already used on {line_of[entry.id]}")
        line_of[entry.id] = entry.where.rpartition(", ")[2]
    return Entries(path, found)


def is_lines(path: Path) -> bool:
    """Return whether a file is one of JSON lines. Raises CorpusError for a file that cannot be read."""
    return first_line(path).lstrip().startswith("{")


def _of_lines(path: Path) -> Iterator[Entry]:
    with lines_of(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST_LINE + 1), ""), start=1):
            where = f"{path}, line {number}"
            if len(line) > LONGEST_LINE:
                raise CorpusError(f"{where}: longer than {LONGEST_LINE} characters; {_REMEDY}")
            if number == 1 and line.lstrip().startswith("["):
                raise CorpusError(f"{path}: a JSON list; write one object per line: jq -c '.[]' {path.name}")
            if not line.strip():
                continue
            line = line.rstrip("\r\n")
            found = parse_line(line, where, _Line, _REMEDY)
            if beir := parse_beir(line, where, _REMEDY):
                yield Entry(where, *beir, _named(found.label))
                continue
            if found.text is None and number == 1:
                _refuse_unknown(path, _keys(line), where)
            plain = (found.text or "") if (found.text or "").strip() else ""
            yield Entry(
                where,
                _named(found.id if found.id is not None else found.of_beir) or "",
                plain,
                _named(found.label),
                found.style,
                _named(found.base),
                found.relevant,
            )


def _of_sheet(path: Path) -> Iterator[Entry]:
    sheet = read_sheet(path)
    ids, texts, labels = sheet.column(*IDS), sheet.column(*TEXTS), sheet.column(*REPEATED)
    if texts is None:
        _refuse_unknown(path, list(sheet.header), f"{path}, line 1")
    for row, number in enumerate(sheet.lines):
        yield Entry(
            f"{path}, line {number}",
            ids[row] if ids else "",
            texts[row] if texts else "",
            (labels[row] or None) if labels else None,
        )


def _of_parquet(path: Path) -> Iterator[Entry]:
    columns, rows = text_columns(path, (*IDS, *TEXTS, *REPEATED))
    if "text" not in columns:
        _refuse_unknown(path, columns, str(path))
    for number, row in enumerate(rows):
        cells = {name: _named(msgspec.convert(value, Cell)) for name, value in row.items()}
        yield Entry(
            f"{path}, row {number} (from 0)",
            cells.get("id") or cells.get("_id") or "",
            cells.get("text") or "",
            cells.get("label") or cells.get("labels"),
        )


def _refuse_unknown(path: Path, names: Sequence[str], where: str) -> None:
    """Raise CorpusError where there is no text but something else, which may be the text under another name."""
    if unknown := [name for name in names if name not in _KNOWN]:
        listed = ", ".join(map(quoted, unknown[:6]))
        raise CorpusError(
            f"{where}: no text, but {listed}; rename the one of the texts to text, or leave only id and label"
        )


def _keys(line: str) -> list[str]:
    found = msgspec.json.decode(line)
    return list(found) if isinstance(found, dict) else []


def _named(value: str | int | float | None) -> str | None:
    """Return an id or a label as text: 3.0, as pandas writes whole numbers beside missing ones, is 3."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None or not str(value).strip() else str(value).strip()

"""Ids and labels that stand in files of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embalign.errors import CorpusError
from embalign.imports.entries import is_lines, read_entries
from embalign.imports.sheets import IDS, INDEX_NAMES, REPEATED, TEXTS, Sheet, is_sheet, read_list, read_sheet
from embalign.readers import quoted

_REMEDY = "a label file has a header, id,label, and a line per id; or the labels alone, in the order of the rows"


@dataclass(frozen=True)
class Labels:
    """Labels in the order of their file, and the ids they belong to; None where they are in the order of the rows.

    `with_texts`: the file holds texts too, which nobody reads.
    """

    path: Path
    ids: Sequence[str] | None
    values: Sequence[str]
    with_texts: bool = False


def read_ids(path: Path, count: int, whose: str) -> Sequence[str]:
    """Return the ids of `count` rows: a column `id`, one a line, or an array. Raises CorpusError."""
    found: Sequence[str] | None
    if is_lines(path):
        found = read_entries(path, "list of ids").ids or ()
    elif is_sheet(path):
        sheet = read_sheet(path)
        found = sheet.column(*IDS)
        if found is None and len(sheet.header) == 1:
            found = read_list(path, "id", count)
        if found is None:
            raise CorpusError(
                f"{path}: no column id; its header is {quoted(', '.join(sheet.header))}; rename the column"
            )
        sheet.check_filled("id", found)
    else:
        found = read_list(path, "id", count)
    if len(found) != count:
        raise CorpusError(
            f"{path}: {len(found):,} ids, and {whose} has {count:,} rows; give one id per row, in their order"
        )
    return found


def read_labels(path: Path, count: int) -> Labels:
    """Return the labels of about `count` texts, by id or in the order of the rows. Raises CorpusError."""
    if is_lines(path):
        entries = read_entries(path, "file of labels")
        found = [entry.label or "" for entry in entries.all]
        if "" in found:
            raise CorpusError(f"{entries.all[found.index('')].where}: no label; each row needs one")
        return Labels(path, entries.ids, found if entries.ids else _all_rows(path, found, count), entries.written)
    if not is_sheet(path):
        return Labels(path, None, _all_rows(path, read_list(path, "label", count), count))
    sheet = read_sheet(path)
    values = sheet.column(*REPEATED)
    if values is None:
        if len(sheet.header) == 1:
            return Labels(path, None, _all_rows(path, read_list(path, "label", count), count))
        listed = quoted(", ".join(sheet.header))
        raise CorpusError(f"{path}: no column label; its first line is {listed}; {_REMEDY}")
    sheet.check_filled("label", values)
    if (ids := sheet.column(*IDS)) is None:
        ids = _index(sheet)
    if ids is not None:
        sheet.check_filled("id", ids)
        return Labels(path, ids, values, sheet.column(*TEXTS) is not None)
    others = [name for name in sheet.header if name not in (*REPEATED, *INDEX_NAMES)]
    if others:
        raise CorpusError(
            f"{path}: no column id, but {', '.join(map(quoted, others[:6]))}; rename the column of the ids to id, or "
            "leave only label if the labels are in the order of the rows"
        )
    return Labels(path, None, _all_rows(path, values, count))


def row_numbers(ids: Sequence[str]) -> list[str] | None:
    """Return the row numbers in their order, from 0 or from 1, if that is what the ids are; None if not."""
    if not all(name.isascii() and name.isdecimal() for name in ids):
        return None
    numbers = sorted(int(name) for name in ids if len(name) < 16)
    first = numbers[0] if numbers else 2
    if first not in (0, 1) or numbers != list(range(first, first + len(ids))):
        return None
    return [str(number) for number in numbers]


def _index(sheet: Sheet) -> Sequence[str] | None:
    """Return the index column that pandas writes, where it numbers all rows; of a part of a table it says nothing."""
    found = sheet.column(*INDEX_NAMES)
    return found if found is not None and row_numbers(found) is not None else None


def _all_rows(path: Path, values: Sequence[str], count: int) -> Sequence[str]:
    if len(values) != count:
        raise CorpusError(f"{path}: {len(values):,} labels for {count:,} rows; {_REMEDY}")
    return values

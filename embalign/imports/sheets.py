"""Lists that people bring: CSV as spreadsheets and pandas write it, one id or label a line, an array of them."""

import contextlib
import csv
import gzip
import io
import itertools
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TextIO, cast

from embalign.errors import CorpusError
from embalign.imports.arrays import names_of
from embalign.lazy import lazy
from embalign.pairs.corpus import LARGEST_FILE, LONGEST_LINE
from embalign.readers import long_fields, opened, quoted, reading

load_array = lazy("numpy").load

SHEETS = (".csv", ".tsv", ".tab")
INDEX_NAMES = ("", "index", "unnamed: 0")  # what pandas and R write before the columns of a table
IDS, TEXTS, REPEATED = ("id", "_id"), ("text",), ("label", "labels")
KNOWN = (*IDS, *TEXTS, *REPEATED, *INDEX_NAMES)
_DELIMITERS = "\t;,|"
_REMEDY = "save it as CSV, UTF-8"
_NUMPY, _GZIP = b"\x93NUMPY", b"\x1f\x8b"
_NO_TEXT = {b"PK": "a workbook or another zip archive", b"PA": "a Parquet file", b"\x80\x04": "a pickle"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Sheet:
    """A CSV file: its header in lower case, the cells of each column that is known, the line on which each row ends."""

    path: Path
    header: tuple[str, ...]
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def column(self, *names: str) -> Sequence[str] | None:
        """Return the stripped cells of the first of these columns that is there, None if none is."""
        return next((self.columns[name] for name in names if name in self.columns), None)

    def check_filled(self, name: str, cells: Sequence[str]) -> None:
        """Raise CorpusError for a blank cell of the column that holds each row's `name`."""
        if "" in cells:
            raise CorpusError(f"{self.path}, line {self.lines[cells.index('')]}: no {name}; each row needs one")


def read_sheet(path: Path) -> Sheet:
    """Return a CSV or TSV file; the separator (tab, semicolon, comma or bar) is the one that its first line has.

    Raises CorpusError that names the line: rows of another length than the header, quotes that do not end.
    """
    with (
        reading(path, CorpusError, _REMEDY, "not a readable CSV file"),
        lines_of(path) as file,
        long_fields(LONGEST_LINE),
    ):
        first = file.readline()
        separator = first.rstrip("\r\n").removeprefix("sep=")
        told = first.startswith("sep=") and len(separator) == 1  # what Excel writes and reads
        delimiter = separator if told else _delimiter(first)
        rows = csv.reader(file if told else itertools.chain([first], file), delimiter=delimiter, strict=True)
        header = _without_blank_end([cell.strip().casefold() for cell in next(rows, ())])
        if not header:
            raise CorpusError(f"{path}: no header; its first line names the columns")
        columns: dict[str, list[str]] = {name: [] for name in header if name in KNOWN}
        if twice := [name for name in columns if header.count(name) > 1 and name not in INDEX_NAMES]:
            raise CorpusError(f"{path}: {header.count(twice[0])} columns are named {quoted(twice[0])}; keep one")
        filled = [(cells, header.index(name), name in REPEATED) for name, cells in columns.items()]
        lines = array("q")
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) > len(header):
                row = [*row[: len(header)], *_without_blank_end(row[len(header) :])]
            if len(row) != len(header):
                raise CorpusError(
                    f"{path}, line {rows.line_num + told}: {len(row)} cells, and the header has {len(header)} "
                    f"({quoted(delimiter.join(header))}); put text that holds {quoted(delimiter)} in quotes"
                )
            lines.append(rows.line_num + told)
            for cells, place, repeated in filled:
                cell = row[place].strip()
                cells.append(sys.intern(cell) if repeated else cell)
    return Sheet(path, header, columns, lines)


def read_list(path: Path, name: str, count: int) -> list[str]:
    """Return one value a line, or an array's, for `count` rows; a first line that is the `name` is a header.

    Raises CorpusError for a blank line and for another number of values.
    """
    with reading(path, CorpusError, "save one value per line, UTF-8", "not a readable list"):
        if _start(path) == _NUMPY:
            with opened(path) as file:
                array = load_array(file, allow_pickle=False)
            if array.ndim != 1 or array.dtype.kind not in "iubUS":
                raise CorpusError(f"{path}: {array.dtype} {array.shape}; one integer or string per row is needed")
            found = [value.strip() for value in names_of(array)]
        else:
            with lines_of(path) as text:
                found = [line.strip() for line in text]
            while found and not found[-1]:
                found.pop()
            if len(found) == count + 1 and found[0].casefold().strip("_") in (name, f"{name}s"):
                found = found[1:]
    if "" in found:
        raise CorpusError(f"{path}, line {found.index('') + 1}: blank; each row needs its {name}")
    return found


def is_sheet(path: Path) -> bool:
    """Return whether a file is CSV, compressed or not: by its name, or by a first line with columns that are known.

    Raises CorpusError for a file that cannot be read.
    """
    if Path(path.name.removesuffix(".gz")).suffix.casefold() in SHEETS:
        return True
    line = first_line(path)
    cells = [cell.strip(' "').casefold() for cell in line.rstrip().split(_delimiter(line))]
    return len(cells) > 1 and not line.startswith("{") and not set(cells).isdisjoint((*IDS, *TEXTS, *REPEATED))


def first_line(path: Path) -> str:
    """Return the first line of a file of text, or its start. Raises CorpusError."""
    if _start(path) == _NUMPY:
        return ""
    with reading(path, CorpusError, _REMEDY, "not readable as text"), lines_of(path) as file:
        return file.readline(LONGEST_LINE)


@contextlib.contextmanager
def lines_of(path: Path) -> Iterator[TextIO]:
    """Yield a file of text: UTF-8, or UTF-16 with its mark, compressed by gzip or not. Raises OSError."""
    with opened(path) as raw:
        packed = raw.peek(2)[:2] == _GZIP
        file = cast(IO[bytes], gzip.GzipFile(fileobj=raw) if packed else raw)
        start = file.read(2)
        file.seek(0)
        if start in _NO_TEXT:
            raise CorpusError(f"{path}: {_NO_TEXT[start]}, not text; save it as CSV, UTF-8")
        limited = _Limited(file, path)
        encoding = "utf-16" if start in _UTF16 else "utf-8-sig"
        yield io.TextIOWrapper(io.BufferedReader(limited), encoding=encoding, newline="")


class _Limited(io.RawIOBase):
    """A file that ends in an error where more is unpacked than a file of texts may hold."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path, self._left = file, path, LARGEST_FILE

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Read into a buffer, as RawIOBase wants it."""
        part = self._file.read(len(buffer))
        self._left -= len(part)
        if self._left < 0:
            raise CorpusError(f"{self._path}: more than {LARGEST_FILE} bytes; use fewer texts")
        buffer[: len(part)] = part
        return len(part)


def _without_blank_end(cells: Sequence[str]) -> tuple[str, ...]:
    """Return cells without the blank ones at their end, which spreadsheets leave behind columns that were used once."""
    return tuple(cells[: max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)])


def _start(path: Path) -> bytes:
    with reading(path, CorpusError, _REMEDY), opened(path) as file:
        return file.read(len(_NUMPY))


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key="".join(line.split('"')[::2]).count)  # outside quotes

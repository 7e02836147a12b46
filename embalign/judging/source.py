"""A table as a file of text: CSV as spreadsheets and libraries write it, TSV, JSON, JSON lines, TREC's per-query lines.

Every cell is text here; what is a number is decided by :mod:`embalign.judging.numerals`.
"""

import collections
import csv
import gzip
import hashlib
import io
import itertools
import json
import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from embalign.errors import TableError
from embalign.judging.trec import read_trec
from embalign.readers import MEBI, long_fields, quoted, read_bytes, reading, said, unique

LARGEST = 2048 * MEBI
REMEDY = "give a CSV whose first line names its columns, or JSON lines"
SEPARATORS = ("\t", ";", ",", "|")
SAMPLED_LINES = 50
# How other kinds of file start, and how to make a CSV of one.
OTHER_KINDS = {
    b"PK\x03\x04": "an Excel workbook or another zip archive; save the sheet as CSV (an .eval log of inspect: "
    "samples_df(log).to_csv(file))",
    b"PAR1": "a parquet file; pandas.read_parquet(file).to_csv(other, index=False) makes a CSV of it",
    b"\x93NUMPY": "a NumPy array; pandas.DataFrame(numpy.load(file), index=sizes).to_csv(other) makes a CSV of it",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save the sheet as CSV",
    b"SQLite format 3": "a database; export the table as CSV",
    b"\x80": "a pickle, which is never loaded; frame.to_csv(other, index=False) makes a CSV of it",
    b"BZh": "compressed with bzip2; unpack it, or use gzip",
    b"\xfd7zXZ": "compressed with xz; unpack it, or use gzip",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it, or use gzip",
    b"%PDF": "a PDF; give the table as CSV",
    b"\x89PNG": "a picture; give the table as CSV",
}
NUMBER = re.compile(r"[+-]?\d*\.?\d+(?:[eE][+-]?\d+)?")
_DECODER = json.JSONDecoder(object_pairs_hook=unique)


@dataclass(frozen=True)
class Source:
    """A file's table: `frame` of text in columns with unique names, beside what was noticed in reading it.

    `separator` is what stands between cells, "" in JSON.
    """

    path: Path
    frame: pd.DataFrame
    separator: str
    sha256: str
    notes: tuple[str, ...] = ()

    def of(self, frame: pd.DataFrame, *notes: str) -> "Source":
        """Return a source with other rows or columns, and further notes."""
        return replace(self, frame=frame.reset_index(drop=True), notes=(*self.notes, *notes))


def read_source(path: Path) -> Source:
    """Return the table in a file, gzipped or not. Raises TableError that names the file, what is wrong and the remedy.

    A byte order mark, UTF-16 with one, blank lines, lines of `#` in front, Excel's `sep=;` and unnamed columns of row
    numbers are accepted.
    """
    content = read_bytes(path, TableError, REMEDY, LARGEST)
    digest = hashlib.sha256(content).hexdigest()
    text = _text(_unpacked(content, path), path)
    if not text.strip():
        raise TableError(f"{path}: the file is empty; {REMEDY}")
    notes: list[str] = []
    with reading(path, TableError, REMEDY, "cannot be read as a table"):
        separator = ""
        if text.lstrip()[0] in "{[":
            frame = _of_json(text, path)
        elif (found := read_trec(text, path)) is not None:
            frame, note = found
            notes.append(note)
        else:
            frame, separator = _of_lines(text, path)
    if not len(frame):
        raise TableError(f"{path}: no rows below the names of the columns; {REMEDY}")
    return Source(path, frame.reset_index(drop=True), separator, digest, tuple(notes))


def _unpacked(content: bytes, path: Path) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as fault:
            raise TableError(f"{path}: not valid gzip ({said(fault)}); pack it again, or unpack it") from None
        if len(content) > LARGEST:
            raise TableError(f"{path}: more than {LARGEST} bytes when unpacked; {REMEDY}")
    for start, words in OTHER_KINDS.items():
        if content.startswith(start):
            raise TableError(f"{path}: this is {words}")
    return content


def _text(content: bytes, path: Path) -> str:
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    with reading(path, TableError, "save it as CSV UTF-8", "is not a text file"):
        text = content.decode(encoding)
    if "\0" in text:
        raise TableError(f"{path}: not a text file, it holds NUL bytes; {REMEDY}")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _of_lines(text: str, path: Path) -> tuple[pd.DataFrame, str]:
    """The table of delimited lines, and their separator."""
    lines = text.split("\n", SAMPLED_LINES)
    start = 0
    named = ""
    for line in lines[:SAMPLED_LINES]:
        if found := re.fullmatch(r"sep=(.)\s*", line):
            named = found[1]
        elif line.strip() and not line.startswith("#"):
            break
        start += len(line) + 1
    text = text[start:]
    with long_fields(len(text)):  # a cell may hold a prompt, or a whole log
        return _of_text(text, named, path)


def _of_text(text: str, named: str, path: Path) -> tuple[pd.DataFrame, str]:
    """The table of lines that begin with the header; the separator is the one that they name, if they do."""
    separator = named or _separator([line for line in text.split("\n", SAMPLED_LINES)[:SAMPLED_LINES] if line.strip()])
    spaces = separator == " "
    header = text.split("\n", 1)[0]
    names = header.split() if spaces else next(csv.reader(io.StringIO(header), delimiter=separator, strict=False))
    names = _names([name.strip() for name in names], path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # columns that would be dropped
        frame = pd.read_csv(
            io.StringIO(text),
            sep=r"\s+" if spaces else separator,
            header=0,
            names=names,
            index_col=False,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            skipinitialspace=True,
        )
    frame = frame.fillna("")
    blank = [name for name in frame.columns if name.startswith("Unnamed: ") and not frame[name].str.strip().any()]
    frame = frame.drop(columns=blank)  # what a separator at the end of every line makes
    if (frame.iloc[:, 0] == "").any():
        frame = frame[(frame != "").any(axis=1)]  # blank rows of a sheet are separators alone
    return frame, separator


def _separator(lines: Sequence[str]) -> str:
    """The character that splits every line into as many fields, more than one; "," for a single column."""
    for separator in SEPARATORS:
        counts = [len(fields) for fields in csv.reader(lines, delimiter=separator) if fields]
        if counts and counts[0] > 1 and len(set(counts)) == 1:
            return separator
    most = {separator: lines[0].count(separator) for separator in SEPARATORS}
    if any(most.values()):
        return max(most, key=lambda separator: most[separator])
    return " " if len({len(line.split()) for line in lines}) == 1 and len(lines[0].split()) > 1 else ","


def _names(names: Iterable[str], path: Path) -> list[str]:
    """Names of columns, those without one by their place; raises TableError for a header that names none.

    Numbers that rise may be sizes, and then are names.
    """
    names = list(names)
    numbers = [float(name) for name in names if NUMBER.fullmatch(name)]
    if len(numbers) == len(names) > 1 and sorted(set(numbers)) != numbers:
        raise TableError(f"{path}: the first line holds numbers, not names of columns; add one such as n,seed,value")
    found = [name or f"Unnamed: {place}" for place, name in enumerate(names)]
    (name, count), *_ = collections.Counter(found).most_common(1)
    if count > 1:
        raise TableError(f"{path}: {count} columns are named {quoted(name)}; give each a name of its own")
    return found


def _of_json(text: str, path: Path) -> pd.DataFrame:
    """The table of JSON: an array of objects, an object of columns as pandas writes it, or an object a line."""
    try:
        found = _DECODER.decode(text)
    except ValueError:
        rows = [_object(line, f"{path}, line {number}") for number, line in _numbered(text)]
    else:
        if isinstance(found, dict) and found and all(isinstance(column, dict | list) for column in found.values()):
            found = pd.DataFrame(found).to_dict("records")
        rows = found if isinstance(found, list) else [found]
        if not all(isinstance(row, dict) for row in rows):
            raise TableError(f"{path}: JSON, but not rows that are objects; {REMEDY}")
    names = dict.fromkeys(itertools.chain.from_iterable(row for row in rows))
    columns = {name: [_cell(row.get(name)) for row in rows] for name in names}
    # Columns of nothing but lists and objects, such as prompts, hold no values.
    return pd.DataFrame({name: cells for name, cells in columns.items() if any(cell != NESTED for cell in cells)})


NESTED = "(nested)"


def _cell(value: Any) -> str:
    if isinstance(value, dict | list):
        return NESTED
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _numbered(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = _DECODER.decode(line)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{where}: not valid JSON ({error}); {REMEDY}") from None
    if not isinstance(found, dict):
        raise TableError(f"{where}: {quoted(line)} is not a JSON object; {REMEDY}")
    return found

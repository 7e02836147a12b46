"""Claims: how each number of a conclusion's text is computed from the raw data beside it.

conclusion.toml holds one entry per number, in reading order:

    [[claims]]                                  [[claims]]
    text = "0.8770"                             text = "70"
    file = "data.csv"                           file = "verdict.json"
    where = "policy:random,ratio:1.0"           path = "primary/recommended_ratio"
    col = "cosine_mean"                         scale = 100
    fn = "mean"                                 format = ".3g"
    format = ".4f"

`where` selects rows of a CSV and `minus` or `over` a second set, for a difference or a ratio; `fn` is value (one row),
mean, std, min, max or count. `path` walks a JSON file. The value, times a `scale` of 100 for percent, printed in
`format`, must be `text`.
"""

import csv
import functools
import io
import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from embalign.errors import ClaimError
from embalign.readers import MEBI, quoted, read_bytes, read_json, reading, said

FUNCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "value": lambda values: values[0],
    "mean": statistics.fmean,
    "std": statistics.stdev,
    "min": min,
    "max": max,
    "count": len,
}
# Few formats, so that each number can be printed in one way only: digits after the point, or three significant ones.
FORMAT = re.compile(r"\+?\.[0-5]f|\.3g|g")
LARGEST_RAW = 256 * MEBI
RESTORE = "restore it from git"
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One number: as it is printed (`text`), and how it is computed."""

    text: Word = ""
    file: Word
    path: Word = ""
    where: Word = ""
    minus: Word = ""
    over: Word = ""
    col: Word = ""
    fn: str = "value"
    scale: int = 1
    format: str

    def __post_init__(self) -> None:
        of_a_csv = {"minus": self.minus, "over": self.over, "col": self.col, "fn": self.fn != "value"}
        unused = [name for name, value in of_a_csv.items() if value]
        if bool(self.path) == bool(self.where):
            raise ValueError("needs either path (of a JSON file) or where (of a CSV)")
        if self.path and unused:
            raise ValueError(f"{unused[0]} says nothing beside path")
        if self.minus and self.over:
            raise ValueError("choose one of minus and over")
        if self.fn not in FUNCTIONS:
            raise ValueError(f"fn is not one of {', '.join(FUNCTIONS)}")
        if self.where and (self.fn == "count") == bool(self.col):
            raise ValueError("fn = count counts rows and takes no col; every other fn needs one")
        if self.scale not in (1, 100):
            raise ValueError("scale is neither 1 nor 100")
        if not FORMAT.fullmatch(self.format):
            raise ValueError("format is not one of .0f to .5f, with + or without, .3g, g")

    def computed(self, folder: Path) -> str:
        """Return the number as the raw data in `folder` give it. Raises ClaimError."""
        try:
            value = self._value(folder) * self.scale
            if not math.isfinite(value):
                raise ValueError(f"it is {value}")
            if self.format.endswith(".0f") and value != round(value):
                raise ValueError(f"{value!r} is not whole; {self.format} would round it")
            return format(value, self.format)
        except (ClaimError, LookupError, ValueError, TypeError, ArithmeticError, OSError) as error:
            raise ClaimError(f"{self} cannot be computed ({type(error).__name__}: {said(error)})") from None

    def __str__(self) -> str:
        return _quoted(msgspec.to_builtins(self))

    def _value(self, folder: Path) -> float:
        path = folder / self.file
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError("the file lies outside the conclusion's folder")
        if self.path:
            return _walk(read_raw(path), self.path)
        first = self._reduced(path, self.where)
        if self.minus:
            return first - self._reduced(path, self.minus)
        if self.over:
            return first / self._reduced(path, self.over)
        return first

    def _reduced(self, path: Path, where: str) -> float:
        rows = _selected(read_raw(path), where)
        if not rows:
            raise ValueError(f"no row has {where}")
        if self.fn == "count":
            return float(len(rows))
        values = [float(row[self.col]) for row in rows]
        if self.fn == "value" and len(values) != 1:
            raise ValueError(f"{len(values)} rows have {where}; fn = value needs one")
        return float(FUNCTIONS[self.fn](values))


def parse(table: Mapping[str, Any]) -> Claim:
    """Return the claim that an entry of conclusion.toml makes. Raises ClaimError: too little, too much, unknown."""
    try:
        return msgspec.convert(table, Claim)
    except msgspec.ValidationError as error:
        raise ClaimError(f"claim {_quoted(table)}: {error}") from None


class Binder:
    """Computes the claims of a text that is being written, and records them in the order they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.claims: list[Claim] = []

    def __call__(self, **fields: str | int) -> str:
        """Record a claim and return its number as printed. Raises ClaimError."""
        claim = parse(fields)
        text = claim.computed(self._folder)
        self.claims.append(msgspec.structs.replace(claim, text=text))
        return text


def _quoted(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in table.items())


def _walk(content: Any, path: str) -> float:
    for step in path.split("/"):
        content = content[int(step)] if isinstance(content, list) else content[step]
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise ValueError(f"{path} is {quoted(content)}, not a number")
    return float(content)


def _selected(rows: Sequence[Mapping[str, str]], where: str) -> list[Mapping[str, str]]:
    conditions = [condition.split(":", 1) for condition in where.split(",")]
    return [row for row in rows if all(_same(row[name], value) for name, value in conditions)]


def _same(found: str, wanted: str) -> bool:
    try:
        return float(found) == float(wanted)
    except ValueError:
        return found == wanted


def read_raw(path: Path) -> Any:
    """Return what a JSON file holds, or the rows of a CSV as dictionaries of strings. Raises ClaimError."""
    with reading(path, ClaimError, RESTORE):
        found = path.stat()
    return _read(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int, size: int) -> Any:
    if path.suffix == ".json":
        return read_json(path, ClaimError, RESTORE, Any, limit=LARGEST_RAW, nan=True)
    content = read_bytes(path, ClaimError, RESTORE, LARGEST_RAW)
    with reading(path, ClaimError, RESTORE, "not a table as CSV"):
        table = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = table.fieldnames or ()
        if len(set(columns)) < len(columns):
            raise ValueError("two columns have one name")
        rows = list(table)
        if ragged := [number for number, row in enumerate(rows, start=2) if None in row or None in row.values()]:
            raise ValueError(f"row {ragged[0]} has another number of columns than the header")
    return rows

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
`format`, must be `text`. Imports the standard library only.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embalign.errors import ClaimError

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
SCALES = (1, 100)
OF_A_CSV = ("minus", "over", "col", "fn")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One number: as it is printed (`text`), and how it is computed."""

    text: str = ""
    file: str
    path: str = ""
    where: str = ""
    minus: str = ""
    over: str = ""
    col: str = ""
    fn: str = "value"
    scale: int = 1
    format: str

    def computed(self, folder: Path) -> str:
        """Return the number as the raw data in `folder` give it. Raises ClaimError."""
        try:
            value = self._value(folder) * self.scale
            if not math.isfinite(value):
                raise ValueError(f"it is {value}")
            if self.format.endswith(".0f") and value != round(value):
                raise ValueError(f"{value!r} is not whole; {self.format} would round it")
            return format(value, self.format)
        except (LookupError, ValueError, TypeError, ArithmeticError, OSError, csv.Error) as error:
            raise ClaimError(f"{self} cannot be computed ({type(error).__name__}: {error})") from None

    def table(self) -> dict[str, str | int]:
        """Return the entry of conclusion.toml, without the fields that have their default."""
        fields = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in fields.items() if value != default}

    def __str__(self) -> str:
        return ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in self.table().items())

    def _value(self, folder: Path) -> float:
        path = folder / self.file
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError("the file lies outside the conclusion's folder")
        if self.path:
            return _walk(_content(path), self.path)
        first = self._reduced(path, self.where)
        if self.minus:
            return first - self._reduced(path, self.minus)
        if self.over:
            return first / self._reduced(path, self.over)
        return first

    def _reduced(self, path: Path, where: str) -> float:
        rows = _selected(_content(path), where)
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
    said = ", ".join(f"{name} = {value!r}" for name, value in table.items())
    known = {field.name: int if field.name == "scale" else str for field in dataclasses.fields(Claim)}
    for name, value in table.items():
        if name not in known:
            raise ClaimError(f"claim {said}: unknown {name!r}; known are {', '.join(known)}")
        if type(value) is not known[name] or value == "":
            raise ClaimError(f"claim {said}: {name} must be {'a whole number' if name == 'scale' else 'a string'}")
    if missing := [name for name in ("file", "format") if name not in table]:
        raise ClaimError(f"claim {said}: {missing[0]} is missing")
    if ("path" in table) == ("where" in table):
        raise ClaimError(f"claim {said}: needs either path (of a JSON file) or where (of a CSV)")
    if unused := [name for name in OF_A_CSV if name in table and "path" in table]:
        raise ClaimError(f"claim {said}: {unused[0]} says nothing beside path")
    if "minus" in table and "over" in table:
        raise ClaimError(f"claim {said}: choose one of minus and over")
    claim = Claim(**table)
    if claim.fn not in FUNCTIONS:
        raise ClaimError(f"claim {said}: fn is not one of {', '.join(FUNCTIONS)}")
    if claim.where and (claim.fn == "count") == bool(claim.col):
        raise ClaimError(f"claim {said}: fn = count counts rows and takes no col; every other fn needs one")
    if claim.scale not in SCALES:
        raise ClaimError(f"claim {said}: scale is neither 1 nor 100")
    if not FORMAT.fullmatch(claim.format):
        raise ClaimError(f"claim {said}: format is not one of .0f to .5f, with + or without, .3g, g")
    return claim


class Binder:
    """Computes the claims of a text that is being written, and records them in the order they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.claims: list[Claim] = []

    def __call__(self, **fields: str | int) -> str:
        """Record a claim and return its number as printed. Raises ClaimError."""
        claim = parse(fields)
        text = claim.computed(self._folder)
        self.claims.append(dataclasses.replace(claim, text=text))
        return text


def _walk(content: Any, path: str) -> float:
    for step in path.split("/"):
        content = content[int(step)] if isinstance(content, list) else content[step]
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise ValueError(f"{path} is {content!r}, not a number")
    return float(content)


def _selected(rows: Sequence[Mapping[str, str]], where: str) -> list[Mapping[str, str]]:
    conditions = [condition.split(":", 1) for condition in where.split(",")]
    return [row for row in rows if all(_same(row[name], value) for name, value in conditions)]


def _same(found: str, wanted: str) -> bool:
    try:
        return float(found) == float(wanted)
    except ValueError:
        return found == wanted


def _content(path: Path) -> Any:
    return _read(path, path.stat().st_mtime_ns, path.stat().st_size)


@functools.lru_cache(maxsize=64)
def _read(path: Path, changed: int, size: int) -> Any:
    with path.open(encoding="utf-8", newline="") as file:
        return json.load(file) if path.suffix == ".json" else list(csv.DictReader(file))

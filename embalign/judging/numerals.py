"""Numbers as spreadsheets and people write them: decimal commas, separators of thousands, per cent signs, blanks.

Which of point and comma is the decimal sign is found from the whole table, and asked for where it says nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.counts import EXTREME
from embalign.errors import TableError
from embalign.judging.source import Source
from embalign.readers import quoted

SAMPLED = 10_000  # different cells of a column that are looked at for the decimal sign
MISSING = {"", "nan", "na", "n/a", "null", "none", "-", "--", "#n/a", "<na>", "nat"}
# What harnesses write for a right, half-right or wrong answer; inspect gives no answer as N.
LETTERS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
WORDS = {"true": 1.0, "yes": 1.0, "correct": 1.0, "false": 0.0, "no": 0.0, "incorrect": 0.0}
NUMBER_LIKE = re.compile(r"[+-]?\d[\d.,]*(?:[eE][+-]?\d+)?|[+-]?[.,]\d+(?:[eE][+-]?\d+)?")
THOUSANDS = {sign: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:\{sign}\d{{3}})+") for sign in ".,"}
GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f '\u2019](?=\\d{3}(?:\\D|$))")
PERCENT = re.compile(r"\s*[%\uff05]$")


@dataclass(frozen=True)
class Numbers:
    """The numbers of a column, NaN where a cell is blank; `percent` says that they had a per cent sign.

    `coded` names letters or words that were read as numbers.
    """

    values: NDArray[np.float64]
    percent: bool = False
    coded: str = ""


def decimal_sign(source: Source, asked: str | None, names: Iterable[str]) -> str:
    """Return the decimal sign of a table: the one asked for, or what cells of these columns show.

    A cell shows it unless it may be a number with separators of thousands: 0,85 and 12,5 do, 1,234 does not. Raises
    TableError where none shows it.
    """
    if asked is not None:
        return asked
    shown: dict[str, str] = {}
    open_cells: dict[str, str] = {}
    columns = [source.frame[name] for name in dict.fromkeys(names)]
    if source.separator != ";" and not any(cells.str.contains(",", regex=False).any() for cells in columns):
        return "."  # points alone, and a comma or tab between cells: as everywhere
    for cells in columns:
        for cell in cells.drop_duplicates()[:SAMPLED]:
            text = PERCENT.sub("", GROUPED.sub("", cell.strip().replace("\u2212", "-")))
            if ("." in text or "," in text) and NUMBER_LIKE.fullmatch(text):
                sign = _shown_by(text)
                (shown if sign else open_cells).setdefault(sign or ("." if "." in text else ","), cell)
    if len(shown) == 2:
        both = f"{quoted(shown['.'])} and {quoted(shown[','])}"
        raise TableError(f"{source.path}: the decimal sign is not clear from {both}; write all numbers alike")
    if shown:
        return next(iter(shown))
    if open_cells:
        cell = next(iter(open_cells.values()))
        remedy = "--decimal . or --decimal , says which sign is the decimal one"
        raise TableError(f"{source.path}: {quoted(cell)} may be a fraction or thousands; {remedy}")
    return "."


def _shown_by(text: str) -> str | None:
    """The decimal sign that a cell shows, None where it may be a separator of thousands."""
    if "." in text and "," in text:
        return max(".,", key=text.rfind) if text.count(text[max(text.rfind("."), text.rfind(","))]) == 1 else None
    sign = "." if "." in text else ","
    if THOUSANDS[sign].fullmatch(text):
        return None if text.count(sign) == 1 else (".", ",")[sign == "."]  # 1.234.567 has a decimal comma
    return sign


def numbers_in(source: Source, column: str, decimal: str, *, percent_as_share: bool = False) -> Numbers:
    """Return the numbers of a column. Raises TableError that names the first cell which holds none, and the remedy.

    A per cent sign is taken off and the number kept, or divided by 100 with `percent_as_share`.
    """
    cells = source.frame[column]
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64) if decimal == "." else None
    if values is not None and np.isfinite(values).all():
        _refuse_extremes(values, source, column)
        return Numbers(values)
    distinct = cells.drop_duplicates()
    if (coded := _coded(distinct)) is not None:
        return Numbers(cells.map(coded).to_numpy(np.float64), coded=_words_of(coded))
    found = {cell: _number(cell, decimal) for cell in distinct}
    signed = {cell for cell in distinct if PERCENT.search(cell)}
    for cell, value in found.items():
        if value is None or np.isinf(value):
            row = int((cells == cell).to_numpy().argmax()) + 1
            raise TableError(f"{source.path}, row {row}: {column} is {quoted(cell)}, {_why(cell)}")
        if signed and cell not in signed and not np.isnan(value) and value != 0:
            raise TableError(
                f"{source.path}: {column} is {quoted(next(iter(signed)))} in one row and {quoted(cell)} in another; "
                "write all with a per cent sign or none"
            )
    scale = 0.01 if signed and percent_as_share else 1.0
    values = cells.map(found).to_numpy(np.float64) * scale
    _refuse_extremes(values, source, column)
    return Numbers(values, percent=bool(signed))


def _refuse_extremes(values: NDArray[np.float64], source: Source, column: str) -> None:
    """Refuse numbers so large or small that what is computed of them leaves the range of floats."""
    sizes = np.nan_to_num(np.abs(values))
    largest = sizes.max(initial=0.0)
    if largest and not 1 / EXTREME < largest < EXTREME:
        row = int(sizes.argmax())
        words = f"{column} is {quoted(source.frame[column].iloc[row])}, too {'large' if largest > 1 else 'small'}"
        raise TableError(f"{source.path}, row {row + 1}: {words} to be computed with; give it in another unit")


def _coded(distinct: pd.Series) -> dict[str, float] | None:
    """The numbers of letters or words, if a column has nothing else; blank cells have none."""
    present = [cell for cell in distinct if cell.strip().lower() not in MISSING]
    for code, key in ((LETTERS, str.strip), (WORDS, lambda cell: cell.strip().lower())):
        if present and all(key(cell) in code for cell in present):
            return {cell: code[key(cell)] if cell in present else np.nan for cell in distinct}
    return None


def _words_of(coded: dict[str, float]) -> str:
    return ", ".join(f"{cell.strip()} = {value:g}" for cell, value in coded.items() if not np.isnan(value))


def _number(cell: str, decimal: str) -> float | None:
    text = PERCENT.sub("", GROUPED.sub("", cell.strip().replace("\u2212", "-")))
    if text.lower() in MISSING:
        return float("nan")
    other = "," if decimal == "." else "."
    if other in text:
        whole, sign, rest = text.partition(decimal)
        if not THOUSANDS[other].fullmatch(whole) or other in rest:
            return None
        text = f"{whole.replace(other, '')}{sign}{rest}"
    try:
        return float(text.replace(decimal, ".")) if "_" not in text else None
    except ValueError:
        return None


def _why(cell: str) -> str:
    if re.search(r"\u00b1|\+/?-\s*\d|\(.*\d.*\)", cell) and re.search(r"\d", cell):
        return "a mean with its spread; give one row for each seed"
    if re.fullmatch(r"\s*[+-]?inf(inity)?\s*", cell, re.IGNORECASE):
        return "which is not finite; leave the cell empty or correct it"
    return "which is not a number; correct it, or name another column with --columns"

"""Frames of measurements as callers give them: checked column by column, or refused in words."""

import math
import numbers
import sys
from collections.abc import Collection, Hashable
from typing import Any, TypeGuard

import numpy as np
import pandas as pd

from embalign.alignment.arguments import described
from embalign.counts import EXTREME

NUMBERS = ("ratio", "n_train", "value")


def checked(frame: Any, name: str, needed: Collection[str], known: Collection[str] = ()) -> pd.DataFrame:
    """Return the columns `needed` and, where there, those `known`, numbers as float64 and a fresh index.

    Raises TypeError for what is no frame, ValueError for missing columns, columns of one name, no rows, and numbers
    that are none; each says which.
    """
    if not isinstance(frame, pd.DataFrame):
        wanted = ", ".join(needed)
        raise TypeError(
            f"the {name} must be a pandas DataFrame with columns {wanted}, found a {type(frame).__name__}; "
            f"pandas.DataFrame(...) makes one"
        )
    columns = list(frame.columns)
    if missing := [column for column in sorted(needed) if column not in columns]:
        there = ", ".join(map(str, columns)) or "none"
        raise ValueError(f"the {name} lacks column(s) {', '.join(missing)}; it has {there}")
    kept = [column for column in (*needed, *known) if column in columns]
    if repeated := [column for column in kept if columns.count(column) > 1]:
        raise ValueError(f"the {name} has more than one column {repeated[0]}; rename or drop one")
    if frame.empty:
        raise ValueError(f"the {name} has no rows")
    found = frame[kept].reset_index(drop=True)
    for column in kept:
        if column in NUMBERS:
            found[column] = _numbers(found[column], name)
            if column == "value":
                refuse_extremes(found[column], name)
            continue
        if isinstance(found[column].dtype, pd.CategoricalDtype):
            found[column] = found[column].astype(found[column].cat.categories.dtype)
        if found[column].isna().any():
            raise ValueError(f"a row of the {name} has no {column}; give every row one")
        if odd := [each for each in found[column] if not isinstance(each, Hashable)]:
            raise ValueError(f"column {column} of the {name} must hold strings or whole numbers, found {odd[0]!r}")
    return found


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a real number, of whatever library, that a float can hold."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        return False
    return not (isinstance(value, int) and abs(value) > sys.float_info.max)


def check_flag(value: object, name: str) -> None:
    """Raise TypeError for anything but True and False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, found {described(value)}")


def check_level(value: object, name: str, least: float, below: float, *, open_below: bool = False) -> None:
    """Raise ValueError for what is no number, and for one outside [least, below), or (least, below)."""
    plain = float(value) if is_number(value) else math.nan
    if not (least < plain < below if open_below else least <= plain < below):
        if below == EXTREME:
            start = f"{'above' if open_below else 'of at least'} {least:g}"
            raise ValueError(f"{name} must be a number {start} and below {below:g}, found {described(value)}")
        raise ValueError(f"{name} must lie between {least:g} and {below:g}, found {described(value)}")


def _numbers(column: pd.Series, name: str) -> pd.Series:
    """A column as float64; text is refused, since a decimal comma or a per cent sign would be read wrong."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        return column.astype(np.float64)
    try:
        return pd.Series(np.array([_number(each) for each in column]), index=column.index)
    except TypeError:
        place = next(i for i, each in enumerate(column) if not _is_number(each))
        raise ValueError(
            f"column {column.name} of the {name} must hold numbers, row {place} has {column.iloc[place]!r}; convert it "
            "with pandas.to_numeric, after decimal commas and per cent signs are removed"
        ) from None


def refuse_extremes(column: pd.Series, name: str) -> None:
    """Raise ValueError for values too large or small to compute with; what is not finite is found by who reads."""
    largest = float(column[np.isfinite(column)].abs().max())
    if largest and not math.isnan(largest) and not 1 / EXTREME < largest < EXTREME:
        raise ValueError(f"values of the {name} go up to {largest:.3g}, too far from 1 to compute with; rescale them")


def _is_number(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, numbers.Number) and not isinstance(value, complex))


def _number(value: Any) -> float:
    if not _is_number(value):
        raise TypeError
    return math.nan if value is None or value is pd.NA else float(value)

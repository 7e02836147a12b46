"""CSV and Markdown tables: plain ASCII, numbers that round-trip."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from embalign.escaping import csv_cell
from embalign.evaluation.measurement import ByLabel
from embalign.evaluation.results import STATUS, Results
from embalign.verdicts.contrasts import mean_of
from embalign.verdicts.statistics import StudentT, student_t

LABEL_STEP = 2.0**-13  # of values by label in .npz files: far below their spread, and small when compressed


def write_csv(frame: pd.DataFrame, path: Path, first: Sequence[str] = ()) -> None:
    """Write a frame with the columns `first` in front and the status last; text that a spreadsheet would run is quoted.

    Numbers are written with the fewest digits that give the same float64 back; a cell without a value stays empty.
    """
    rest = [name for name in frame.columns if name not in first and name != STATUS]
    last = [STATUS] if STATUS in frame.columns else []
    ordered = frame[[*(name for name in first if name in frame.columns), *rest, *last]]
    text = ordered.select_dtypes(include=["object", "str"]).columns
    safe = ordered.assign(**{name: ordered[name].map(csv_cell) for name in text})
    safe.to_csv(path, index=False, lineterminator="\n")


def as_json(content: Mapping[str, Any]) -> str:
    """Return content as indented JSON, which has no infinity and no numeric keys: null and text in their place."""
    return json.dumps(_plain(content), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else f"{key:.10g}": _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cells_of(results: Mapping[str, Results], name: str, columns: Sequence[str]) -> Results:
    """Return the cells of a table, none where a grid does not have it; columns that no cell has hold NaN.

    A column is missing where every cell that has it failed: what reads it then finds no value, and need not ask.
    """
    found = results.get(name) or Results(pd.DataFrame({STATUS: pd.Series(dtype=object)}), {}, {}, ())
    frame = found.frame.assign(**{name: np.nan for name in columns if name not in found.frame})
    return replace(found, frame=frame)


def failures(results: Mapping[str, Results]) -> list[str]:
    """Return every failed cell in words: its table, what identifies it, and the reason."""
    lines = []
    for name, found in results.items():
        shown = [column for column in found.identity if column != "pair"]
        for cell in found.frame[found.frame[STATUS] != "ok"].to_dict("records"):
            settings = ", ".join(f"{column} {_short(cell[column])}" for column in shown)
            lines.append(f"{name.replace('_', ' ')}: {settings}: {cell[STATUS]}")
    return lines


def write_by_label(results: Results, path: Path) -> None:
    """Write the values by label as .npz: float32 (cells, label groups) per metric, NaN for cells without.

    Rows are those of the CSV of `results`; values are rounded to multiples of 2^-13.
    """
    arrays = {name: results.values_by_label(name) for name in results.by_label}
    save_by_label(path, {name: values for name, values in arrays.items() if values.size})


def save_by_label(path: Path, arrays: Mapping[str, ByLabel]) -> None:
    """Write arrays (rows, label groups) as .npz, rounded to multiples of 2^-13."""
    rounded = {name: np.round(values / LABEL_STEP) * LABEL_STEP for name, values in arrays.items()}
    np.savez_compressed(path, allow_pickle=False, **{name: v.astype(np.float32) for name, v in rounded.items()})


def widen(frame: pd.DataFrame, table: pd.DataFrame, columns: Sequence[str], names: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame of cells with a table of these cells beside it in wide form.

    `names` maps each value column of the table to the format of its columns' names, which entries of `columns` fill.
    """
    for value, name in names.items():
        own = table.pivot(index="cell", columns=list(columns), values=value).sort_index(axis="columns")
        keys = own.columns.to_frame().itertuples(index=False)
        frame = frame.join(own.set_axis([name.format(*key) for key in keys], axis="columns"))
    return frame


def mean_with_interval(values: pd.Series, digits: int = 4) -> str:
    """Return "mean +- half-width" of the 95 % t interval over seeds."""
    values = values.dropna()
    if len(values) < 2:
        return f"{values.iloc[0]:.{digits}f}" if len(values) else ""
    found = student_t(values.to_numpy())
    return _plus_minus(found.mean, found, digits)


def mean_over_groups(cells: Results, metric: str, digits: int = 4) -> str:
    """Return "mean +- half-width" of the 95 % interval over seeds and, where a metric has values by them, label groups.

    Empty where the cells lack the metric.
    """
    mean, found = cells.frame[metric].mean(), mean_of(cells, metric)
    if math.isnan(mean):
        return ""
    return _plus_minus(mean, found, digits)


def _plus_minus(mean: float, found: StudentT | None, digits: int) -> str:
    half = found.interval()[1] - found.mean if found else 0.0
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if round(half, digits) > 0 else "")


def percent(ratio: float | None) -> str:
    """Return a ratio as a percentage of at most three digits: 0.05 -> "5 %", None -> "none"."""
    return "none" if ratio is None else f"{100 * ratio:.3g} %"


def span(interval: tuple[float, float] | None) -> str:
    """Return an interval of ratios as percentages: "5 % to 20 %"."""
    return "none" if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

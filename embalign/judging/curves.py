"""Learning curves in a table, as :func:`embalign.verdicts.elbow.judge_elbow` takes them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.counts import exact
from embalign.errors import TableError
from embalign.escaping import shell
from embalign.judging.columns import (
    ALIASES,
    FOLDS,
    Roles,
    are_repetitions,
    differing,
    find_roles,
    listed,
    only_where,
    parts_of,
    plain,
    require,
    value_column,
)
from embalign.judging.numerals import PERCENT, decimal_sign, numbers_in
from embalign.judging.source import Source
from embalign.judging.wide import lengthen
from embalign.readers import quoted
from embalign.verdicts.curve import FARTHEST

NESTED_REPEATS = ("inner_seed", "inner_fold", "fold", "cv_fold", "split", "split_id", "repeat", "repetition", "rep")
SAME_SIZE = 0.05  # by which training sets of one ratio may differ in number, such as folds that do not divide evenly
SHOWN = 3
MOST_SIZES = 20  # more take much memory and time, and say little more
FOLD_NOTE = (
    "seeds are called folds: training sets of cross-validation overlap, so that intervals are too narrow; prefer fresh "
    "draws of the training data"
)
A_FOLD = r"(?:fold|split|cv)[_ -]?\d+"


@dataclass(frozen=True)
class Choice:
    """What a user chose of a table: columns by role, metrics, rows, the decimal sign, and whether gaps may be left."""

    columns: Mapping[str, str]
    metrics: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    decimal: str | None = None
    only_complete: bool = False


@dataclass(frozen=True)
class CurveTable:
    """One curve: `frame` has columns ratio, seed and value, and n_train and item where known.

    `origin` holds the values at n = 0 by seed, if the table has any. `percent`: values are in per cent.
    """

    metric: str
    frame: pd.DataFrame
    origin: Mapping[str | int, float] | None
    percent: bool
    notes: tuple[str, ...]
    source_notes: tuple[str, ...]


def read_curves(source: Source, choice: Choice) -> tuple[list[CurveTable], Roles]:
    """Return each chosen curve of a table, and its columns.

    Raises TableError that names what is unclear or missing, and the remedy.
    """
    source = only_where(source, choice.where)
    roles = find_roles(source, choice.columns, ("n", "ratio", "seed", "metric"))
    source, roles = lengthen(source, roles)
    if "ratio" not in roles.columns and source.frame[roles.columns["n"]].str.contains(PERCENT).all():
        roles = Roles({"ratio" if role == "n" else role: column for role, column in roles.columns.items()})
    if "item" in choice.columns or any(plain(name) in ALIASES["item"][:6] for name in source.frame.columns):
        roles = roles.having(**find_roles(source, choice.columns, ("item",)).columns)
    chosen = list(_metrics(source, roles, choice))
    sizes = [roles.columns[role] for role in ("n", "ratio") if role in roles.columns]
    decimal = decimal_sign(source, choice.decimal, [*sizes, *(column for _, column, _ in chosen)])
    tables = [_curve(part, roles.having(value=column), metric, decimal, choice) for metric, column, part in chosen]
    return tables, roles.having(value=chosen[0][1]) if len(chosen) == 1 else roles


def _metrics(source: Source, roles: Roles, choice: Choice) -> Iterable[tuple[str, str, Source]]:
    """Name, column and rows of each chosen metric."""
    if "metric" in roles.columns:
        column = roles.columns["metric"]
        value = roles.columns.get("value") or value_column(source, roles.columns.values())
        there = list(source.frame[column].drop_duplicates())
        if len(there) > 1 and not choice.metrics:
            which = shell(["--metric", str(there[0])])
            raise TableError(f"{source.path}: several metrics, {listed(there)}; say which with {which}")
        for metric in choice.metrics or there:
            yield str(metric), value, only_where(source, [(column, str(metric))])
        return
    if choice.metrics:
        refuse_two_values(source, choice)
        for metric in choice.metrics:
            require(source, metric, f"--metric {metric}")
            yield metric, metric, source
        return
    value = roles.columns.get("value") or choice.columns.get("value") or value_column(source, roles.columns.values())
    yield value, value, source


def refuse_two_values(source: Source, choice: Choice) -> None:
    """Raise TableError where --metric and --columns name a column of values each."""
    if "value" in choice.columns:
        words = f"--metric {choice.metrics[0]} and --columns value={choice.columns['value']}"
        raise TableError(f"{source.path}: {words} both name the values; leave one out")


def _curve(source: Source, roles: Roles, metric: str, decimal: str, choice: Choice) -> CurveTable:
    numbers = numbers_in(source, roles.columns["value"], decimal)
    frame = pd.DataFrame({"value": numbers.values})
    notes = [f"{metric}: {numbers.coded}"] if numbers.coded else []
    for role in ("n", "ratio"):
        if role in roles.columns:
            frame[role] = _sizes(source, roles.columns[role], decimal, role)
    frame["seed"] = joined(source, roles.columns["seed"])
    if "item" in roles.columns:
        frame["item"] = joined(source, roles.columns["item"])
    if plain(roles.columns["seed"]) in FOLDS or frame["seed"].str.fullmatch(A_FOLD, case=False).all():
        notes.append(FOLD_NOTE)
    frame, origin = _split_origin(frame)
    frame, note = _with_ratio(frame, source, roles)
    notes += note
    keys = ["ratio", "seed", *(["item"] if "item" in frame else [])]
    frame, note = _without_repeats(frame, keys, source, roles)
    notes += note
    frame, note = _thinned(frame)
    notes += note
    frame, note = _complete(frame, keys, source, choice.only_complete)
    notes += note
    _refuse_few(frame, source)
    return CurveTable(metric, frame, origin, numbers.percent, tuple(notes), source.notes)


def _sizes(source: Source, column: str, decimal: str, role: str) -> NDArray[np.float64]:
    values = numbers_in(source, column, decimal, percent_as_share=role == "ratio").values
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        cell = source.frame[column].iloc[row]
        raise TableError(f"{source.path}, row {row + 1}: {column} is {quoted(cell)}; a size is a number above 0")
    return np.array([float(f"{value:.10g}") for value in values])  # 0.3 and 0.1 + 0.2 are one size


def joined(source: Source, column: str) -> pd.Series:
    """Return names of seeds or items, those of several columns joined; whole numbers are the same with and without .0.

    Raises TableError for a blank one.
    """
    parts = parts_of(source, column)
    found = [source.frame[part].str.strip().str.normalize("NFC") for part in parts]
    for part, cells in zip(parts, found, strict=True):
        if (blank := cells == "").any():
            raise TableError(f"{source.path}, row {int(blank.to_numpy().argmax()) + 1}: {part} is empty; fill it in")
    names = found[0]
    for cells in found[1:]:
        names = names + "/" + cells
    if names.str.contains(".0", regex=False).any() and names.str.fullmatch(r"-?\d{1,15}(\.0+)?").all():
        names = names.str.replace(r"\.0+$", "", regex=True)
    return names


def _split_origin(frame: pd.DataFrame) -> tuple[pd.DataFrame, Mapping[str | int, float] | None]:
    """The rows with data, and the values by seed of those without any."""
    size = frame["n"] if "n" in frame else frame["ratio"]
    nothing = frame[size == 0].dropna(subset="value")
    if not len(nothing):
        return frame[size > 0].reset_index(drop=True), None
    return frame[size > 0].reset_index(drop=True), nothing.groupby("seed")["value"].mean().to_dict()


def _with_ratio(frame: pd.DataFrame, source: Source, roles: Roles) -> tuple[pd.DataFrame, list[str]]:
    """The frame with a ratio of at most 1 and, if counts are known, n_train."""
    notes: list[str] = []
    if not len(frame):
        raise TableError(f"{source.path}: no row has a size above 0; add the sizes that were measured")
    low, high = frame["n" if "n" in frame else "ratio"].agg(["min", "max"])
    if high > FARTHEST * low:
        raise TableError(f"{source.path}: sizes go from {low:g} to {high:g}, too far apart for one curve; correct them")
    if "n" in frame and "ratio" not in frame and high <= 1:
        notes.append(f"{roles.columns['n']} is at most 1 and was read as a ratio")
        frame = frame.rename(columns={"n": "ratio"})
    if "ratio" not in frame:
        return frame.assign(ratio=frame["n"] / frame["n"].max(), n_train=frame["n"]).drop(columns="n"), notes
    largest = float(frame["ratio"].max())
    name = roles.columns.get("ratio", roles.columns.get("n", "ratio"))
    if largest == 100 or (1 < largest < 100 and re.search("percent|pct", plain(name))):
        notes.append(f"{name} was read as per cent")
        frame, largest = frame.assign(ratio=frame["ratio"] / 100), largest / 100
    if largest > 1:
        words = f"{name} goes up to {largest:g}; a ratio lies between 0 and 1; rename the column percent if it is that"
        raise TableError(f"{source.path}: {words}, or if it counts training items: {shell(['--columns', f'n={name}'])}")
    if largest < 1:
        notes.append(f"the largest {name}, {largest:g}, was read as 100 %")
        frame = frame.assign(ratio=frame["ratio"] / largest)
    if "n" in frame:
        counts = frame.groupby("ratio")["n"].agg(["min", "max", "median"])
        apart = counts[counts["max"] > (1 + SAME_SIZE) * counts["min"]]
        if len(apart):
            low, high = apart[["min", "max"]].iloc[0]
            words = f"ratio {apart.index[0]:g} stands beside n {exact(low)} and n {exact(high)}"
            raise TableError(f"{source.path}: {words}; keep one of the two columns, or rows of one data set (--where)")
        frame = frame.assign(n_train=frame["ratio"].map(counts["median"])).drop(columns="n")
    return frame, notes


def _without_repeats(
    frame: pd.DataFrame, keys: Sequence[str], source: Source, roles: Roles
) -> tuple[pd.DataFrame, list[str]]:
    """One row for each key: repetitions inside of one, such as folds of a seed, are averaged if they are complete."""
    repeated = frame.duplicated(list(keys), keep=False)
    if not repeated.any():
        return frame, []
    first = frame.loc[repeated.idxmax()]
    size = f"n {exact(first['n_train'])}" if "n_train" in frame else f"ratio {first['ratio']:g}"
    same = repeated & (frame[list(keys)] == first[list(keys)]).all(axis=1)
    other: list[str] = []
    if len(source.frame) == len(frame):  # else rows at n = 0 were split off, and rows no longer correspond
        other = differing(source, same.to_numpy(), roles.columns.values())
    of_seeds = bool(other) and plain(other[0]) in ALIASES["seed"]
    repetitions = of_seeds and are_repetitions(source, other[0])
    if len(other) == 1 and repetitions and plain(other[0]) in NESTED_REPEATS and not frame["value"].isna().any():
        counts = frame.groupby(list(keys)).size()
        if counts.nunique() == 1:
            note = f"values are means over {counts.iloc[0]} {other[0]} of each {roles.columns['seed']}"
            return frame.groupby(list(keys), as_index=False).mean(numeric_only=True), [note]
    what = f"{size}, seed {first['seed']}" + (f", item {first['item']}" if "item" in frame else "")
    remedy = "leave one row for each size and seed"
    if other:
        value = source.frame[other[0]][same.to_numpy()].iloc[0]
        unlike = f", and {quoted(value)} is no number of a repetition" if of_seeds and not repetitions else ""
        only = shell(["--where", f"{other[0]}={value}"])
        remedy = f"they differ in {listed(other, 4)}{unlike}: keep some rows with {only}"
        if repetitions:
            both = shell(["--columns", f"seed={roles.columns['seed']}+{other[0]}"])
            remedy += f", or make it a part of the seed: {both}"
    raise TableError(f"{source.path}: {what} has {int(same.sum())} values; {remedy}")


def _thinned(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of at most twenty sizes, the smallest, the largest and half among them, chosen without their values."""
    there = np.sort(frame["ratio"].unique())
    if len(there) <= MOST_SIZES:
        return frame, []
    wanted = [*np.geomspace(there[0], 1.0, MOST_SIZES - 1), 0.5]
    chosen = {float(there[np.abs(np.log(there / ratio)).argmin()]) for ratio in wanted}
    note = f"of {len(there)} sizes {len(chosen)} are judged, spread evenly over log n"
    return frame[frame["ratio"].isin(chosen)].reset_index(drop=True), [note]


def _complete(
    frame: pd.DataFrame, keys: Sequence[str], source: Source, only_complete: bool
) -> tuple[pd.DataFrame, list[str]]:
    """The frame without gaps: those seeds (of curves with items: those items) left out that lack a value, if asked."""
    unit = "item" if "item" in frame else "seed"
    wide = frame.pivot(index=unit, columns=[name for name in keys if name != unit], values="value")
    gaps = wide.isna().any(axis=1)
    if not gaps.any():
        return frame, []
    counted = "n_train" in frame
    sizes = frame.drop_duplicates("ratio").set_index("ratio")["n_train" if counted else "value"]
    shown = []
    for name in wide.index[gaps][:SHOWN]:
        missing = wide.columns[wide.loc[name].isna()]
        first = missing[0][0] if isinstance(missing[0], tuple) else missing[0]
        size = f"n {exact(sizes[first])}" if counted else f"ratio {first:g}"
        shown.append(f"{unit} {name} at {size}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""))
    words = f"{unit}s that lack a value: {int(gaps.sum())} of {len(wide)} ({'; '.join(shown)})"
    if not only_complete:
        raise TableError(
            f"{source.path}: {words}; measure them, or leave these {unit}s out with --only-complete (if runs that "
            "fail are missing, what is left is too good)"
        )
    if gaps.all():
        raise TableError(f"{source.path}: {words}; none would be left, so measure them, or remove the sizes they lack")
    return frame[~frame[unit].map(gaps)].reset_index(drop=True), [f"{words}; these {unit}s are left out"]


def _refuse_few(frame: pd.DataFrame, source: Source) -> None:
    seeds, sizes = frame["seed"].nunique(), frame["ratio"].nunique()
    if seeds < 2:
        words = "one seed: nothing says how the curve varies from run to run"
        raise TableError(f"{source.path}: {words}; repeat every size with other seeds, three or more, better five")
    if sizes < 2:
        raise TableError(f"{source.path}: one size is no curve; measure others, five or more (such as 1/2, 1/4, 1/8)")
    if (frame.groupby("seed")["value"].nunique() < 2).all():
        words = "the value is the same at every size: there is nothing to judge"
        raise TableError(f"{source.path}: {words}; name another column with --metric, or give values with more digits")
    if "item" in frame and frame["item"].nunique() < 2:
        raise TableError(f"{source.path}: one item is not enough; leave the column out, or bring more items")

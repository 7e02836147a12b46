"""The results of one system in a table: a value by seed, by item, or by both, and each item's group."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from embalign.errors import TableError
from embalign.escaping import shell
from embalign.judging.columns import (
    Roles,
    are_repetitions,
    differing,
    find_roles,
    listed,
    only_where,
    plain,
    require,
    value_column,
)
from embalign.judging.curves import Choice, joined, refuse_two_values
from embalign.judging.numerals import decimal_sign, numbers_in
from embalign.judging.source import Source
from embalign.judging.trec import ALL, ONLY_MEANS

AGGREGATES = {"epoch", "steps"}  # of sentence-transformers' evaluators
MEANS = {"all", "mean", "avg", "average", "overall", "total"}  # items of these names, if their values are the mean
ROUNDED = 1e-3  # of the largest value, by which a mean may be off


@dataclass(frozen=True)
class Run:
    """One system: `frame` has the columns value and seed or item or both, and group if asked for.

    `name` is what messages call it. `percent`: the values have per cent signs.
    """

    name: str
    frame: pd.DataFrame
    roles: Roles
    metric: str
    percent: bool
    notes: tuple[str, ...]


def read_run(source: Source, name: str, choice: Choice, group: str | None, *, metric: str | None) -> Run:
    """Return one system's results. Raises TableError that names what is unclear or missing, and the remedy.

    With `choice.only_complete` rows without a value are left out, and said.
    """
    source = only_where(source, choice.where)
    roles = find_roles(source, choice.columns, ("metric", "item", "seed"))
    if "seed" not in roles.columns and "item" in roles.columns:
        epochs = [column for column in source.frame.columns if plain(column) == "epoch"]
        roles = roles.having(seed=epochs[0]) if epochs else roles
    _refuse_unpaired(source, roles)
    source, roles, measured = _of_metric(source, roles, choice, metric)
    notes: list[str] = []
    if group is not None and group in source.frame:
        roles = roles.having(group=group)
    value = roles.columns["value"]
    numbers = numbers_in(source, value, decimal_sign(source, choice.decimal, [value]))
    frame = pd.DataFrame({"value": numbers.values})
    for role in ("seed", "item", "group"):
        if role in roles.columns:
            frame[role] = joined(source, roles.columns[role])
    if numbers.coded:
        notes.append(f"{value} was read as {numbers.coded}")
    _refuse_repeats(frame, source, roles)
    of_queries = plain(roles.columns.get("item", "")) in ("query_id", "qid", "query")
    means = _means(frame, of_queries=of_queries)
    if means.any():
        units = "queries" if of_queries else "items"
        notes.append(f"lines for all {units} are left out: {int(means.sum())} ({frame.loc[means, 'item'].iloc[0]})")
        source, frame = source.of(source.frame[~means.to_numpy()]), frame[~means].reset_index(drop=True)
    if not len(frame):
        raise TableError(f"{source.path}: {ONLY_MEANS}")
    frame, note = _with_values(frame, source, value, only_complete=choice.only_complete)
    return Run(name, frame, roles, measured, numbers.percent, (*source.notes, *notes, *note))


def _means(frame: pd.DataFrame, *, of_queries: bool) -> pd.Series:
    """Which rows hold a mean over the other items of their seed: named so and near it, or the line of all queries."""
    if "item" not in frame:
        return pd.Series(data=False, index=frame.index)
    named = frame["item"].str.lower().isin(MEANS)
    rest = frame[~named]
    if "seed" in frame:
        mean = frame["seed"].map(rest.groupby("seed")["value"].mean())
    else:
        mean = pd.Series(rest["value"].mean(), index=frame.index)
    near = (frame["value"] - mean).abs() <= ROUNDED * rest["value"].abs().max()
    return named & (near | ((frame["item"] == ALL) & of_queries))


def _refuse_unpaired(source: Source, roles: Roles) -> None:
    if "seed" in roles.columns or "item" in roles.columns:
        return
    names = {plain(name) for name in source.frame.columns}
    if names >= AGGREGATES:
        raise TableError(
            f"{source.path}: means by epoch, as sentence-transformers' evaluators write them, hold no values by item; "
            "keep the last line of each training run in one file with a column seed, or write values by query"
        )
    raise TableError(
        f"{source.path}: no column item or seed among {listed(source.frame.columns)}; rows are paired by them: name "
        "one with --columns item=NAME or --columns seed=NAME"
    )


def _of_metric(source: Source, roles: Roles, choice: Choice, metric: str | None) -> tuple[Source, Roles, str]:
    """The rows of the metric, its column and its name."""
    name = metric
    if "metric" in roles.columns and metric not in source.frame:
        column = roles.columns["metric"]
        there = list(source.frame[column].str.strip().drop_duplicates())
        if metric is None and len(there) > 1:
            which = shell(["--metric", str(there[0])])
            raise TableError(f"{source.path}: several metrics, {listed(there)}; say which with {which}")
        name = metric or there[0]
        source = only_where(source, [(column, name)])
    if metric is not None and "metric" not in roles.columns:
        refuse_two_values(source, choice)
        require(source, metric, f"--metric {metric}")
    if metric in source.frame:
        return source, roles.having(value=str(metric)), str(metric)
    value = choice.columns.get("value")
    if value is None:
        value = value_column(source, roles.columns.values())
    return source, roles.having(value=value), name or value


def _refuse_repeats(frame: pd.DataFrame, source: Source, roles: Roles) -> None:
    keys = [name for name in ("seed", "item") if name in frame]
    repeated = frame.duplicated(keys, keep=False)
    if not repeated.any():
        return
    first = frame.loc[repeated.idxmax()]
    same = repeated & (frame[keys] == first[keys]).all(axis=1)
    other = differing(source, same.to_numpy(), roles.columns.values())
    what = ", ".join(f"{name} {first[name]}" for name in keys)
    remedy = "leave one row for each"
    if other:
        value = source.frame[other[0]][same.to_numpy()].iloc[0]
        remedy = f"they differ in {listed(other, 4)}: keep some rows with {shell(['--where', f'{other[0]}={value}'])}"
        if "seed" not in keys and are_repetitions(source, other[0]):
            remedy += f", or name the repetitions with {shell(['--columns', f'seed={other[0]}'])}"
    elif "item" not in keys:
        remedy += ", or name the items with --columns item=NAME"
    raise TableError(f"{source.path}: {what} has {int(same.sum())} values; {remedy}")


def _with_values(
    frame: pd.DataFrame, source: Source, value: str, *, only_complete: bool
) -> tuple[pd.DataFrame, list[str]]:
    missing = np.isnan(frame["value"].to_numpy())
    if not missing.any():
        return frame, []
    count = int(missing.sum())
    if not only_complete:
        row = int(missing.argmax()) + 1
        more = f" (and {count - 1} more)" if count > 1 else ""
        raise TableError(
            f"{source.path}, row {row}{more}: {value} is empty; score what failed as failed, or leave such rows out "
            "with --only-common"
        )
    if missing.all():
        raise TableError(
            f"{source.path}: {value} has no value in any row; name another column with --columns value=NAME"
        )
    return frame[~missing].reset_index(drop=True), [f"{source.path.name}: rows without a value are left out: {count}"]

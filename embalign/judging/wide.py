"""Curves in wide form, turned into one row a value: a column for each seed, or a row for each seed and sizes above."""

import re

import pandas as pd

from embalign.errors import TableError
from embalign.judging.columns import INDEX, Roles, is_numeric, listed, measured, parts_of, plain
from embalign.judging.source import Source

REPEATED = r"(?:seed|run|rep|repeat|repetition|fold|split|trial|cv|replicate)"
OF_SEED = re.compile(rf"(?:^|_)({REPEATED}_?\d+)(?:_|$)")
# Columns that summarise seeds beside those of each.
OVER_SEEDS = re.compile(
    r"(?:^|_)(?:mean|avg|average|std|sd|stdev|stderr|sem|rank|median|min|max|ci|lower|upper)(?:_|$)"
)
SIZE = re.compile(r"(?:n|size|anchor|ratio)?[ =_]*(\d+(?:\.\d+)?(?:e\+?\d+)?)\s*(%?)", re.IGNORECASE)
REMEDY = "name the column with --columns n=NAME or --columns ratio=NAME"


def lengthen(source: Source, roles: Roles) -> tuple[Source, Roles]:
    """Return a table with a column of sizes and one of seeds, from one that lacks a column of either.

    A table that has both is returned as it is. Raises TableError where it is not clear what the columns are.
    """
    has_size = "n" in roles.columns or "ratio" in roles.columns
    if has_size and "seed" in roles.columns:
        return source, roles
    if not has_size:
        index = next((name for name in source.frame.columns[:1] if INDEX.fullmatch(name)), None)
        if index is not None and "seed" not in roles.columns:
            return _by_index(source, roles, index)
        return _sizes_above(source, roles)
    return _seeds_above(source, roles)


def _seed_and_metric(name: str) -> tuple[str, str] | None:
    """The seed that a column's name holds, and the metric that is left of it; None for another name."""
    if re.fullmatch(r"\d+(\.0)?", name.strip()):
        return name.strip().removesuffix(".0"), ""
    if match := OF_SEED.search(plain(name)):
        return match[1], plain(name).replace(match[1], "").strip("_").replace("__", "_")
    return None


def _seeds_above(source: Source, roles: Roles) -> tuple[Source, Roles]:
    """One column for each seed, possibly of several metrics: split0_test_score, split0_train_score."""
    values = measured(source, roles.columns.values())
    found = {name: both for name in values if (both := _seed_and_metric(name)) is not None}
    over_seeds = [name for name in values if OVER_SEEDS.search(plain(name))]
    rest = [name for name in values if name not in found and name not in over_seeds]
    if not found:
        raise TableError(f"{source.path}: no column seed; {_what_of(rest, over_seeds)}")
    if rest:
        words = f"{listed(found, 4)} look like one column a seed, and {listed(rest, 4)} do not"
        raise TableError(f"{source.path}: {words}; remove the others, or give one row a seed")
    sizes = [roles.columns[role] for role in ("n", "ratio") if role in roles.columns]
    kept = sizes + [name for name in source.frame.columns if name not in values and name not in sizes]
    columns = {"seed": "seed", "value": "value"}
    parts = [source.frame[kept].assign(seed=seed, value=source.frame[name]) for name, (seed, _) in found.items()]
    if "metric" not in roles.columns and any(metric for _, metric in found.values()):
        columns["metric"] = "metric"
        parts = [part.assign(metric=metric or "value") for part, (_, metric) in zip(parts, found.values(), strict=True)]
    left = f"; left out: {listed(over_seeds, 4)}" if over_seeds else ""
    return _long(source, parts, f"read as one column a seed: {listed(found, 6)}{left}"), roles.having(**columns)


def _what_of(values: list[str], over_seeds: list[str]) -> str:
    if over_seeds:
        return f"{listed(over_seeds, 4)} are over seeds, and a verdict needs each one: give one row for each seed"
    if len(values) < 2:
        return "add one that says which run each row is of, or name it with --columns seed=NAME"
    return (
        f"if {listed(values, 4)} are repetitions, rename them seed0, seed1, ...; if they are metrics, add a column "
        "seed or name it with --columns seed=NAME"
    )


def _sizes_above(source: Source, roles: Roles) -> tuple[Source, Roles]:
    """One row for each seed, and the sizes as names of the columns."""
    of_seed = parts_of(source, roles.columns.get("seed", ""))
    own = {*roles.columns.values(), *of_seed}
    names = [name for name in source.frame.columns if name not in own and not INDEX.fullmatch(name)]
    sizes = {name: match for name in names if (match := SIZE.fullmatch(name.strip()))}
    names = [name for name in names if name in sizes or not _one_text(source, name)]
    numbers = [float(match[1]) for match in sizes.values()]
    if len(sizes) < 2 or len(sizes) < len(names) or sorted(set(numbers)) != numbers or numbers[0] <= 0:
        columns = listed(source.frame.columns)
        raise TableError(f"{source.path}: no column n or ratio among {columns}; {REMEDY}")
    own_columns = {"seed": source.frame[of_seed].agg("/".join, axis=1) if of_seed else _row_numbers(source)}
    if "metric" in roles.columns:
        own_columns["metric"] = source.frame[roles.columns["metric"]]
    shares = all(match[2] for match in sizes.values()) or numbers[-1] <= 1
    role = "ratio" if shares else "n"
    texts = {name: f"{match[1]}{match[2]}" for name, match in sizes.items()}
    parts = [pd.DataFrame({role: texts[name], **own_columns, "value": source.frame[name]}) for name in sizes]
    note = f"read as one row a seed, sizes in the first line: {listed(sizes, 6)}"
    return _long(source, parts, note), Roles({name: name for name in (role, *own_columns, "value")})


def _by_index(source: Source, roles: Roles, index: str) -> tuple[Source, Roles]:
    """A frame of scores as pandas writes it: its index holds sizes and its columns are numbered, or the other way."""
    names = [name for name in source.frame.columns if name != index]
    rows, above = list(source.frame[index].str.strip()), [name.strip() for name in names]
    numbered = [cells == [str(place) for place in range(len(cells))] for cells in (rows, above)]
    numbered[1] |= not any(SIZE.fullmatch(name) for name in above) and any(_seed_and_metric(name) for name in above)
    if numbered == [True, True]:
        words = "neither the first column nor the first line says how much data there was"
        raise TableError(f"{source.path}: {words}; write sizes there, or a column n")
    if numbered[1] and all(SIZE.fullmatch(cell) for cell in rows):
        role = "n" if max(float(cell.strip("%")) for cell in rows if SIZE.fullmatch(cell)) > 1 else "ratio"
        renamed = source.of(source.frame.rename(columns={index: role}))
        return _seeds_above(renamed, roles.having(**{role: role}))
    return _sizes_above(source, roles)


def _one_text(source: Source, column: str) -> bool:
    """Whether a column holds the same text in every row, such as the part of the data that was chosen."""
    return source.frame[column].nunique() == 1 and not is_numeric(source, column)


def _row_numbers(source: Source) -> pd.Series:
    return source.frame.index.astype(str).to_series(index=source.frame.index)


def _long(source: Source, parts: list[pd.DataFrame], note: str) -> Source:
    return source.of(pd.concat(parts), note)

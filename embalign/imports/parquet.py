"""Parquet files: vectors in a column of lists, laid out beside the pair since pages are compressed; and texts.

Needs pyarrow, which is no dependency: few bring Parquet, and those have it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embalign.errors import VectorsError
from embalign.imports.stored import FEWEST_DIMENSIONS, ID_NAMES, Stored
from embalign.lazy import lazy
from embalign.readers import quoted, reading

ParquetFile = lazy("pyarrow.parquet").ParquetFile
types = lazy("pyarrow.types")

BLOCK = 4096  # rows
_REMEDY = "save it again with pandas or pyarrow"


def read_parquet(path: Path, name: str, staging: Path) -> Stored:
    """Return the vectors of a Parquet file: its one column of lists, or the one with that name, and its column of ids.

    Raises VectorsError, also where pyarrow is missing.
    """
    _check_there(path)
    with (
        reading(path, VectorsError, _REMEDY, "not a readable Parquet file"),
        ParquetFile(path, memory_map=True) as file,
    ):
        schema = {field.name: field.type for field in file.schema_arrow}
        name = name or _only_list(path, schema)
        if name not in schema:
            raise VectorsError(f"{path}: no column {quoted(name)}; it holds {_listed(schema)}")
        if not _is_list(schema[name]):
            raise VectorsError(f"{path}: column {quoted(name)} holds {schema[name]}, not lists of numbers")
        of_ids = next((each for each in schema if each.casefold() in ID_NAMES and _is_id(schema[each])), None)
        values, ids = _lay_out(
            file, name, of_ids, staging / f"column-{len(list(staging.iterdir()))}.npy", f"{path}:{name}"
        )
    kind = str(schema[name].value_type).replace("halffloat", "float16").replace("double", "float64")
    return Stored(path, name, {"float": "float32"}.get(kind, kind), values, ids=ids)


def text_columns(path: Path, names: Sequence[str]) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Return the columns of a Parquet file in lower case, and its rows as far as the columns have one of these names.

    Raises VectorsError where pyarrow is missing, and what pyarrow raises for a file that cannot be read.
    """
    _check_there(path)
    file = ParquetFile(path, memory_map=True)
    lower = {name.casefold(): name for name in file.schema_arrow.names}
    known = {name: lower[name] for name in names if name in lower}

    def rows() -> Iterator[dict[str, Any]]:
        with file:
            for batch in file.iter_batches(BLOCK, columns=list(known.values())):
                columns = [batch.column(name).to_pylist() for name in known.values()]
                yield from (dict(zip(known, cells, strict=True)) for cells in zip(*columns, strict=True))

    return list(lower), rows()


def _check_there(path: Path) -> None:
    try:
        ParquetFile.resolve()
    except ModuleNotFoundError:
        raise VectorsError(
            f"{path}: Parquet is read with pyarrow; install it: python3 -m pip install pyarrow"
        ) from None


def _lay_out(
    file: Any, name: str, of_ids: str | None, target: Path, shown: str
) -> tuple[np.memmap[Any, Any], list[str] | None]:
    """Write the column as an array and return it, mapped, with the ids."""
    count, start, ids = file.metadata.num_rows, 0, []
    if not count:
        raise VectorsError(f"{shown}: no rows; save one vector per text")
    values: np.memmap[Any, Any] | None = None
    for batch in file.iter_batches(BLOCK, columns=[name] if of_ids is None else [name, of_ids]):
        column = batch.column(name)
        lengths = np.asarray(column.value_lengths().fill_null(0))
        dimension = int(lengths[0]) if values is None else values.shape[1]
        if (odd := lengths != dimension).any() or dimension < FEWEST_DIMENSIONS:
            row = int(odd.argmax())
            raise VectorsError(
                f"{shown}: row {start + row} (from 0) has {lengths[row]} values and the first row {dimension}; each "
                f"vector needs the same number, at least {FEWEST_DIMENSIONS}"
            )
        block = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dimension)
        if values is None:
            values = np.lib.format.open_memmap(target, "w+", block.dtype, (count, dimension))
        values[start : start + len(block)] = block
        if of_ids is not None:
            ids += [str(value) for value in batch.column(of_ids).to_pylist()]
        start += len(block)
    assert values is not None
    values.flush()
    return values, ids if of_ids is not None else None


def _only_list(path: Path, schema: dict[str, Any]) -> str:
    found = [name for name, kind in schema.items() if _is_list(kind)]
    if not found:
        raise VectorsError(f"{path}: no column of lists of numbers; it holds {_listed(schema)}")
    if len(found) > 1:
        raise VectorsError(
            f"{path}: the columns {', '.join(map(quoted, found))} hold lists; name one: {path}:{found[0]}"
        )
    return found[0]


def _is_list(kind: Any) -> bool:
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and (types.is_floating(kind.value_type) or types.is_signed_integer(kind.value_type)))


def _is_id(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind))


def _listed(schema: dict[str, Any]) -> str:
    return ", ".join(f"{quoted(name)} ({kind})" for name, kind in list(schema.items())[:8])

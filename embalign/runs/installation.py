"""The installation that measured a cell: what its numbers depend on besides the cell and the pair.

Every measurement that comes from another process brings it along, and is stored only if it is that of the controlling
process. So a worker of another version may join at any time, and source may be edited during a run.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embalign.experiments.grid import Cell, Table
from embalign.lazy import Reference
from embalign.runs.source import package_digest, source_digest
from embalign.runs.store import library_versions

Installation = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What a process gives for a cell: a measurement or the error that it raised, and the installation behind it."""

    installation: Installation
    found: Any = None
    error: Exception | None = None
    worker: str = ""


def installation(table: Table, cell: Cell) -> Installation:
    """Return digests of the package and of the source behind a cell's functions, and the libraries' versions."""
    functions = (table.measure, *(value for _, value in cell.settings if isinstance(value, Reference)))
    return {"embalign": package_digest(), **{found.module: source_digest(found.module) for found in functions}} | (
        library_versions()
    )


def difference(theirs: object, ours: Installation) -> str:
    """Return in words how an installation differs from this process's, nothing if it does not."""
    if theirs == ours:
        return ""
    if not isinstance(theirs, Mapping):
        return "another embalign"
    for name, value in ours.items():
        if (other := theirs.get(name)) != value:
            digests = len(value) == 64
            return f"another source of {name}" if digests else f"{name} {other} instead of {value}"
    return "other libraries"


def answer(table: Table, cell: Cell, pair: Any, worker: str = "") -> Answer:
    """Measure a cell, if the pair can be had by calling `pair`, and say which installation did."""
    ours = installation(table, cell)
    try:
        return Answer(ours, found=table.run(pair(), cell), worker=worker)
    except Exception as error:
        return Answer(ours, error=noted(error), worker=worker)


def noted(error: Exception) -> Exception:
    """Return an error that is being handled with its traceback, which does not leave the process, as a note."""
    error.add_note(f"In the worker process:\n{traceback.format_exc()}")
    return error

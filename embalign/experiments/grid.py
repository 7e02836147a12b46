"""What an experiment declares: its tables, the grid of each, and the cells that follow. Imports nothing heavy."""

from __future__ import annotations

import itertools
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Value = str | int | float
Settings = dict[str, Value]
Row = dict[str, Value]

PROFILES = ("quick", "full", "gate")


def grid(**axes: Sequence[Value | Callable[..., Any]]) -> list[Settings]:
    """Return every combination of the axes' values, the last axis changing fastest.

    A function stands in the settings by its "module:function" name, which keys, workers and tables can carry. Raises
    ValueError for an axis without values or with one twice, and for a function that has no such name.

    >>> grid(policy=["random"], ratio=[0.1, 1.0])
    [{'policy': 'random', 'ratio': 0.1}, {'policy': 'random', 'ratio': 1.0}]
    """
    for axis, values in axes.items():
        if not values or len(set(values)) != len(values):
            raise ValueError(f"axis {axis!r} needs distinct values, found {list(values)}")
    named = [[_function_name(value) if callable(value) else value for value in values] for values in axes.values()]
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*named)]


def _function_name(function: Callable[..., Any]) -> str:
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    if module is None or "<" in name:
        raise ValueError(
            f"{function!r} has no name that a worker could import: define it with def at the top of a module"
        )
    return f"{module}:{name}"


@dataclass(frozen=True)
class Cell:
    """One setting of one table: all that `measure` needs besides the pair."""

    experiment: str
    table: str
    pair: str
    settings: tuple[tuple[str, Value], ...]
    seed: int

    def __getitem__(self, name: str) -> Any:
        return dict(self.settings)[name]

    @property
    def id(self) -> str:
        """Case id without '=', for instance ``ratio0.10-density-steps-seed03``."""
        settings = dict(self.settings)
        first = [
            f"{name}{_number(settings.pop(name), digits)}" for name, digits in _NUMBERS.items() if name in settings
        ]
        return "-".join([*first, *(str(value) for value in settings.values()), f"seed{self.seed:02d}"])

    @property
    def functions(self) -> list[str]:
        """The functions among the settings ("module:function"): source that the row depends on beside its measure."""
        return [value for _, value in self.settings if isinstance(value, str) and ":" in value]

    def identity(self) -> Row:
        """The columns that name this cell in its table."""
        return {"pair": self.pair, **dict(self.settings), "seed": self.seed}


_NUMBERS = {"ratio": 2, "lambda": 4}


def _number(value: Any, digits: int) -> str:
    """The number with so many digits, or all it has: no two cells may share an id."""
    short = f"{value:.{digits}f}"
    return short if float(short) == value else str(value)


@dataclass(frozen=True)
class Table:
    """One CSV of an experiment: `measure` ("module:function") turns a pair and a cell into a row of numbers.

    `gate` is the small grid of the merge gate; a table without one takes no part in it.
    """

    name: str
    measure: str
    quick: Sequence[Settings]
    full: Sequence[Settings] = ()
    gate: Sequence[Settings] = ()
    seeds: int | None = None

    def run(self, pair: Any, cell: Cell) -> Row:
        """Measure one cell on one thread: sums on several may differ in the last bit."""
        from threadpoolctl import threadpool_limits

        measure: Callable[[Any, Cell], Row] = pkgutil.resolve_name(self.measure)
        with threadpool_limits(1):
            return measure(pair, cell)


@dataclass(frozen=True)
class Experiment:
    """Tables measured over common seeds, and the report ("module:function") drawn from their rows."""

    name: str
    report: str
    tables: tuple[Table, ...]
    quick_seeds: int = 5
    full_seeds: int = 10
    gate_seeds: int = 7  # a loss of twice what matters is then seen in at least 95 %: docs/calibration/regression.md
    conclusion: str = ""  # "module:function" that writes the text of a promoted run

    def table(self, name: str) -> Table:
        """Return the table of that name."""
        return next(table for table in self.tables if table.name == name)

    def measures(self) -> dict[str, str]:
        """Return what measures each table ("module:function"), by the table's name."""
        return {table.name: table.measure for table in self.tables}

    def cells(self, pair: str, profile: str, seeds: int | None = None) -> list[Cell]:
        """Return the declared grid of one pair: a run is complete when every one of these has a row."""
        return [cell for table in self.tables for cell in self.table_cells(table, pair, profile, seeds)]

    def table_cells(self, table: Table, pair: str, profile: str, seeds: int | None = None) -> Iterable[Cell]:
        """Yield one table's cells, seed by seed."""
        usual = {"quick": self.quick_seeds, "full": self.full_seeds, "gate": self.gate_seeds}[profile]
        count = usual if seeds is None else seeds
        chosen = {"quick": table.quick, "full": table.full or table.quick, "gate": table.gate}[profile]
        for seed in range(min(count, table.seeds or count)):
            for settings in chosen:
                yield Cell(self.name, table.name, pair, tuple(settings.items()), seed)

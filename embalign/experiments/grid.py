"""What an experiment declares: its tables, the grid of each, and the cells that follow. Imports nothing heavy."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.device import CPU, using
from embalign.escaping import shell
from embalign.lazy import Reference, lazy, reference
from embalign.verdicts.metrics import CHECKED, smallest_effect

if TYPE_CHECKING:
    from embalign.evaluation.measurement import Measurement

Value = str | int | float | Reference
Settings = dict[str, Value]

# How many held-out queries may ask in each profile: one that is for a first look, and one that is for conclusions.
MOST_QUERIES = {"quick": 600, "full": 10_000, "regression": 10_000}
PROFILES = tuple(MOST_QUERIES)
FEWEST_SEEDS, MOST_SEEDS = 2, 1000  # a verdict compares seeds; beyond a thousand an interval hardly narrows
ALIASES = {"gate": "regression"}  # of a profile's name, from before the output-level gate had the word for itself

threadpool_limits = lazy("threadpoolctl").threadpool_limits


def grid(**axes: Sequence[Value | Callable[..., Any]]) -> list[Settings]:
    """Return every combination of the axes' values, the last axis changing fastest.

    A value is a string, a number, or a function, which is known by its name. Raises ValueError for an axis without
    values or with one twice, for two functions of one name, which would be one arm to every table, and for a function
    that has no name to import it by; TypeError for an axis that is no list and a value of another kind.

    >>> grid(policy=["random"], ratio=[0.1, 1.0])
    [{'policy': 'random', 'ratio': 0.1}, {'policy': 'random', 'ratio': 1.0}]
    """
    for axis, values in axes.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise TypeError(f"axis {axis!r} must be a list of values, found {values!r}; for one value: [{values!r}]")
    plain = {axis: [_plain(axis, value) for value in values] for axis, values in axes.items()}
    for axis, values in plain.items():
        if not values or not len(set(values)) == len({str(value) for value in values}) == len(values):
            raise ValueError(f"axis {axis!r} needs distinct values, found {list(values)}")
    return [dict(zip(plain, values, strict=True)) for values in itertools.product(*plain.values())]


def _check_names(table: str, profile: str, settings: Iterable[Settings]) -> None:
    """Raise TypeError for what is no grid, and ValueError for two values of one name: rows could not be told apart."""
    if not isinstance(settings, Sequence) or not all(isinstance(each, Mapping) for each in settings):
        raise TypeError(f"table {table!r}: {profile} must be what grid(...) returns, or a list of such dictionaries")
    known: dict[tuple[str, str], Value] = {}
    for axis, value in itertools.chain.from_iterable(each.items() for each in settings):
        if (other := known.setdefault((axis, str(value)), value)) != value:
            function = next(each for each in (value, other) if isinstance(each, Reference))
            raise ValueError(
                f"table {table!r}: two values of axis {axis!r} are named {str(value)!r}, one the function of "
                f"{function.module}; give the function another name"
            )


def _plain(axis: str, value: Value | Callable[..., Any]) -> Value:
    if type(value).__module__ == "numpy" and hasattr(value, "item"):  # a number of NumPy's own
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"axis {axis!r}: {value!r} is no value to measure at; give finite numbers")
    if isinstance(value, str | int | float):
        return value
    if not callable(value):
        raise TypeError(f"axis {axis!r}: {value!r} is no string, number or function")
    return reference(value)


@dataclass(frozen=True)
class Cell:
    """One setting of one table: all that a measuring function needs besides the pair.

    At most `queries` of the pair's held-out queries ask. `device` is where it is measured: ``cpu`` or ``cuda``.
    """

    experiment: str
    table: str
    pair: str
    settings: tuple[tuple[str, Value], ...]
    seed: int
    training: TrainingConfig = DEFAULT
    queries: int = MOST_QUERIES["full"]
    device: str = CPU

    def __getitem__(self, name: str) -> Any:
        return dict(self.settings)[name]

    @property
    def id(self) -> str:
        """Case id without '=', for instance ``ratio0.10-density-steps-seed03``."""
        settings = dict(self.settings)
        numbers = [(name, digits) for name, digits in _NUMBERS.items() if name in settings]
        first = [f"{name}{_number(settings.pop(name), digits)}" for name, digits in numbers]
        return "-".join([*first, *(str(value) for value in settings.values()), f"seed{self.seed:02d}"])

    def identity(self) -> dict[str, str | int | float]:
        """Return the columns that identify this cell in its table."""
        named = {name: str(value) if isinstance(value, Reference) else value for name, value in self.settings}
        return {"pair": self.pair, **named, "seed": self.seed}


_NUMBERS = {"ratio": 2, "lambda": 4}


def _number(value: Any, digits: int) -> str:
    """The number with so many digits, or all it has: no two cells may share an id."""
    short = f"{value:.{digits}f}"
    return short if float(short) == value else str(value)


@dataclass(frozen=True)
class Table:
    """One CSV of an experiment: `measure`, given as a function, turns a pair and a cell into a :class:`Measurement`.

    `regression` is the small grid of the regression check; a table without one takes no part in it. A table of
    `own_queries` is for pairs alone that have queries of their own. Raises ValueError for two values of one name.

    >>> def measure(pair, cell):
    ...     return Measurement({"value": cell["ratio"]})
    >>> Table("curve", measure, quick=grid(ratio=[0.1, 1.0])).quick
    [{'ratio': 0.1}, {'ratio': 1.0}]
    """

    name: str
    measure: Reference
    quick: Sequence[Settings]
    full: Sequence[Settings] = ()
    regression: Sequence[Settings] = ()
    seeds: int | None = None
    own_queries: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "measure", reference(self.measure))
        for profile in PROFILES:
            _check_names(self.name, profile, getattr(self, profile))

    def run(self, pair: Any, cell: Cell) -> Measurement:
        """Measure one cell on its device, and on one thread: sums on several may differ in the last bit.

        Raises DeviceError for a device that is not there.
        """
        asked = pair if pair is None else pair.asked_by(cell.queries)
        with threadpool_limits(1), using(cell.device):
            found: Measurement = self.measure(asked, cell)
        return found


@dataclass(frozen=True)
class Experiment:
    """Tables measured over common seeds, and the functions that write a report and a conclusion from them.

    `report(results, about, folder)` takes the :class:`~embalign.evaluation.results.Results` of each table by name and
    the provenance of the run, writes the artifacts into a folder and returns a one-line answer. With fewer seeds than
    `fewest_seeds` it could give no verdict, and a run is refused. The regression check acts on the metrics `checked`,
    which every cell that it compares has.

    >>> def report(results, about, folder):
    ...     return "no answer yet"
    >>> curve = Table("curve", measure=print, quick=grid(ratio=[0.1, 1.0]))
    >>> small = Experiment("small", report, (curve,), quick_seeds=2)
    >>> [cell.id for cell in small.cells("mypair", "quick")]
    ['ratio0.10-seed00', 'ratio1.00-seed00', 'ratio0.10-seed01', 'ratio1.00-seed01']
    """

    name: str
    report: Reference
    tables: tuple[Table, ...]
    quick_seeds: int = 5
    full_seeds: int = 10
    # With 7, a loss of twice what matters is seen in at least 95 %: docs/calibration/regression.md.
    regression_seeds: int = 7
    fewest_seeds: int = FEWEST_SEEDS
    conclusion: Reference | None = None
    training: TrainingConfig = DEFAULT
    checked: tuple[str, ...] = CHECKED

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"\w[\w-]*", self.name):
            raise ValueError(f"experiment {self.name!r} needs a name of letters, digits, _ and -, as -k can select it")
        if not isinstance(self.tables, Sequence) or not all(isinstance(each, Table) for each in self.tables):
            raise TypeError(f"experiment {self.name!r}: tables must be a tuple of Table, found {self.tables!r:.200}")
        for metric in self.checked:
            smallest_effect(metric)
        object.__setattr__(self, "tables", tuple(self.tables))
        object.__setattr__(self, "report", reference(self.report))
        if self.conclusion is not None:
            object.__setattr__(self, "conclusion", reference(self.conclusion))

    def table(self, name: str) -> Table:
        """Return the table of that name."""
        return next(table for table in self.tables if table.name == name)

    def measures(self) -> Mapping[str, Reference]:
        """Return what measures each table, by the table's name."""
        return {table.name: table.measure for table in self.tables}

    def cells(
        self, pair: str, profile: str, seeds: int | None = None, *, own_queries: bool = False, device: str = CPU
    ) -> list[Cell]:
        """Return the declared grid of one pair: a run is complete when every one of these has a row."""
        return [
            cell
            for table in self.tables
            for cell in self.table_cells(table, pair, profile, seeds, own_queries=own_queries, device=device)
        ]

    def table_cells(
        self,
        table: Table,
        pair: str,
        profile: str,
        seeds: int | None = None,
        *,
        own_queries: bool = False,
        device: str = CPU,
    ) -> Iterable[Cell]:
        """Yield one table's cells, seed by seed; none where a table needs queries of the pair's own."""
        if table.own_queries and not own_queries:
            return
        usual = {"quick": self.quick_seeds, "full": self.full_seeds, "regression": self.regression_seeds}[profile]
        count = usual if seeds is None else seeds
        chosen = {"quick": table.quick, "full": table.full or table.quick, "regression": table.regression}[profile]
        most = MOST_QUERIES[profile]
        for seed in range(min(count, table.seeds or count)):
            for settings in chosen:
                yield Cell(self.name, table.name, pair, tuple(settings.items()), seed, self.training, most, device)


def rerun_command(experiment: str, about: Mapping[str, Any]) -> str:
    """Return the command that measures the same grid again; a pair outside benchmark/ is named by its folder."""
    usual = f"benchmark/{about['pair']}"
    pair = about["pair"] if about.get("folder", usual) == usual else about["folder"]
    named = [f"--pair={pair}"] if pair.startswith("-") else ["--pair", pair]
    profile = [] if about["profile"] == "quick" else ["--profile", about["profile"]]
    seeds = ["--seeds", str(len(about["seeds"])), *(["--no-verdict"] if about.get("no_verdict") else [])]
    seeds += ["--results", "always"]
    kind = about.get("device", {}).get("kind", CPU)
    device = [] if kind == CPU else ["--device", kind]
    return shell(["pytest", "benchmark/", "-k", experiment, *named, *profile, *seeds, *device])

"""One experiment on one pair: the grid that was to be measured, what came of each cell, and how the run was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embalign.alignment.device import CPU
from embalign.evaluation.measurement import Failure, Outcome
from embalign.experiments.grid import Cell, Experiment
from embalign.lazy import lazy
from embalign.pairs.pair import Pair, load_pair, pair_digest

if TYPE_CHECKING:
    from embalign.evaluation.results import Results
    from embalign.runs.checkout import Checkout

collect = lazy("embalign.evaluation.results").collect


@dataclass(frozen=True, eq=False)
class Run:
    """A run of one experiment on the pair in `folder`.

    `outcomes` holds the cells that were measured, read from the store or tried in vain. `arguments` are the words after
    `pytest` on the command line.
    """

    experiment: Experiment
    folder: Path
    profile: str
    cells: Sequence[Cell]
    outcomes: Mapping[Cell, Outcome]
    root: Path
    checkout: Checkout
    arguments: Sequence[str] = ()
    reports_dir: Path | None = None
    digest: Callable[[], str] | None = None
    loaded: Callable[[], Pair] | None = None

    @property
    def pair(self) -> str:
        """The name of the pair."""
        return self.folder.name

    def load(self) -> Pair:
        """Return the pair: as `loaded` has it for whom has read it already."""
        return self.loaded() if self.loaded else load_pair(self.folder)

    @property
    def data_digest(self) -> str:
        """The SHA-256 over the pair's data, as `digest` has it for whom that is known already."""
        return self.digest() if self.digest else pair_digest(self.folder)

    @property
    def missing(self) -> list[Cell]:
        """The declared cells that nothing has come of."""
        return [cell for cell in self.cells if cell not in self.outcomes]

    @property
    def failed(self) -> list[Cell]:
        """The cells that could not be measured."""
        return [cell for cell, outcome in self.outcomes.items() if isinstance(outcome, Failure)]

    @property
    def complete(self) -> bool:
        """Whether every declared cell was measured."""
        return not self.missing and not self.failed

    @cached_property
    def state(self) -> Mapping[str, Any]:
        """The commit that the run was made from, and whether the tree differed from it at any time."""
        return self.checkout.state({measure.module for measure in self.experiment.measures().values()})

    def results(self) -> dict[str, Results]:
        """Return the results of each table with a grid, in the order of that grid: settings first, then seeds."""
        found = {}
        for table in self.experiment.tables:
            cells = [cell for cell in self.cells if cell.table == table.name]
            if not cells:
                continue
            place = {settings: i for i, settings in enumerate(dict.fromkeys(cell.settings for cell in cells))}
            present = [cell for cell in cells if cell in self.outcomes]
            present.sort(key=lambda cell: (place[cell.settings], cell.seed))
            found[table.name] = collect([(cell.identity(), self.outcomes[cell]) for cell in present])
        return found

    @property
    def device(self) -> str:
        """Where the cells are measured: ``cpu`` or ``cuda``."""
        return next((cell.device for cell in self.cells), CPU)

    def reports_base(self) -> Path:
        """Return the folder of all reports on the pair: those of a GPU are apart, so they replace none of the CPU's."""
        base = self.reports_dir / self.pair if self.reports_dir else self.folder / "reports"
        return base if self.device == CPU else base / self.device

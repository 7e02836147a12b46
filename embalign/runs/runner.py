"""What a session runs: its pairs, its store, its executor and the outcomes so far. Knows nothing of pytest."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path

from embalign.alignment.device import CPU
from embalign.durable import in_words
from embalign.embeddings.writing import sweep
from embalign.errors import CellFailedError, CorpusError, EmbalignError, NotStoredError, PairError, StoreError
from embalign.evaluation.measurement import Measurement, Outcome
from embalign.experiments.grid import Cell, Experiment, Table
from embalign.lazy import Reference, lazy
from embalign.pairs.config import find_pair, has_queries, read_config
from embalign.pairs.meaning import remarks
from embalign.pairs.pair import Pair, check_pair, load_pair, pair_digest
from embalign.pairs.provenance import is_embedded
from embalign.pairs.texts import read_texts
from embalign.runs.checkout import Checkout
from embalign.runs.cluster import DaskExecutor
from embalign.runs.executor import LocalExecutor
from embalign.runs.groups import GroupExecutor
from embalign.runs.run import Run
from embalign.runs.store import Store, cell_key

RESULTS = ("only-missing", "always", "only-cache")

fetch, cache = lazy("embalign.embeddings.fetch"), lazy("embalign.embeddings.cache")


@dataclass(frozen=True)
class Options:
    """What the user chose."""

    root: Path
    pairs: Sequence[str]
    profile: str = "quick"
    seeds: int | None = None
    no_verdict: bool = False
    results: str = "only-missing"
    reports_dir: Path | None = None
    workers: int = 0
    dask: str | None = None
    device: str = CPU
    refresh: bool = False
    regression: str = "off"
    update_baseline: bool = False
    promote: bool = False
    arguments: Sequence[str] = ()


class Runner:
    """State of a session. `outcomes` holds what it has measured, tried in vain, or read from the store.

    `experiments` are those collected, `selected` the names of those of which a case is to run; `unusable` is why no
    case can, if the pairs are at fault; `hint` what to select instead where nothing was. `missing` are the cells that
    had no stored measurement when the run began.
    `pair` gives a pair by its name, loaded on first use.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.store = Store(options.root / ".embalign" / "results.sqlite")
        self.checkout = Checkout(options.root)
        self.experiments: dict[str, Experiment] = {}
        self.outcomes: dict[Cell, Outcome] = {}
        self.selected: set[str] = set()
        self.unusable = self.hint = ""
        self.missing: set[Cell] = set()
        self._folders: dict[str, Path] = {}
        self.pair: Callable[[str], Pair] = functools.cache(lambda name: load_pair(self.folders()[name]))
        self._digest: Callable[[str], str] = functools.cache(lambda name: pair_digest(self.folders()[name]))
        self._executor: LocalExecutor | DaskExecutor | None = None
        self._futures: dict[Cell, Future[Measurement]] = {}

    def folders(self) -> dict[str, Path]:
        """Return the folder of each chosen pair by its name. Raises PairError."""
        if not self._folders:
            for name in self.options.pairs:
                folder = find_pair(name, self.options.root)
                read_config(folder)
                if self._folders.setdefault(folder.name, folder) != folder:
                    raise PairError(f"two pairs are named {folder.name!r}; rename one of the folders")
        return self._folders

    def embed(self, *, quiet: bool) -> None:
        """Fetch the embeddings of pairs that have none, or of all if they are to be refreshed; say what is odd.

        Raises SourceError, CacheError, PairError or CorpusError; sources and cache are imported only where something
        is fetched.
        """
        path = self.options.root / ".embalign" / "embeddings.sqlite"
        for folder in self.folders().values():
            sweep(folder)
            for line in () if quiet else remarks(read_texts(folder, read_config(folder))):
                print(f"{folder.name}: {line}", file=sys.stderr)
            if self.options.refresh or not is_embedded(folder):
                try:
                    with contextlib.closing(cache.VectorCache(path)) as vectors:
                        fetch.embed_pair(folder, vectors, refresh=self.options.refresh, quiet=quiet)
                except OSError as error:
                    raise PairError(f"{folder}: no embeddings were written or changed: {in_words(error)}") from None

    def names(self) -> list[str]:
        """Return the names of the chosen pairs, whether or not their folders can be used."""
        return list(dict.fromkeys(Path(name).name for name in self.options.pairs))

    def check(self) -> None:
        """Raise PairError or CorpusError for a pair whose files do not fit together."""
        for folder in self.folders().values():
            check_pair(folder)

    def look_up(self, cells: Iterable[tuple[Table, Cell]]) -> list[tuple[Table, Cell]]:
        """Return the cells that are to be measured, and note them as `missing`: none in a run that measures nothing."""
        found = []
        if self.options.results != "only-cache":
            found = [(table, cell) for table, cell in cells if self.stored(table, cell) is None]
        self.missing = {cell for _, cell in found}
        return found

    def start(self, cells: Iterable[tuple[Table, Cell]]) -> None:
        """Hand every cell without a stored measurement to the executor; without one, load their pairs.

        Raises ExecutorError, StoreError for a store that cannot be used, and PairError for vectors that cannot.
        """
        self.store.get("")
        missing = self.look_up(cells)
        if not missing:
            return
        if self.options.dask is None and not self.options.workers and self.options.device == CPU:
            for name in {cell.pair: None for _, cell in missing}:
                self.pair(name)
            return
        if self.options.dask is not None:
            self._executor = DaskExecutor(self.options.dask, self._source, missing[0])
            for name in {cell.pair: None for _, cell in missing}:
                self.pair(name)
        elif self.options.device != CPU:
            self._executor = GroupExecutor(max(1, self.options.workers), self._source, missing)
        else:
            self._executor = LocalExecutor(min(self.options.workers, len(missing)), self._source)
        for table, cell in missing:
            self._futures[cell] = self._executor.submit(table, cell)
            self._futures[cell].add_done_callback(functools.partial(self._keep, table.measure, cell))

    def measure(self, table: Table, cell: Cell, pair: Pair) -> Measurement:
        """Return a cell's measurement: from the store, from the executor, or made here on `pair`.

        Raises CellFailedError with the reason, NotStoredError in a run that measures nothing, or CorpusError or
        PairError for a pair of which no cell can be measured.
        """
        if cell not in self._futures and (found := self.stored(table, cell)) is not None:
            return found
        if self.options.results == "only-cache":
            raise NotStoredError("no stored row; run without --results only-cache to measure it")
        try:
            if cell in self._futures and self._executor is not None:
                return self._executor.result(self._futures[cell])
            return table.run(pair, cell)
        except CancelledError:
            raise CellFailedError("the cluster went away before the cell was finished") from None
        except (CorpusError, PairError):
            raise
        except EmbalignError as error:  # the grid goes on without the cell; any other error is a bug and stays loud
            raise CellFailedError(str(error)) from None

    def stored(self, table: Table, cell: Cell) -> Measurement | None:
        """Return the cell's measurement by an earlier run, unless every cell is to be measured again."""
        return None if self.options.results == "always" else self.store.get(self._key(table.measure, cell))

    def accept(self, measure: Reference, cell: Cell, outcome: Outcome) -> None:
        """Take the outcome of a case that has ended and was measured so; a measurement is on disk when this returns."""
        self.outcomes[cell] = outcome
        if isinstance(outcome, Measurement):
            self.store.put(self._key(measure, cell), outcome)

    def stop(self) -> None:
        """Drop the cells that have not finished and close the store."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        self.store.close()

    def no_verdict(self) -> str:
        """Return why no verdict can come of the selected experiments with the chosen number of seeds, or nothing."""
        seeds = self.options.seeds
        if seeds is None or self.options.no_verdict or self.options.results == "only-cache":
            return ""
        least = max((self.experiments[name].fewest_seeds for name in self.selected), default=0)
        if seeds >= least:
            return ""
        needing = [name for name in sorted(self.selected) if self.experiments[name].fewest_seeds == least]
        return (
            f"--seeds {seeds}: a verdict of {' and '.join(needing)} needs at least {least} seeds; give --seeds {least} "
            "or more, leave --seeds out, or add --no-verdict to measure without one"
        )

    def run_experiments(self) -> dict[str, Experiment]:
        """Return the experiments that this session is about: others are collected too, and their cases deselected."""
        names = self.selected | {cell.experiment for cell in self.outcomes}
        return {name: self.experiments[name] for name in sorted(names)}

    def runs(self) -> list[Run]:
        """Return the run of each experiment on each pair."""
        options = self.options
        return [
            Run(
                experiment=experiment,
                folder=folder,
                profile=options.profile,
                cells=experiment.cells(
                    pair, options.profile, options.seeds, own_queries=has_queries(folder), device=options.device
                ),
                outcomes={
                    cell: outcome
                    for cell, outcome in self.outcomes.items()
                    if (cell.experiment, cell.pair) == (name, pair)
                },
                root=options.root,
                checkout=self.checkout,
                arguments=options.arguments,
                reports_dir=options.reports_dir,
                digest=functools.partial(self._digest, pair),
                loaded=functools.partial(self.pair, pair),
            )
            for pair, folder in self.folders().items()
            for name, experiment in self.run_experiments().items()
        ]

    def _source(self, name: str) -> tuple[str, str]:
        return str(self.folders()[name]), self._digest(name)

    def _keep(self, measure: Reference, cell: Cell, future: Future[Measurement]) -> None:
        # A measurement is stored when it is finished, not when its case's turn comes: a kill in between must not lose
        # it. What cannot be stored now is tried again, and reported, when its case's turn comes.
        with contextlib.suppress(CancelledError, StoreError):
            if future.exception() is None:
                self.store.put(self._key(measure, cell), future.result())

    def _key(self, measure: Reference, cell: Cell) -> str:
        return cell_key(cell, measure, self._digest(cell.pair))

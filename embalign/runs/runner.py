"""One run of experiments: its pairs, its store, its executor and the rows it has so far. Knows nothing of pytest."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from pathlib import Path

from embalign.errors import (
    CacheError,
    CellError,
    CellFailedError,
    CorpusError,
    NotStoredError,
    PairError,
    SourceError,
    StoreError,
)
from embalign.experiments.grid import Cell, Experiment, Row, Table
from embalign.pairs.pair import Pair, check_pair, find_pair, load_pair, pair_digest, read_config
from embalign.runs.executor import CellExecutor, DaskExecutor, LocalExecutor
from embalign.runs.provenance import Checkout
from embalign.runs.store import Store, cell_key

RESULTS = ("only-missing", "always", "only-cache")


@dataclass(frozen=True)
class Options:
    """What the user chose."""

    root: Path
    pairs: Sequence[str]
    profile: str = "quick"
    seeds: int | None = None
    results: str = "only-missing"
    reports_dir: Path | None = None
    workers: int = 0
    dask: str | None = None
    refresh: bool = False
    regression: str = "off"
    update_baseline: bool = False
    promote: bool = False


class Session:
    """State of a run. `rows` holds what this run has measured or read from the store.

    `experiments` are those collected, `selected` the names of those of which a case is to run.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.store = Store(options.root / ".embalign" / "results.sqlite")
        self.experiments: dict[str, Experiment] = {}
        self.rows: dict[Cell, Row] = {}
        self.selected: set[str] = set()
        self._folders: dict[str, Path] = {}
        self._pairs: dict[str, Pair] = {}
        self._digests: dict[str, str] = {}
        self.checkout = Checkout(options.root)
        self._executor: CellExecutor | None = None
        self._futures: dict[Cell, Future[Row]] = {}

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
        """Fetch the embeddings of pairs that have none, or of all if they are to be refreshed.

        Raises PairError or CorpusError; sources and cache are imported only where something is fetched.
        """
        from embalign.embeddings.cache import VectorCache
        from embalign.embeddings.fetch import embed_pair, is_embedded

        for folder in self.folders().values():
            if self.options.refresh or not is_embedded(folder):
                cache = VectorCache(self.options.root / ".embalign" / "embeddings.sqlite")
                try:
                    embed_pair(folder, cache, refresh=self.options.refresh, quiet=quiet)
                except (SourceError, CacheError) as error:
                    raise PairError(str(error)) from None
                except OSError as error:
                    raise PairError(f"{folder}: {error}; no embeddings were written or changed") from None
                finally:
                    cache.close()

    def names(self) -> list[str]:
        """Return the names of the chosen pairs, whether or not their folders can be used."""
        return list(dict.fromkeys(Path(name).name for name in self.options.pairs))

    def check(self) -> None:
        """Raise PairError or CorpusError for a pair whose files do not fit together."""
        for folder in self.folders().values():
            check_pair(folder)

    def pair(self, name: str) -> Pair:
        """Return the loaded pair."""
        if name not in self._pairs:
            self._pairs[name] = load_pair(self.folders()[name])
        return self._pairs[name]

    def digest(self, name: str) -> str:
        """Return the pair's data digest."""
        if name not in self._digests:
            self._digests[name] = pair_digest(self.folders()[name])
        return self._digests[name]

    def start(self, cells: Iterable[tuple[Table, Cell]]) -> None:
        """Hand every cell that has no usable row to the executor, if there is one. Raises ExecutorError."""
        if self.options.results == "only-cache" or not (self.options.dask or self.options.workers):
            return
        missing = [(table, cell) for table, cell in cells if self.stored(table, cell) is None]
        if not missing:
            return
        if self.options.dask:
            self._executor = DaskExecutor(self.options.dask, self.pair)
        else:
            workers = min(self.options.workers, len(missing))
            self._executor = LocalExecutor(workers, lambda name: (str(self.folders()[name]), self.digest(name)))
        for table, cell in missing:
            self._futures[cell] = self._executor.submit(table, cell)
            self._futures[cell].add_done_callback(functools.partial(self._keep, table.measure, cell))

    def row(self, table: Table, cell: Cell) -> Row:
        """Return a cell's row: from the store, from the executor, or measured here.

        Raises CellFailedError with the reason, or NotStoredError in a run that measures nothing.
        """
        if cell not in self._futures and (found := self.stored(table, cell)) is not None:
            return found
        if self.options.results == "only-cache":
            raise NotStoredError("no stored row; run without --results only-cache to measure it")
        try:
            if cell in self._futures and self._executor is not None:
                return self._executor.result(self._futures[cell])
            return table.run(self.pair(cell.pair), cell)
        except CancelledError:
            raise CellFailedError("the cluster went away before the cell was finished") from None
        except Exception as error:
            if isinstance(error, expected_failures()):
                raise CellFailedError(str(error) or type(error).__name__) from None
            raise

    def stored(self, table: Table, cell: Cell) -> Row | None:
        """Return the cell's row from an earlier run, unless every cell is to be measured anew."""
        return None if self.options.results == "always" else self.store.get(self._key(table.measure, cell))

    def accept(self, measure: str, cell: Cell, row: Row) -> None:
        """Take the row of a case that has ended and was measured so; a measured row is on disk when this returns."""
        self.rows[cell] = row
        if row["status"] == "ok":
            kept = {name: value for name, value in row.items() if name != "status"}
            self.store.put(self._key(measure, cell), kept)

    def stop(self) -> None:
        """Drop the cells that have not finished and close the store."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        self.store.close()

    def run_experiments(self) -> dict[str, Experiment]:
        """Return the experiments that this run is about: others are collected too, and their cases deselected."""
        names = self.selected | {cell.experiment for cell in self.rows}
        return {name: self.experiments[name] for name in sorted(names)}

    def measured(self) -> Iterator[tuple[str, Experiment, dict[Cell, Row], list[Cell]]]:
        """Yield each pair and experiment of this run, with the rows there are and the cells there should be."""
        for pair in self.folders():
            for name, experiment in self.run_experiments().items():
                rows = {cell: row for cell, row in self.rows.items() if (cell.experiment, cell.pair) == (name, pair)}
                yield pair, experiment, rows, experiment.cells(pair, self.options.profile, self.options.seeds)

    def _keep(self, measure: str, cell: Cell, future: Future[Row]) -> None:
        # A row is stored when it is finished, not when its case's turn comes: a kill in between must not lose it. What
        # cannot be stored now is tried again, and told, when its case's turn comes.
        with contextlib.suppress(CancelledError, StoreError):
            if future.exception() is None:
                self.store.put(self._key(measure, cell), future.result())

    def _key(self, measure: str, cell: Cell) -> str:
        return cell_key(cell, measure, self.digest(cell.pair))


def expected_failures() -> tuple[type[Exception], ...]:
    """Return the errors that make a cell fail while the grid goes on; anything else is a bug and stays loud."""
    expected = (CellError, PairError, CorpusError)
    if "distributed" in sys.modules:
        from distributed.scheduler import KilledWorker

        return (*expected, KilledWorker)
    return expected

"""Executor of `--device cuda`: worker processes that measure many cells at once, so that their trainings meet.

A worker is given its share of all cells of a pair, in their order: cells of one seed share the most.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.runs.executor import LocalExecutor, accepted, died
from embalign.runs.installation import Answer
from embalign.runs.worker import Worker, WorkerDiedError

Asked = Sequence[tuple[Table, Cell]]


class GroupExecutor(LocalExecutor):
    """The same worker processes, each driven by a thread that gives it a group of cells.

    Cells that end are handed on at once. What a worker that dies has left is measured in two halves, each in a new
    process, and so on: the cell that it dies of fails alone.
    """

    def __init__(self, workers: int, source: Callable[[str], tuple[str, str]], cells: Asked) -> None:
        super().__init__(workers, source)
        self._futures: dict[Cell, Future[Measurement]] = {cell: Future() for _, cell in cells}
        for asked in groups(cells, workers):
            self._threads.submit(self._measure_group, asked, *source(asked[0][1].pair))

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Return the future of one of the cells."""
        return self._futures[cell]

    def shutdown(self) -> None:
        """Kill the workers at once; cells that have not finished are dropped."""
        super().shutdown()
        for future in self._futures.values():
            future.cancel()

    def _measure_group(self, asked: Asked, folder: str, digest: str) -> None:
        worker = self._idle.get()
        try:
            self._measure_on(worker, asked, folder, digest)
        except BaseException as error:  # of this process: the cells must not wait for ever
            for _, cell in asked:
                if not self._futures[cell].done():
                    self._futures[cell].set_exception(error)
        finally:
            self._idle.put(worker)

    def _measure_on(self, worker: Worker, asked: Asked, folder: str, digest: str, deaths: int = 0) -> None:
        left = dict(enumerate(asked))
        try:
            for number, found in worker.measure_together(asked, folder, digest):
                self._settle(*left.pop(number), found)
            return
        except WorkerDiedError as death:
            deaths += 1
            if len(left) == 1 and deaths > 1:
                ((_, cell),) = left.values()
                self._futures[cell].set_exception(died(death))
                return
        rest = list(left.values())
        half = max(1, len(rest) // 2)
        for some in (rest[:half], rest[half:]):
            if some:
                self._measure_on(worker, some, folder, digest, deaths)

    def _settle(self, table: Table, cell: Cell, found: Answer) -> None:
        try:
            measured = accepted(table, cell, found)
        except Exception as error:
            self._futures[cell].set_exception(error)
        else:
            self._futures[cell].set_result(measured)


def groups(cells: Asked, workers: int) -> list[Asked]:
    """Return the cells of each pair in as many parts as there are workers, in their order.

    >>> groups([], 2)
    []
    """
    found: list[Asked] = []
    for _, of_pair in itertools.groupby(sorted(cells, key=lambda each: each[1].pair), key=lambda each: each[1].pair):
        every = list(of_pair)
        size = math.ceil(len(every) / workers)
        found += [every[start : start + size] for start in range(0, len(every), size)]
    return found

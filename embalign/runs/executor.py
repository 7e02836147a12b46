"""Executors: where missing cells are measured. They speak `concurrent.futures` and are handed cells at collection end.

`--workers N` measures in processes on this machine; `--dask ADDRESS` sends cells to a cluster, see `runs/cluster.py`.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import LifoQueue
from typing import Any

from embalign.errors import ExecutorError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.runs.installation import Answer, difference, installation
from embalign.runs.worker import Worker, WorkerDiedError


class LocalExecutor:
    """Worker processes on this machine, each driven by a thread that gives it one cell at a time.

    So the cell that a worker dies of is known: it is tried once more in a new process, and fails if that one dies too.
    No other cell is touched.
    """

    def __init__(self, workers: int, source: Callable[[str], tuple[str, str]]) -> None:
        self._source = source
        self._workers = [Worker() for _ in range(workers)]
        self._idle: LifoQueue[Worker] = LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(workers)

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Queue a cell; it starts as soon as a worker is free."""
        return self._threads.submit(self._measure, table, cell, *self._source(cell.pair))

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's measurement. Raises what the cell raised, or CancelledError after `shutdown`."""
        return future.result()

    def shutdown(self) -> None:
        """Kill the workers at once; cells that have not finished are dropped."""
        for worker in self._workers:
            worker.stop()
        self._threads.shutdown(cancel_futures=True)

    def _measure(self, table: Table, cell: Cell, folder: str, digest: str) -> Any:
        worker = self._idle.get()
        try:
            found = None
            with contextlib.suppress(WorkerDiedError):
                found = worker.measure(table, cell, folder, digest)
            found = found or worker.measure(table, cell, folder, digest)
        except WorkerDiedError as death:
            raise died(death) from None
        finally:
            self._idle.put(worker)
        return accepted(table, cell, found)


def died(death: WorkerDiedError) -> ExecutorError:
    """Return the error of a cell whose worker has died a second time."""
    return ExecutorError(f"its worker process died 2 times, last {death}")


def accepted(table: Table, cell: Cell, found: Answer) -> Any:
    """Return a worker's measurement. Raises what the cell raised, and ExecutorError for another installation's."""
    if words := difference(found.installation, installation(table, cell)):
        raise ExecutorError(f"its worker process has {words}: it has changed since the run began; rerun the command")
    if found.error is not None:
        raise found.error
    return found.found

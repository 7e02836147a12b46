"""Executors: where missing cells are measured. Both speak `concurrent.futures` and are handed cells at collection end.

`--workers N` measures in processes on this machine; `--dask ADDRESS` sends cells to an existing Dask cluster whose
workers need not share a file system with the client: the pair travels by value under its content hash, once a worker.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from queue import SimpleQueue
from typing import Any, Protocol

from embalign.errors import ExecutorError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.lazy import lazy
from embalign.runs.source import package_digest
from embalign.runs.store import library_versions
from embalign.runs.worker import Worker, WorkerDiedError

client = lazy("distributed").Client
killed_worker = lazy("distributed.scheduler").KilledWorker
parse_address = lazy("distributed.comm.addressing").parse_address
get_backend = lazy("distributed.comm.registry").get_backend

LOOK_SECONDS = 1.0  # between two looks at whether the cluster is still there


class CellExecutor(Protocol):
    """What the session needs of an executor."""

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Start measuring a cell and return its future."""

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's row. Raises CancelledError for one that will not come, or what the cell raised."""

    def shutdown(self) -> None:
        """Stop at once; cells that have not finished are dropped."""


def measure_from_value(table: Table, cell: Cell, pair: Any) -> Measurement:
    """Measure a cell on a pair that was sent along."""
    return table.run(pair, cell)


def identify_installation() -> tuple[str, dict[str, str]]:
    """Return what a number depends on besides its cell and data: source and library versions."""
    return package_digest(), library_versions()


class LocalExecutor:
    """Worker processes on this machine, each driven by a thread that gives it one cell at a time.

    So the cell that a worker dies of is known: it is tried once more in a new process, and fails if that one dies too.
    No other cell is touched.
    """

    def __init__(self, workers: int, source: Callable[[str], tuple[str, str]]) -> None:
        self._source = source
        self._futures: list[Future[Measurement]] = []
        self._waiting: SimpleQueue[tuple[Future[Measurement], tuple[Any, ...]] | None] = SimpleQueue()
        self._workers = [Worker() for _ in range(workers)]
        self._threads = [threading.Thread(target=self._drive, args=(worker,), daemon=True) for worker in self._workers]
        for thread in self._threads:
            thread.start()

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Queue a cell; it starts as soon as a worker is free."""
        future: Future[Measurement] = Future()
        self._futures.append(future)
        self._waiting.put((future, (table, cell, *self._source(cell.pair))))
        return future

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's row."""
        return future.result()

    def shutdown(self) -> None:
        """Kill the workers; futures that have not finished are cancelled."""
        for future in self._futures:
            future.cancel()
        for worker in self._workers:
            worker.stop()
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout=5)

    def _drive(self, worker: Worker) -> None:
        while (job := self._waiting.get()) is not None:
            future, arguments = job
            try:
                settle = functools.partial(future.set_result, _measure(worker, arguments))
            except Exception as error:  # every error belongs to its cell; the thread goes on with the next
                settle = functools.partial(future.set_exception, error)
            if future.set_running_or_notify_cancel():  # only now: a future that is running cannot be cancelled
                settle()


def _measure(worker: Worker, arguments: tuple[Any, ...]) -> Any:
    with contextlib.suppress(WorkerDiedError):
        return worker.measure(*arguments)
    try:
        return worker.measure(*arguments)
    except WorkerDiedError as death:
        raise ExecutorError(f"its worker process died 2 times, last {death}") from None


class DaskExecutor:
    """An existing Dask cluster, reached through `distributed`."""

    def __init__(self, address: str, pair: Callable[[str], Any]) -> None:
        try:
            get_backend(parse_address(address)[0])  # a client for an unknown protocol cannot be cleaned up
            self._client = client(address, timeout=10, set_as_default=False)
        except ImportError:
            raise ExecutorError("--dask needs the package distributed; pip install 'embalign[dask]'") from None
        except (OSError, ValueError) as error:
            raise ExecutorError(f"--dask {address}: no scheduler answers there ({error})") from None
        self._check_workers()
        self._executor = self._client.get_executor(retries=1, pure=False)
        self._pair = functools.cache(lambda name: self._client.scatter(pair(name), hash=True))

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Send a cell; its pair is on the cluster once and moves to a worker when that needs it."""
        future: Future[Measurement] = self._executor.submit(measure_from_value, table, cell, self._pair(cell.pair))
        return future

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's row, as long as there is a cluster."""
        # A future whose result is under way when the scheduler dies may stay pending for ever.
        while not wait([future], timeout=LOOK_SECONDS).done:
            if self._client.status != "running":
                raise CancelledError
        try:
            return future.result()
        except killed_worker.resolve() as death:
            raise ExecutorError(str(death)) from None

    def shutdown(self) -> None:
        """Drop what has not finished and leave the cluster as it was."""
        with contextlib.suppress(OSError, RuntimeError):
            self._client.close(timeout=5)

    def _check_workers(self) -> None:
        ours = identify_installation()
        theirs = self._client.run(identify_installation)
        different = sorted(worker for worker, found in theirs.items() if found != ours)
        if different:
            raise ExecutorError(
                f"worker {different[0]} runs another embalign or other versions of its numerical libraries; install "
                "the same on every worker, or its numbers would not be this run's"
            )

"""Executors: where missing cells are measured. Both speak `concurrent.futures` and are handed cells at collection end.

`--workers N` measures in processes on this machine; `--dask ADDRESS` sends cells to an existing Dask cluster whose
workers need not share a file system with the client: the pair travels by value under its content hash, once a worker.
"""

import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from queue import LifoQueue
from typing import Any

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
            with contextlib.suppress(WorkerDiedError):
                return worker.measure(table, cell, folder, digest)
            return worker.measure(table, cell, folder, digest)
        except WorkerDiedError as death:
            raise ExecutorError(f"its worker process died 2 times, last {death}") from None
        finally:
            self._idle.put(worker)


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
        """Wait for a cell's measurement. Raises what the cell raised, or CancelledError where the cluster has gone."""
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

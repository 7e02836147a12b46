"""Executors: where missing cells are measured. Both speak `concurrent.futures` and are handed cells at collection end.

`--workers N` measures in loky processes on this machine; `--dask ADDRESS` sends cells to an existing Dask cluster whose
workers need not share a file system with the client: the pair travels by value under its content hash, once a worker.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path
from typing import Any, Protocol

from embalign.errors import ExecutorError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table

ATTEMPTS = 2
LOOK_SECONDS = 1.0  # between two looks at whether the cluster is still there


class CellExecutor(Protocol):
    """What the session needs of an executor."""

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Start measuring a cell and return its future."""

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's row. Raises CancelledError for one that will not come, or what the cell raised."""

    def shutdown(self) -> None:
        """Stop at once; cells that have not finished are dropped."""


def measure_from_folder(table: Table, cell: Cell, folder: str, digest: str) -> Measurement:
    """Measure a cell in a worker process, which loads the pair once."""
    return table.run(_pair_of(folder, digest), cell)


def measure_from_value(table: Table, cell: Cell, pair: Any) -> Measurement:
    """Measure a cell on a pair that was sent along."""
    return table.run(pair, cell)


def identify_installation() -> tuple[str, dict[str, str]]:
    """Return what a number depends on besides its cell and data: source and library versions."""
    from embalign.runs.source import package_digest
    from embalign.runs.store import library_versions

    return package_digest(), library_versions()


@functools.lru_cache(maxsize=2)
def _pair_of(folder: str, digest: str) -> Any:
    from embalign.pairs.pair import load_pair

    return load_pair(Path(folder))


def _prepare_worker(parent: int) -> None:
    # Ctrl-C reaches the whole process group; the controlling process alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def leave_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    # A controlling process that is killed cannot stop its workers, and they would wait for it forever.
    threading.Thread(target=leave_with_parent, daemon=True).start()


class LocalExecutor:
    """Worker processes on this machine.

    Only as many cells as workers are under way at a time, so when a worker dies the cells that may have killed it are
    known: they are tried once more, one at a time, and the one that kills its worker again is given up. No other cell
    is touched.
    """

    def __init__(self, workers: int, source: Callable[[str], tuple[str, str]]) -> None:
        self._workers = workers
        self._source = source
        self._waiting: deque[_Job] = deque()
        self._suspects: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._stopped = False
        self._pool: Any = None
        self._thread = threading.Thread(target=self._drive, name="embalign-executor", daemon=True)

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Queue a cell; it starts as soon as a worker is free."""
        job = _Job((table, cell, *self._source(cell.pair)))
        with self._wake:
            self._waiting.append(job)
            self._wake.notify()
        if not self._thread.is_alive() and not self._stopped:
            self._thread.start()
        return job.future

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's row; a worker that dies settles its cells' futures."""
        return future.result()

    def shutdown(self) -> None:
        """Kill the workers; futures that have not finished are cancelled."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        if self._pool is not None:
            self._pool.shutdown(wait=False, kill_workers=True)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _drive(self) -> None:
        running: dict[Future[Measurement], _Job] = {}
        while not self._stopped:
            self._start_jobs(running)
            if not running:
                with self._wake:
                    self._wake.wait_for(lambda: self._waiting or self._suspects or self._stopped)
                continue
            finished, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            for inner in finished:
                self._settle(running.pop(inner), inner)
        for job in [*running.values(), *self._waiting, *self._suspects]:
            job.future.cancel()

    def _start_jobs(self, running: dict[Future[Measurement], _Job]) -> None:
        with self._wake:
            suspect_runs = any(job.attempts > 1 for job in running.values())
            while len(running) < self._workers and not suspect_runs and not self._stopped:
                queue = self._suspects or self._waiting
                suspect_runs = bool(self._suspects)
                if not queue or (suspect_runs and running):
                    return
                job = queue.popleft()
                inner = self._send(job, running)
                if inner is None:
                    queue.appendleft(job)
                    return
                running[inner] = job

    def _send(self, job: _Job, running: dict[Future[Measurement], _Job]) -> Future[Measurement] | None:
        """Start a job, or return None if a worker has died since: what was running then settles first."""
        from loky import ProcessPoolExecutor
        from loky.process_executor import BrokenProcessPool

        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                max_workers=self._workers, initializer=_prepare_worker, initargs=(os.getpid(),)
            )
        try:
            inner: Future[Measurement] = self._pool.submit(measure_from_folder, *job.arguments)
        except BrokenProcessPool:
            if not running:
                self._pool = None
            return None
        job.attempts += 1
        return inner

    def _settle(self, job: _Job, inner: Future[Measurement]) -> None:
        from loky.process_executor import BrokenProcessPool

        if self._stopped:
            job.future.cancel()
            return
        error = inner.exception()
        if isinstance(error, BrokenProcessPool):
            self._pool = None
            if job.attempts < ATTEMPTS:
                self._suspects.append(job)
                return
            error = ExecutorError(
                f"its worker process died {job.attempts} times, last with: {str(error).splitlines()[0]}"
            )
        if error is None:
            job.future.set_result(inner.result())
        else:
            job.future.set_exception(error)


class _Job:
    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments
        self.attempts = 0
        self.future: Future[Measurement] = Future()


class DaskExecutor:
    """An existing Dask cluster, reached through `distributed`."""

    def __init__(self, address: str, pair: Callable[[str], Any]) -> None:
        try:
            from distributed import Client
            from distributed.comm.addressing import parse_address
            from distributed.comm.registry import get_backend
        except ImportError:
            raise ExecutorError("--dask needs the package distributed: pip install 'embalign[dask]'") from None
        try:
            get_backend(parse_address(address)[0])  # a client for an unknown protocol cannot be cleaned up
            self._client = Client(address, timeout=10, set_as_default=False)
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
        return future.result()

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

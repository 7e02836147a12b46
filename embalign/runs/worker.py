"""A worker process: it measures what it is given, loads a pair once, and does not outlive the controlling process.

It is given one cell at a time, or several to be measured together: their trainings meet, and are done as one.

Workers share no queue and no lock, as those of a pool do. There, a worker that is killed at the wrong moment stops the
others, or its cell is never heard of again.
"""

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from embalign.experiments.grid import Cell, Table
from embalign.lazy import lazy
from embalign.pairs.pair import Pair, load_pair
from embalign.runs.installation import Answer, answer, noted

run_together = lazy("embalign.alignment.meeting").run_together
threadpool_limits = lazy("threadpoolctl").threadpool_limits


class WorkerDiedError(RuntimeError):
    """A process that ended while it measured; the message says how."""


class Worker:
    """A process that starts with the first cell and is replaced after it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._process: BaseProcess | None = None
        self._pipe: Connection

    def measure(self, table: Table, cell: Cell, folder: str, digest: str) -> Answer:
        """Return what the cell gives or raised. Raises WorkerDiedError, or CancelledError after `stop`."""
        ((_, found),) = self.measure_together([(table, cell)], folder, digest)
        return found

    def measure_together(
        self, asked: Sequence[tuple[Table, Cell]], folder: str, digest: str
    ) -> Iterator[tuple[int, Answer]]:
        """Yield the number of each cell of one pair, and what it gives or raised, as it ends.

        Raises as `measure` does.
        """
        process = self._start()
        try:
            self._pipe.send((asked, folder, digest))
            for _ in asked:
                yield self._pipe.recv()
        except (EOFError, ConnectionError):  # the process had the only other end of the pipe
            process.join()
            self._process = None
            code = process.exitcode or 0
            how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            raise WorkerDiedError(how) from None

    def stop(self) -> None:
        """Kill the process, for good."""
        with self._lock:
            self._stopped = True
            if (process := self._process) is not None:
                process.kill()

    def _start(self) -> BaseProcess:
        with self._lock:
            if self._stopped:
                raise CancelledError
            if self._process is None:
                context = multiprocessing.get_context("spawn")  # a fork would copy locks that threads hold
                self._pipe, theirs = context.Pipe()
                with theirs:
                    process = context.Process(target=_measure_what_comes, args=(theirs,), daemon=True)
                    process.start()
                self._process = process
            return self._process


def _measure_what_comes(pipe: Connection) -> None:
    # Ctrl-C reaches the whole process group; the controlling process alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError):
        while True:
            asked, folder, digest = pipe.recv()
            for number, found in answers(asked, functools.partial(_pair_of, folder, digest)):
                try:
                    pipe.send((number, found))
                except Exception as error:  # what was measured cannot be pickled
                    pipe.send((number, dataclasses.replace(found, found=None, error=noted(error))))


def answers(asked: Sequence[tuple[Table, Cell]], pair: Callable[[], Pair]) -> Iterator[tuple[int, Answer]]:
    """Yield the number of each cell and its answer as it ends; of several, the trainings are done together."""
    if len(asked) == 1:
        yield 0, answer(*asked[0], pair)
        return
    with threadpool_limits(1):  # not of each cell: the first that ends would lift it for the others
        for number, ended in run_together([functools.partial(answer, *each, pair) for each in asked]):
            yield number, ended.result()


def _leave_with_parent() -> None:
    # A controlling process that is killed cannot stop its workers, and they would measure on for nobody.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@functools.lru_cache(maxsize=2)
def _pair_of(folder: str, digest: str) -> Pair:
    return load_pair(Path(folder))

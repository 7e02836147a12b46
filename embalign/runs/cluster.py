"""Measure on an existing Dask cluster whose workers need not share a file system with the client.

A pair travels as its path and what its files hold; a worker that does not see them is sent them in chunks, see
`runs/sent_pair.py`. Workers may join and leave: what each measures is taken only if its installation is this one.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from pathlib import Path
from typing import Any

from embalign.errors import EmbalignError, ExecutorError
from embalign.escaping import one_line
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.lazy import lazy
from embalign.runs.installation import Answer, answer, difference, installation
from embalign.runs.sent_pair import SentPair, chunk_of, describe, pair_of, take_chunk

client = lazy("distributed").Client
get_worker = lazy("distributed").get_worker
killed_worker = lazy("distributed.scheduler").KilledWorker
parse_address = lazy("distributed.comm.addressing").parse_address
get_backend = lazy("distributed.comm.registry").get_backend
host_and_port = lazy("distributed.comm.addressing").get_address_host_port

CONNECT_SECONDS = 10
FIRST_WORKER_SECONDS = 10  # for a cluster that is just starting
LOOK_SECONDS = 1.0  # between two looks at whether the cluster is still there
WITHOUT_WORKER_SECONDS = 120  # for workers that are started again
TRIES = 3  # of a cell, on workers that are not this installation
CHUNKS_AT_ONCE = 4  # under way to workers, so that the memory of client and scheduler does not grow with their number
SAME = "install the same embalign and libraries on every worker"
CERTIFICATES = (
    "name the cluster's certificates in DASK_DISTRIBUTED__COMM__TLS__CA_FILE, __CLIENT__CERT and __CLIENT__KEY"
)


def measure_sent(table: Table, cell: Cell, sent: SentPair) -> Answer:
    """Measure a cell on a pair that this worker sees or is sent."""
    return answer(table, cell, lambda: pair_of(sent), get_worker().address)


class DaskExecutor:
    """An existing Dask cluster, reached through `distributed`."""

    def __init__(self, address: str, source: Callable[[str], tuple[str, str]], sample: tuple[Table, Cell]) -> None:
        """Connect, and compare the installations of the workers that are there for a `sample` of what is measured.

        `source` gives folder and `pair_digest` of a pair by its name.
        Raises ExecutorError where there is no cluster, no worker, or one of another installation.
        """
        self._address = address
        self._client = self._connect()
        try:
            self._same = self._check_workers(*sample)
        except ExecutorError:
            self.shutdown()
            raise
        self._executor = self._client.get_executor(retries=1, pure=False)
        self._source = source
        self._described = functools.cache(self._describe)
        self._sent: dict[str, SentPair] = {}  # by their folder
        self._topic = f"embalign-{self._client.id}"
        self._few = asyncio.Semaphore(CHUNKS_AT_ONCE)
        self._client.subscribe_topic(self._topic, self._asked)
        self._seen = time.monotonic()

    def submit(self, table: Table, cell: Cell) -> Future[Measurement]:
        """Send a cell and what its pair is; a worker comes by the pair when it needs it. Raises ExecutorError.

        The future holds a measurement of this installation, what the cell raised, or ExecutorError.
        """
        future: Future[Measurement] = Future()
        try:
            words = (table, cell, self._described(cell.pair))
            sent = self._executor.submit(measure_sent, *words)
        except EmbalignError:
            raise
        except Exception as error:  # whatever the connection, the serialisation or the cluster raises
            raise self._error(f"cells cannot be sent to the cluster ({_words(error)})") from None
        sent.add_done_callback(functools.partial(self._take, future, words, 1))
        return future

    def result(self, future: Future[Measurement]) -> Measurement:
        """Wait for a cell's measurement. Raises what the cell raised, or CancelledError where the cluster has gone."""
        # A future whose result is under way when the scheduler dies may stay pending for ever.
        while not wait([future], timeout=LOOK_SECONDS).done:
            if self._client.status != "running":
                raise CancelledError
            if self._has_workers():
                self._seen = time.monotonic()
            elif time.monotonic() - self._seen > WITHOUT_WORKER_SECONDS:
                raise self._error(f"no worker has been connected for {WITHOUT_WORKER_SECONDS} s")
        return future.result()

    def shutdown(self) -> None:
        """Drop what has not finished and leave the cluster as it was."""
        with contextlib.suppress(OSError, RuntimeError):
            self._client.close(timeout=5)

    def _describe(self, name: str) -> SentPair:
        folder, digest = self._source(name)
        sent = describe(Path(folder), digest, self._topic)
        return self._sent.setdefault(sent.folder, sent)

    def _asked(self, event: tuple[float, dict[str, Any]]) -> None:
        self._client.loop.add_callback(self._send_chunk, event[1])  # not here: answers of workers wait meanwhile

    async def _send_chunk(self, request: dict[str, Any]) -> None:
        """Send what a worker asks for; one that has gone meanwhile, or a cluster that has, is noticed elsewhere."""
        async with self._few:
            sent = self._sent[request["pair"]]
            chunk = await asyncio.to_thread(chunk_of, sent, request["file"], request["start"])
            with contextlib.suppress(Exception):
                await self._client.run(
                    take_chunk, request["ticket"], chunk, workers=[request["worker"]], on_error="ignore"
                )

    def _connect(self) -> Any:
        try:
            client.resolve()
        except ImportError:
            raise ExecutorError("--dask needs the package distributed; pip install 'embalign[dask]'") from None
        tls = self._address.startswith("tls:")
        try:
            get_backend(parse_address(self._address)[0])  # a client for an unknown protocol cannot be cleaned up
            if (port := host_and_port(self._address)[1] or 1) > 65535:
                raise ValueError(f"no port {port}")
            return client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
        except OSError as error:
            raise self._error(
                f"no scheduler answers there ({_words(error)}){'; ' + CERTIFICATES if tls else ''}"
            ) from None
        except Exception as error:  # each protocol has its own: of addresses, certificates, libraries that are missing
            remedy = CERTIFICATES if tls else "an address looks like tcp://host:8786"
            raise self._error(f"no such scheduler ({_words(error)}); {remedy}") from None

    def _check_workers(self, table: Table, cell: Cell) -> set[str]:
        """The workers that are there, all of this installation."""
        ours = installation(table, cell)
        try:
            self._client.wait_for_workers(1, timeout=FIRST_WORKER_SECONDS)
            theirs = self._client.run(installation, table, cell, on_error="return")
        except TimeoutError:
            raise self._error(f"no worker is connected: start dask worker {self._address}") from None
        except Exception as error:  # as a worker gives it that cannot even look for the function
            raise self._error(_of_missing("a worker", error)) from None
        for worker, found in sorted(theirs.items()):
            if isinstance(found, Exception):
                raise self._error(_of_missing(f"worker {worker}", found))
            if words := difference(found, ours):
                raise self._error(f"worker {worker} has {words}; {SAME}, or its numbers would not be this run's")
        return set(theirs)

    def _take(self, future: Future[Measurement], words: tuple[Any, ...], tries: int, sent: Future[Answer]) -> None:
        """Hand on an answer of this installation; send the cell once more where it is another's."""
        if sent.cancelled():
            future.cancel()
            future.set_running_or_notify_cancel()
            return
        error = sent.exception()
        if isinstance(error, killed_worker.resolve()):
            future.set_exception(ExecutorError(one_line(error)))
            return
        if error is None:
            found = sent.result()
            reason = difference(getattr(found, "installation", None), installation(*words[:2]))
            if not reason and found.error is None:
                self._same.add(found.worker)
                future.set_result(found.found)
                return
            if not reason:
                future.set_exception(found.error)
                return
            reason = f"a worker that joined has {reason}; {SAME}"
        else:
            reason = _of_missing("a worker", error)
        if tries == TRIES:
            future.set_exception(self._error(f"not measured: {reason}"))
            return
        try:  # loosely, for workers may have gone
            known = self._client.get_executor(
                retries=1, pure=False, workers=sorted(self._same), allow_other_workers=True
            )
            again = known.submit(measure_sent, *words)
        except Exception as failed:
            future.set_exception(self._error(f"not measured: {reason} ({_words(failed)})"))
            return
        again.add_done_callback(functools.partial(self._take, future, words, tries + 1))

    def _has_workers(self) -> bool:
        with contextlib.suppress(Exception):  # a scheduler that is busy or just dying; its end is seen by the status
            return bool(self._client.scheduler_info()["workers"])
        return True

    def _error(self, words: str) -> ExecutorError:
        return ExecutorError(f"--dask {self._address}: {words}")


def _of_missing(worker: str, error: BaseException) -> str:
    if "No module named" in str(error):
        if "'embalign'" in str(error):
            return f"{worker} has no embalign; pip install embalign on every worker"
        return f"{worker} lacks a module ({_words(error)}); {SAME}, and the modules of your own measures"
    return f"{worker} cannot measure ({_words(error)}); {SAME}"


def _words(error: BaseException) -> str:
    return one_line(f"{type(error).__name__}: {error}", 200)

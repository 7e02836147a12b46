"""Work that meets: calls take turns, and what they ask for meanwhile is done together.

:func:`run_together` gives each call a thread, but one thread runs at a time: it goes on until its call ends or asks for
a job. When every call waits, jobs of one group are done as one, equal jobs once, and the calls go on. So functions that
train one map train many at once, unchanged, and need no locks. Outside, a job is done when it is asked for.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from embalign.alignment.device import chosen
from embalign.pairs import Vectors
from embalign.pairs.picked import Picked, is_mapped, pick

AT_ONCE = 64  # calls that have begun and not ended

P = ParamSpec("P")
T = TypeVar("T")


class Job(Protocol):
    """What can be done together with others."""

    @property
    def group(self) -> Hashable:
        """What jobs have in common that can be done together."""

    @property
    def name(self) -> Hashable:
        """What tells a job from others of its group."""

    @property
    def most(self) -> int:
        """How many can be done at once."""


Together = Callable[[Sequence[Any]], Sequence[Any]]  # jobs to the result of each, or the exception that it raises


def ask(job: Job, together: Together) -> Any:
    """Return what a job gives, or raise what it raises; in a meeting it is done with others of its group."""
    turn = _turn.get()
    if turn is None:
        (found,) = together([job])
    else:
        found = turn.wait_for(job, together)
    if isinstance(found, BaseException):
        raise found
    return found


def shared(vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Return `vectors[rows]` (n, d): in a meeting without a copy, so that jobs find what they share."""
    if _turn.get() is None or is_mapped(vectors):
        return pick(vectors, rows)
    return cast("Vectors", Picked(vectors, np.asarray(rows)))


def memo(maxsize: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator like functools.lru_cache that keeps devices apart; calls that meet wait for one another."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.lru_cache(maxsize)
        def promise(device: str, *args: Any, **named: Any) -> _Promise:
            return _Promise()

        @functools.wraps(function)
        def remembered(*args: P.args, **named: P.kwargs) -> T:
            held = promise(chosen(), *cast(Any, args), **cast(Any, named))
            if (turn := _turn.get()) is not None:
                turn.wait_until(lambda: not held.begun)
            if not held.kept:
                held.begun = True
                try:
                    held.value = function(*args, **named)
                    held.kept = True
                finally:
                    held.begun = False
            return cast("T", held.value)

        return remembered

    return decorate


class _Promise:
    begun = kept = False
    value: Any = None


def run_together(calls: Iterable[Callable[[], T]], at_once: int = AT_ONCE) -> Iterator[tuple[int, Future[T]]]:
    """Yield the number of each call, from 0, and its future as it ends; at most `at_once` have begun and not ended.

    A call that raises ends alone. Calls that have not ended when the iterator is closed are stopped where they wait.
    """
    waiting, turns = enumerate(calls), list[_Turn]()
    try:
        while True:
            for turn in list(turns):
                if turn.ready():
                    turn.go_on()
                    if turn.future.done():
                        turns.remove(turn)
                        yield turn.number, turn.future
            while len(turns) < at_once and (following := next(waiting, None)) is not None:
                turn = _Turn(*following)
                turn.go_on()
                if turn.future.done():
                    yield turn.number, turn.future
                else:
                    turns.append(turn)
            if not turns:
                return
            if not any(turn.ready() for turn in turns):
                _do_jobs(turns)
    finally:
        for turn in turns:
            turn.stop()


def _do_jobs(turns: Sequence[_Turn]) -> None:
    """Do the jobs of the largest group that is waited for."""
    groups: dict[Hashable, dict[Hashable, list[_Turn]]] = {}
    for turn in turns:
        if turn.asked is not None:
            job, together = turn.asked
            groups.setdefault((together, job.group), {}).setdefault(job.name, []).append(turn)
    chosen_ones = list(max(groups.values(), key=len).values())
    job, together = cast("tuple[Job, Together]", chosen_ones[0][0].asked)
    chosen_ones = chosen_ones[: max(1, job.most)]
    jobs = [cast("tuple[Job, Together]", equal[0].asked)[0] for equal in chosen_ones]
    for equal, found in zip(chosen_ones, together(jobs), strict=True):
        for turn in equal:
            turn.asked, turn.answer = None, found


class _Stopped(BaseException):
    """Ends a call where it waits."""


class _Turn:
    """A call in a thread that runs while whoever called `go_on` waits, and the other way round."""

    def __init__(self, number: int, call: Callable[[], Any]) -> None:
        self.number, self.future = number, Future[Any]()
        self.asked: tuple[Job, Together] | None = None
        self.answer: Any = None
        self.ready: Callable[[], bool] = lambda: True
        self._call, self._stopped = call, False
        self._mine, self._others = threading.Semaphore(0), threading.Semaphore(0)
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Let the call run until it waits or has ended."""
        self._mine.release()
        self._others.acquire()

    def stop(self) -> None:
        """End the call where it waits."""
        self._stopped = True
        self.go_on()

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Let others run until something holds; called by the call itself."""
        while not ready():
            self.ready = ready
            self._others.release()
            self._mine.acquire()
            if self._stopped:
                raise _Stopped
        self.ready = lambda: True

    def wait_for(self, job: Job, together: Together) -> Any:
        """Return what a job gives, done with those of others; called by the call itself."""
        self.asked = job, together
        self.wait_until(lambda: self.asked is None)
        return self.answer

    def _run(self) -> None:
        self._mine.acquire()
        _turn.set(self)
        try:
            self.future.set_result(self._call())
        except BaseException as error:
            self.future.set_exception(error)
        self._others.release()


_turn: contextvars.ContextVar[_Turn | None] = contextvars.ContextVar("turn", default=None)

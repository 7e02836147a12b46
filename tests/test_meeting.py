"""Calls that take turns: what they ask for is done together, and one that fails stops no other."""

import dataclasses
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import light
import numpy as np
import pytest
from pair_folders import ROOT

from embalign.alignment import training
from embalign.alignment.config import TrainingConfig
from embalign.alignment.device import using
from embalign.alignment.meeting import ask, memo, run_together, shared
from embalign.errors import ExecutorError, SelectionError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.elbow import cells as elbow
from embalign.experiments.grid import Cell, Experiment, Table, grid
from embalign.pairs.config import find_pair
from embalign.pairs.pair import load_pair, pair_digest
from embalign.pairs.picked import Picked
from embalign.runs.groups import GroupExecutor, groups

SHORT = TrainingConfig(steps=70, passes=0.1)


@dataclasses.dataclass(frozen=True)
class Square:
    """A job: the square of a number; those of one sign are a group, and none is done of 13."""

    number: int
    most: int = 4

    @property
    def group(self):
        return self.number > 0

    @property
    def name(self):
        return self.number


def squares(done):
    def together(jobs):
        done.append([job.number for job in jobs])
        return [ValueError("13") if job.number == 13 else job.number**2 for job in jobs]

    return together


def results(calls, **more):
    return dict(run_together(calls, **more))


def test_jobs_of_a_group_are_done_together_and_equal_ones_once():
    done = []
    together = squares(done)
    numbers = [1, 2, -5, 2, 3, -6, 1, 4, 5]
    found = results([functools.partial(ask, Square(number), together) for number in numbers])
    assert [found[i].result() for i in range(len(numbers))] == [number**2 for number in numbers]
    assert done == [[1, 2, 3, 4], [-5, -6], [5]]


def test_outside_a_meeting_a_job_is_done_at_once():
    done = []
    assert ask(Square(3), squares(done)) == 9
    assert done == [[3]]
    with pytest.raises(ValueError, match="13"):
        ask(Square(13), squares(done))


def test_one_call_runs_at_a_time_and_no_more_begin_than_asked_for():
    running, begun, most_begun, together = [], [], [], squares([])

    def call(number):
        begun.append(number)
        most_begun.append(len(begun))
        for step in range(3):
            running.append(number)
            assert running == [number]
            running.remove(number)
            ask(Square(number * 10 + step), together)
        begun.remove(number)
        return number

    found = results([functools.partial(call, number) for number in range(1, 12)], at_once=4)
    assert {number: future.result() for number, future in found.items()} == {i: i + 1 for i in range(11)}
    assert max(most_begun) == 4


def test_a_call_that_fails_before_or_after_its_job_stops_no_other():
    together = squares([])

    def call(number):
        if number == 1:
            raise SelectionError("before")
        value = ask(Square(number), together)
        if number == 2:
            raise KeyError("after")
        return value

    found = results([functools.partial(call, number) for number in (1, 2, 13, 4, 5)])
    assert [type(found[i].exception()) for i in range(3)] == [SelectionError, KeyError, ValueError]
    assert (found[3].result(), found[4].result()) == (16, 25)


def test_a_job_that_cannot_be_done_ends_the_meeting_and_every_thread():
    ended = []

    def broken(jobs):
        raise RuntimeError("no machine")

    def call(number):
        try:
            return ask(Square(number), broken)
        finally:
            ended.append(number)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no machine"):
        results([functools.partial(call, number) for number in (1, 2, 3)])
    assert sorted(ended) == [1, 2, 3]
    assert threading.active_count() == before


def test_closing_the_meeting_stops_calls_where_they_wait():
    ended, together = [], squares([])

    def call(number):
        if number == 0:
            return 0
        try:
            return ask(Square(number), together)
        finally:
            ended.append(number)

    meeting = run_together([functools.partial(call, number) for number in (1, 2, 0)])
    assert next(meeting)[0] == 2
    meeting.close()
    assert ended == [1, 2]


def test_what_is_remembered_is_made_once_by_calls_that_meet():
    made, together = [], squares([])

    @memo(4)
    def value(number):
        made.append(number)
        if len(made) == 1:
            raise SelectionError("the first try")
        return ask(Square(number), together)

    found = results([functools.partial(value, 3) for _ in range(5)])
    assert isinstance(found[0].exception(), SelectionError)
    assert [found[i].result() for i in range(1, 5)] == [9] * 4
    assert value(3) == 9
    assert made == [3, 3]


def test_a_meeting_keeps_the_device_of_each_call_and_rows_uncopied():
    vectors = np.ones((4, 2), np.float32)
    assert type(shared(vectors, np.array([1, 2]))) is np.ndarray
    ((_, found),) = run_together([lambda: shared(vectors, np.array([1, 2]))])
    assert isinstance(found.result(), Picked)
    assert found.result().base is vectors
    with using("cpu"), ThreadPoolExecutor(1):
        assert results([lambda: 1])[0].result() == 1


@pytest.fixture(scope="module")
def few():
    """Real cells of the elbow experiment, few steps long: every budget, one seed of two policies."""
    shares = grid(policy=["random", "kcenter"], budget=["tuned", "steps", "epochs", "closed_form"], ratio=[0.1, 1.0])
    table = Table("data_ratio_vs_metrics", elbow.measure_ratio, quick=shares)
    experiment = Experiment("elbow", print, (table,), training=SHORT)
    cells = experiment.cells("smollm2-mpnet", "quick", 1)
    return table, [dataclasses.replace(cell, queries=50) for cell in cells]


def test_cells_that_meet_measure_what_they_measure_alone(few, monkeypatch):
    table, cells = few
    sizes, together = [], training.train_together

    def counted(trainings):
        sizes.append(len(trainings))
        return together(trainings)

    monkeypatch.setattr(training, "train_together", counted)
    found, expected = {}, {}
    for measured in (found, expected):  # of a pair each: nothing is remembered
        pair = load_pair(find_pair("smollm2-mpnet", ROOT))
        calls = [functools.partial(table.run, pair, cell) for cell in cells]
        ended = run_together(calls) if measured is found else enumerate(calls)
        for number, each in ended:
            measured[cells[number]] = each.result() if measured is found else each()
        if measured is found:
            stacks, sizes = sizes, []
    assert max(stacks) >= 4
    assert len(stacks) < len(sizes) / 2
    for cell in cells:
        mine, theirs = found[cell].metrics, expected[cell].metrics
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert mine[name] == pytest.approx(value, abs=1e-5, nan_ok=True), (cell.id, name)
        assert found[cell].tables.keys() == expected[cell].tables.keys()


def test_a_worker_measures_a_group_of_cells_together(few):
    table, cells = few
    folder = find_pair("smollm2-mpnet", ROOT)
    chosen = [(table, cell) for cell in cells if cell["ratio"] == 0.1]
    executor = GroupExecutor(1, lambda name: (str(folder), pair_digest(folder)), chosen)
    try:
        futures = [executor.submit(*each) for each in chosen]
        found = [future.result(timeout=120).metrics["n_train"] for future in futures]
    finally:
        executor.shutdown()
    assert len(set(found)) == 1


def deadly(seed, dies, flag):
    return Cell("e", "t", "small", (("dies", dies), ("flag", str(flag))), seed)


def test_of_a_group_whose_worker_dies_only_the_cell_at_fault_fails(small_pair, tmp_path):
    table = Table("t", light.deadly, quick=[])
    kinds = ["no", "no", "always", "no", "once", "no", "no"]
    cells = [(table, deadly(i, kind, tmp_path / f"{i}")) for i, kind in enumerate(kinds)]
    executor = GroupExecutor(2, lambda name: (str(small_pair), pair_digest(small_pair)), cells)
    try:
        for i, (kind, each) in enumerate(zip(kinds, cells, strict=True)):
            future = executor.submit(*each)
            if kind == "always":
                with pytest.raises(ExecutorError, match="its worker process died 2 times, last killed by SIGKILL"):
                    future.result(timeout=60)
            else:
                assert future.result(timeout=60) == Measurement({"value": i})
    finally:
        executor.shutdown()


def test_a_cell_that_fails_and_one_that_cannot_be_sent_end_alone(small_pair):
    kinds = [light.refuse, light.lock, light.sleepy]
    cells = [
        (Table("t", kind, quick=[]), Cell("e", "t", "small", (("seconds", 0.0),), i)) for i, kind in enumerate(kinds)
    ]
    executor = GroupExecutor(1, lambda name: (str(small_pair), pair_digest(small_pair)), cells)
    try:
        refused, locked, slept = (executor.submit(*each) for each in cells)
        assert slept.result(timeout=60) == Measurement({"value": 2})
        with pytest.raises(SelectionError, match="told to fail"):
            refused.result(timeout=60)
        with pytest.raises(TypeError, match="pickle"):
            locked.result(timeout=60)
    finally:
        executor.shutdown()


def test_shutdown_cancels_cells_that_have_not_ended(small_pair):
    table = Table("t", light.sleepy, quick=[])
    cells = [(table, Cell("e", "t", "small", (("seconds", 30.0),), seed)) for seed in range(3)]
    executor = GroupExecutor(1, lambda name: (str(small_pair), pair_digest(small_pair)), cells)
    executor.shutdown()
    assert all(executor.submit(*each).cancelled() or executor.submit(*each).exception() for each in cells)


def test_groups_are_the_cells_of_one_pair_in_their_order():
    table = Table("t", light.sleepy, quick=[])
    cells = [(table, Cell("e", "t", pair, (), seed)) for seed in range(5) for pair in ("b", "a")]
    found = groups(cells, 2)
    assert [[(cell.pair, cell.seed) for _, cell in some] for some in found] == [
        [("a", 0), ("a", 1), ("a", 2)],
        [("a", 3), ("a", 4)],
        [("b", 0), ("b", 1), ("b", 2)],
        [("b", 3), ("b", 4)],
    ]

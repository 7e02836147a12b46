"""The pytest side of the suite: its hooks. They carry cells from the grid to the reports.

Rows travel from the case to the controlling process in the test report and are stored there as each case ends, so a
crash loses at most the cells in flight. Nothing heavy is imported before a case runs or a report is drawn.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from embalign.errors import BaselineError, ConclusionError, CorpusError, ExecutorError, PairError, StoreError
from embalign.experiments.grid import Cell, Experiment, Row, Table
from embalign.plugin import fixtures
from embalign.plugin.fixtures import ROW_PROPERTY, SESSION, declared
from embalign.plugin.options import add_options, read_options
from embalign.runs.runner import Session

PROGRESS_SECONDS = 30
T = TypeVar("T")
USER_ERRORS = (PairError, CorpusError, ExecutorError, StoreError, BaselineError)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `embalign` group."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the session's state; refuse unknown pairs before anything runs."""
    config.addinivalue_line("markers", "cells(experiment, table): run the case once for every cell of the table")
    session = config.stash[SESSION] = Session(read_options(config, worker=_is_worker(config)))
    if config.getoption("pair"):
        _or_usage_error(session.folders)
    config.pluginmanager.register(fixtures)
    config.pluginmanager.register(Hooks(config, session))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a case marked with `cells` one parameter set a cell."""
    marker = metafunc.definition.get_closest_marker("cells")
    if marker is None:
        return
    experiment, table = declared(marker)
    session = metafunc.config.stash[SESSION]
    session.experiments[experiment.name] = experiment
    pairs = _or_usage_error(session.folders)
    options = session.options
    cells = [cell for pair in pairs for cell in experiment.table_cells(table, pair, options.profile, options.seeds)]
    metafunc.parametrize("cell", cells, ids=[f"{cell.pair}-{cell.id}" if len(pairs) > 1 else cell.id for cell in cells])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect every conclusion under docs/research/: its checks are test cases. Nothing else may be there."""
    research = parent.config.rootpath / "docs" / "research"
    if file_path.is_relative_to(research):
        from embalign.plugin.conclusions import collect

        return collect(file_path, research, parent)
    return None


class Hooks:
    """Hooks that need the session's state."""

    def __init__(self, config: pytest.Config, session: Session) -> None:
        self.config = config
        self.session = session
        self.messages: list[str] = []
        self.running: pytest.Session
        self.by_user = False
        self.expected = 0
        self.started = self.last_progress = time.monotonic()

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Let SIGTERM end the run as Ctrl-C does, with a word on how to go on; embed and check pairs named."""
        if _is_worker(self.config):
            return
        self.running = session
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.terminate)
        # Before the cases are collected and, under xdist, before its processes start: each needs whole pairs.
        if self.config.getoption("pair") and not self.config.option.collectonly:
            try:
                _or_usage_error(lambda: self.session.embed(quiet=self.config.get_verbosity() < 0))
                _or_usage_error(self.session.check)
            except KeyboardInterrupt:
                pytest.exit(f"interrupted {self.how_to_resume()}", returncode=128 + signal.SIGINT)

    def terminate(self, signum: int, frame: object) -> None:
        """End the session from a signal handler."""
        pytest.exit(f"terminated {self.how_to_resume()}", returncode=128 + signum)

    def how_to_resume(self) -> str:
        """Say what an interrupted run has kept."""
        if not self.expected:
            return "before the first cell; embeddings fetched are kept: run the same command again to go on from there"
        return (
            f"after {len(self.session.rows)} of {self.expected} cells; they are stored: run the same command again to "
            "go on from there"
        )

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the cases of tables that have no cell in the chosen profile; pytest would skip each, by name."""
        empty = [item for item in items if isinstance(item, pytest.Function) and _has_no_cell(item)]
        if empty:
            config.hook.pytest_deselected(items=empty)
            items[:] = [item for item in items if item not in empty]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse unusable pairs before the first case and hand missing cells to the executor."""
        if self.config.option.collectonly or not self.session.experiments:
            return
        selected: list[tuple[Table, Cell]] = []
        for item in session.items:
            marker = item.get_closest_marker("cells")
            if marker is not None and isinstance(item, pytest.Function):
                selected.append((declared(marker)[1], cast(Cell, item.callspec.params["cell"])))
        self.expected = len(selected)
        self.session.checkout.begin()
        self.session.selected = {cell.experiment for _, cell in selected}
        if not _is_worker(self.config) and selected:
            if not self.config.getoption("pair"):  # those were checked before anything was collected
                _or_usage_error(self.session.check)
            from embalign.regression.outcome import check_start

            _or_usage_error(lambda: check_start(self.session, {cell for _, cell in selected}))
            _or_usage_error(lambda: self.session.start(selected))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the row of a case that has just ended; runs in the controlling process only."""
        if _is_worker(self.config) or report.when != "call":
            return
        for name, value in report.user_properties:
            if name == ROW_PROPERTY:
                measure, identity, row = json.loads(str(value))
                cell = Cell(**{**identity, "settings": tuple((k, v) for k, v in identity["settings"])})
                self.accept(measure, cell, row)
        self.show_progress()

    def accept(self, measure: str, cell: Cell, row: Row) -> None:
        """Store a row; end the run if that cannot be done, as on a disk that has filled up."""
        try:
            self.session.accept(measure, cell, row)
        except StoreError as error:
            self.running.shouldstop = str(error)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that it was the user who ended the run; pytest ends its own way after errors of collection."""
        self.by_user = not isinstance(excinfo.value, pytest.Session.Interrupted)

    def show_progress(self) -> None:
        """Write a line with elapsed and remaining time every half minute, unless pytest is quiet."""
        now, done = time.monotonic(), len(self.session.rows)
        if self.config.get_verbosity() < 0 or not self.expected or now - self.last_progress < PROGRESS_SECONDS:
            return
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or done == 0:
            return
        self.last_progress = now
        elapsed = datetime.timedelta(seconds=round(now - self.started))
        left = datetime.timedelta(seconds=round((now - self.started) / done * (self.expected - done)))
        reporter.ensure_newline()
        reporter.write_line(f"{done} of {self.expected} cells, {elapsed} elapsed, about {left} left")

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Learn from xdist how many cases there are: the controlling process collects nothing itself."""
        self.expected = len(ids)
        self.session.checkout.begin()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the declared experiments from an xdist worker."""
        for fields in getattr(node, "workeroutput", {}).get("embalign_experiments", ()):
            tables = tuple(Table(**table) for table in fields["tables"])
            self.session.experiments[fields["name"]] = Experiment(**{**fields, "tables": tables})

    @pytest.hookimpl(tryfirst=True)  # before the JUnit file is written: verdicts belong into it
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Stop what is under way and draw the reports of the experiments that ran."""
        self.session.stop()
        if _is_worker(self.config):
            experiments = [dataclasses.asdict(experiment) for experiment in self.session.experiments.values()]
            self.config.workeroutput["embalign_experiments"] = experiments  # type: ignore[attr-defined]  # set by xdist
            return
        if self.by_user and exitstatus == pytest.ExitCode.INTERRUPTED and self.expected:
            self.messages.append(f"interrupted {self.how_to_resume()}")
            session.exitstatus = 128 + signal.SIGINT
        at_its_end = exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        )
        passed = exitstatus == pytest.ExitCode.OK  # before any verdict of the merge gate
        if at_its_end and self.session.options.regression != "off":
            self.judge(session)
        if at_its_end and self.session.options.update_baseline:
            self.update_baselines(session, passed=passed)
        known = {cell.experiment for cell in self.session.rows} <= set(self.session.experiments)
        published = self.publish(session) if self.session.rows and known else True
        if at_its_end and published and self.session.options.promote:
            self.promote(session, passed=passed)

    def judge(self, session: pytest.Session) -> None:
        """Hold what was measured to its baselines: each verdict is a test result."""
        from embalign.plugin.regression_results import report_verdicts
        from embalign.regression.outcome import judge

        strict = self.session.options.regression == "strict"
        self.messages += report_verdicts(session, judge(self.session), strict=strict)

    def update_baselines(self, session: pytest.Session, *, passed: bool) -> None:
        """Make what was measured the new baselines, or say why not."""
        from embalign.regression.outcome import update_baselines

        try:
            self.messages += update_baselines(self.session, passed=passed)
        except BaselineError as error:
            self.messages.append(f"no baseline written: {error}")
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def publish(self, session: pytest.Session) -> bool:
        """Draw the reports of what was measured; return whether that could be done."""
        from embalign.regression.outcome import publish

        try:
            self.messages += publish(self.session, self.config.invocation_params.args)
        except OSError as error:
            self.messages.append(f"no report written: {error}; artifacts already there are as they were")
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            return False
        return True

    def promote(self, session: pytest.Session, *, passed: bool) -> None:
        """Promote what this run has measured and published, or say why not."""
        from embalign.regression.outcome import promote_reports

        try:
            self.messages += promote_reports(self.session, passed=passed)
        except (ConclusionError, OSError) as error:
            self.messages.append(str(error))
            session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the artifacts are and what is missing."""
        if self.messages:
            terminalreporter.section("embalign")
            for message in self.messages:
                terminalreporter.line(message)


def _has_no_cell(item: pytest.Function) -> bool:
    marked = item.get_closest_marker("cells") is not None
    return marked and not isinstance(item.callspec.params.get("cell"), Cell)


def _or_usage_error(action: Callable[[], T]) -> T:
    try:
        return action()
    except USER_ERRORS as error:
        raise pytest.UsageError(str(error)) from None


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")

"""The hooks that need the session's state: they store outcomes as cases end and bring a run to its purpose.

Outcomes travel from the case to the controlling process in the test report and are stored there as each case ends, so a
crash loses at most the cells in flight.
"""

import functools
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Any, cast

import pytest

from embalign.alignment.device import CPU
from embalign.errors import StoreError
from embalign.escaping import visible
from embalign.experiments.grid import Cell, Table
from embalign.lazy import lazy
from embalign.pairs.ignored import ignored
from embalign.plugin import boundary
from embalign.plugin.boundary import guarded
from embalign.plugin.expressions import explain_empty, valid
from embalign.plugin.fixtures import OUTCOME, declared
from embalign.plugin.place import has_workers, is_worker, refuse_pair_alone
from embalign.plugin.progress import Progress
from embalign.plugin.regression_results import report_verdicts
from embalign.regression import check
from embalign.runs.artifacts import page_hints, publish
from embalign.runs.runner import Runner

PROGRESS_SECONDS = 30
_AT_ITS_END = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
NO_REPORT = "no report written: {}; artifacts already there are unchanged"
_OUTCOME, _WAITING, _STORED = "embalign_outcome", "embalign_waiting", "embalign_stored"  # attributes of a test report

promote = lazy("embalign.research.promote")


class Hooks:
    """Hooks over one session's `runner`."""

    def __init__(self, config: pytest.Config, runner: Runner) -> None:
        self.config = config
        self.runner = runner
        self.messages: list[str] = []
        self.unpublished: list[str] = []
        self.running: pytest.Session
        self.by_user = False
        self.progress = Progress()
        self.nodes: set[str] = set()
        self.started = self.last_progress = time.monotonic()

    @guarded
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Let SIGTERM end the run as Ctrl-C does, with a word on how to resume; embed and check pairs named."""
        if is_worker(self.config):
            return
        self.running = session
        self.name_ignored()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.terminate)
        if self.config.getoption("pair") and not self.config.option.collectonly and has_workers(self.config):
            self.prepare()  # before xdist's processes start: each needs whole pairs

    def prepare(self) -> None:
        """Embed the pairs that were named and have no vectors, and check every pair, once."""
        if reporter := self.config.pluginmanager.get_plugin("terminalreporter"):
            reporter.ensure_newline()  # on a terminal, pytest stands after `collecting ...`
        try:
            if self.config.getoption("pair"):
                self.runner.embed(quiet=self.config.get_verbosity() < 0)
            self.runner.check()
        except KeyboardInterrupt:
            pytest.exit(f"interrupted {self.how_to_resume()}", returncode=128 + signal.SIGINT)

    def name_ignored(self) -> None:
        """Write a line for each chosen pair in whose folder there is more than data."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not self.config.getoption("pair"):
            return
        for folder in self.runner.folders().values():
            if not self.config.invocation_params.dir.is_relative_to(folder) and (line := ignored(folder)):
                reporter.write_line(line)

    def terminate(self, signum: int, frame: object) -> None:
        """End the session from a signal handler."""
        pytest.exit(f"terminated {self.how_to_resume()}", returncode=128 + signum)

    def how_to_resume(self) -> str:
        """Say what an interrupted run has kept."""
        kept = "before the first cell; fetched embeddings are saved"
        if self.progress.cells:
            kept = f"after {len(self.runner.outcomes)} of {self.progress.cells} cells, which are stored"
        return f"{kept}; rerun the same command to resume"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
        """Leave out the cases of tables that have no cell in the chosen profile; pytest would skip each, by name.

        Where -k then selects none of the others, or cannot be read, say what there is to select.
        """
        empty = [item for item in items if isinstance(item, pytest.Function) and _has_no_cell(item)]
        if empty:
            config.hook.pytest_deselected(items=empty)
            items[:] = [item for item in items if item not in empty]
        names = [item.name for item in items if item.get_closest_marker("cells") is not None]
        try:
            yield
        except pytest.UsageError as error:
            if names and config.option.keyword:
                raise pytest.UsageError(f"{error}\n{valid(self.runner.experiments, names)}") from None
            raise
        if names and not items and config.option.keyword:
            self.runner.hint = explain_empty(config.option.keyword, self.runner.experiments, names)

    @guarded
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse unusable pairs and choices before the first case and hand missing cells to the executor."""
        worker = is_worker(self.config)
        if self.runner.unusable and not worker:
            raise pytest.UsageError(self.runner.unusable)
        if self.config.option.collectonly:
            return
        if not self.runner.experiments:
            refuse_pair_alone(self.config)
            return
        selected: list[tuple[Table, Cell]] = []
        for item in session.items:
            marker = item.get_closest_marker("cells")
            if marker is not None and isinstance(item, pytest.Function):
                selected.append((declared(marker)[1], cast(Cell, item.callspec.params["cell"])))
        self.runner.checkout.begin()
        self.runner.selected = {cell.experiment for _, cell in selected}
        if reason := self.runner.no_verdict():
            if not worker:
                raise pytest.UsageError(reason)
            self.runner.unusable, session.items[:] = reason, []
        elif worker:
            self.runner.look_up(selected)
        elif selected:
            self.prepare()
            self.check_purpose({cell for _, cell in selected})
            self.progress.cells = len(selected)
            self.runner.start(selected)
            self.progress.waiting = len(self.runner.missing)
            self.progress.together = self.runner.options.device != CPU

    def check_purpose(self, selected: set[Cell]) -> None:
        """Raise BaselineError or ConclusionError if it is certain that the run cannot serve its purpose."""
        options = self.runner.options
        for run in self.runner.runs():
            if options.update_baseline or options.promote:
                check.check_whole(run, selected)
            elif options.regression == "strict":
                check.check_start(run)
            if options.promote:
                promote.check_promotable(run)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the outcome of a case into its report, which xdist carries between processes."""
        report = yield
        self.attach_outcome(item, report)
        return report

    @guarded
    def attach_outcome(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Put the outcome of a case, if it has one, into its report."""
        if report.when == "call" and OUTCOME in item.stash:
            setattr(report, _OUTCOME, pickle.dumps(item.stash[OUTCOME]))
            setattr(report, _STORED, item.stash[OUTCOME][1] not in self.runner.missing)
            setattr(report, _WAITING, len(self.runner.missing))

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the outcome of a case that has just ended; runs in the controlling process only."""
        if is_worker(self.config) or report.when != "call":
            return
        if content := getattr(report, _OUTCOME, None):
            try:  # the report is this process's own, or that of a worker which it has started
                self.runner.accept(*pickle.loads(content))
            except StoreError as error:
                self.running.shouldstop = str(error)
            if self.progress.waiting is None:  # xdist's processes have looked them up
                self.progress.waiting = getattr(report, _WAITING)
            self.progress.add(report.duration, stored=getattr(report, _STORED))
        self.show_progress()

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember that it was the user who ended the run; pytest and xdist end theirs by exceptions of their own."""
        self.by_user = type(excinfo.value) is KeyboardInterrupt

    def show_progress(self) -> None:
        """Write a line with elapsed and remaining time every half minute, unless pytest is quiet."""
        now, quiet = time.monotonic(), self.config.get_verbosity() < 0
        if quiet or not self.progress.cells or now - self.last_progress < PROGRESS_SECONDS:
            return
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not self.runner.outcomes:
            return
        self.last_progress = now
        reporter.ensure_newline()
        reporter.write_line(self.progress.line(now - self.started))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Learn from xdist how many cases there are: the controlling process collects nothing itself."""
        self.progress.cells = len(ids)
        self.nodes.add(node.gateway.id)
        self.progress.processes = len(self.nodes)
        self.runner.checkout.begin()

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the declared experiments from an xdist worker."""
        output = getattr(node, "workeroutput", {})
        if content := output.get("embalign_experiments"):
            self.runner.experiments.update(pickle.loads(content))
        self.runner.unusable = output.get("embalign_unusable", "") or self.runner.unusable
        self.runner.hint = output.get("embalign_hint", "") or self.runner.hint

    @pytest.hookimpl(tryfirst=True)  # before the JUnit file is written: verdicts belong into it
    @guarded
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Stop what is under way; then judge, update baselines, draw reports and promote, as the run was asked to."""
        self.attempt(session, "workers or store not closed: {}", self.stop)
        if is_worker(self.config):
            output: dict[str, Any] = {"embalign_experiments": pickle.dumps(self.runner.experiments)}
            output["embalign_unusable"], output["embalign_hint"] = self.runner.unusable, self.runner.hint
            self.config.workeroutput.update(output)  # type: ignore[attr-defined]  # set by xdist
            return
        if self.runner.unusable and exitstatus != pytest.ExitCode.USAGE_ERROR:  # one of xdist's processes has found it
            self.messages.append(self.runner.unusable)
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
            return
        if self.runner.hint:
            self.messages.append(self.runner.hint)
        if self.by_user and exitstatus == pytest.ExitCode.INTERRUPTED and self.progress.cells:
            self.messages.append(f"interrupted {self.how_to_resume()}")
            session.exitstatus = 128 + signal.SIGINT
        options, ended = self.runner.options, exitstatus in _AT_ITS_END
        passed = exitstatus == pytest.ExitCode.OK  # before any verdict of the regression check
        if ended and options.regression != "off":
            strict = options.regression == "strict"
            self.attempt(session, "no verdict: {}", lambda: report_verdicts(session, self.runner, strict=strict))
        runs = self.runner.runs
        if ended and options.update_baseline:
            self.attempt(session, "no baseline written: {}", lambda: check.update_baselines(runs(), passed=passed))
        published = self.attempt(session, NO_REPORT, lambda: self.publish(session))
        if ended and published and not self.unpublished and options.promote:
            self.attempt(session, "{}", lambda: promote.promote_runs(runs(), passed=passed))

    def stop(self) -> Iterable[str]:
        """Stop what is under way."""
        self.runner.stop()
        return ()

    def publish(self, session: pytest.Session) -> Iterable[str]:
        """Draw the reports of what was measured, but of the regression check's grid, which is too small for one.

        One that cannot be drawn is noted and leaves the others to be drawn.
        """
        drawn = []
        known = {cell.experiment for cell in self.runner.outcomes} <= set(self.runner.experiments)
        if self.runner.outcomes and known and self.runner.options.profile != "regression":
            for run in self.runner.runs():
                name = f"{run.experiment.name} on {run.pair}"
                if run.outcomes and not self.attempt(session, f"{name}: {NO_REPORT}", functools.partial(publish, run)):
                    self.unpublished.append(name)
                elif run.complete:
                    drawn.append(run)
        return page_hints(drawn)

    def attempt(self, session: pytest.Session, failed: str, action: Callable[[], Iterable[str]]) -> bool:
        """Note what an action says, or, as `failed`, why it cannot be done; return whether it could."""
        messages, code = boundary.attempt(action, failed, self.config.rootpath)
        self.messages += messages
        session.exitstatus = code or session.exitstatus
        return code == 0

    @guarded
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the artifacts are and what is missing."""
        if self.messages:
            terminalreporter.section("embalign")
            for message in self.messages:
                terminalreporter.line(visible(message))


def _has_no_cell(item: pytest.Function) -> bool:
    marked = item.get_closest_marker("cells") is not None
    return marked and not isinstance(item.callspec.params.get("cell"), Cell)

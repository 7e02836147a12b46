"""The verdicts of the regression check as pytest's test results, and as GitHub Actions reads them."""

import os
from pathlib import Path
from typing import Literal

import pytest

from embalign.escaping import visible, workflow_command
from embalign.regression.check import judge
from embalign.regression.words import explain, summary
from embalign.runs.runner import Runner
from embalign.verdicts.regression import FAILURES, RegressionVerdict

Verdicts = list[tuple[str, str, RegressionVerdict]]


def report_verdicts(session: pytest.Session, runner: Runner, *, strict: bool) -> list[str]:
    """Log one test result per verdict on a session's runs and return what to tell the user, line by line.

    If `strict`, verdicts that fail the check fail the session, and under GitHub Actions there is an ::error line each.
    """
    messages, annotations = [], []
    verdicts = _verdicts(runner)
    several = len({pair for pair, _, _ in verdicts}) > 1
    for pair, experiment, verdict in verdicts:
        words = visible(explain(pair, experiment, verdict))
        failed = strict and verdict.kind in FAILURES
        name = f"{experiment}-{verdict.metric}".replace("_", "-") + (f"-{visible(pair)}" if several else "")
        _log_result(session.config, f"regression[{name}]", words if failed else None)
        messages.append(words)
        if failed:
            session.testsfailed += 1
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            annotations.append(workflow_command("error", words, title=f"regression[{name}]"))
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(summary(verdicts))
        except OSError as error:
            messages.append(f"no summary of the job was written: GITHUB_STEP_SUMMARY={path}: {error.strerror}")
    return messages + (annotations if os.environ.get("GITHUB_ACTIONS") == "true" else [])


def _verdicts(runner: Runner) -> Verdicts:
    """Pair, experiment and verdict; at least one verdict a pair."""
    if not runner.run_experiments():
        nothing = RegressionVerdict("baseline", "missing", detail="no case was run that has a baseline")
        return [(pair, "nothing", nothing) for pair in runner.names()]
    return [(run.pair, run.experiment.name, verdict) for run in runner.runs() for verdict in judge(run)]


def _log_result(config: pytest.Config, nodeid: str, failure: str | None) -> None:
    phases: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")
    for when in phases:
        words = failure if when == "call" else None
        report = pytest.TestReport(
            nodeid, (nodeid, None, nodeid), {}, outcome="failed" if words else "passed", longrepr=words, when=when
        )
        config.hook.pytest_runtest_logreport(report=report)

"""The pytest side of the suite: options, fixtures and hooks. It carries cells from the grid to the reports.

Rows travel from the case to the controlling process in the test report and are stored there as each case ends, so a
crash loses at most the cells in flight. Nothing heavy is imported before a case runs or a report is drawn.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embalign.embeddings.corpus import CorpusError
from embalign.runs.experiment import PROFILES, Cell, Experiment, Row, Table

DEFAULT_PAIR = "qwen-sentence-align"
RESULTS = ("only-missing", "always")
ROW_PROPERTY = "embalign_row"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `embalign` group."""
    group = parser.getgroup("embalign", "embedding-alignment experiments")
    group.addoption(
        "--pair",
        action="append",
        metavar="NAME",
        help=f"folder under benchmark/ with a pair.toml, or a path to such a folder; may be repeated "
        f"(default: {DEFAULT_PAIR})",
    )
    group.addoption(
        "--profile",
        choices=PROFILES,
        default="quick",
        help="quick: six ratios, five seeds; full: more ratios and ten seeds (default: %(default)s)",
    )
    group.addoption("--seeds", type=_seed_count, metavar="N", help="number of seeds, at least 2 (default: by profile)")
    group.addoption(
        "--reports-dir",
        type=Path,
        metavar="DIR",
        help="write artifacts under DIR/<pair>/<experiment>/ (default: the pair's own reports/ folder)",
    )
    group.addoption(
        "--results",
        choices=RESULTS,
        default="only-missing",
        help="only-missing: reuse cells stored by earlier runs; always: measure every cell anew (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the session's state; refuse unknown pairs before anything runs."""
    config.addinivalue_line("markers", "cells(experiment, table): run the case once for every cell of the table")
    session = Session(config)
    if config.getoption("pair"):
        session.folders()
    config.pluginmanager.register(session, "embalign-session")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a case marked with `cells` one parameter set a cell."""
    marker = metafunc.definition.get_closest_marker("cells")
    if marker is None:
        return
    experiment, table = _declared(marker)
    session = _session(metafunc.config)
    session.experiments[experiment.name] = experiment
    several = len(session.folders()) > 1
    cells = [
        cell
        for pair in session.folders()
        for cell in experiment.table_cells(experiment.table(table), pair, session.profile, session.seeds)
    ]
    metafunc.parametrize("cell", cells, ids=[f"{cell.pair}-{cell.id}" if several else cell.id for cell in cells])


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Callable[[Cell], Row]:
    """Return a function that measures a cell, or reads it from the store, and reports its row."""
    marker = request.node.get_closest_marker("cells")
    experiment, table = _declared(marker)
    session = _session(request.config)

    def run(cell: Cell) -> Row:
        try:
            row = session.stored(cell) or experiment.table(table).run(session.pair(cell.pair), cell)
        except session.failures() as error:
            _report_row(request, cell, {"status": f"failed: {error}"})
            pytest.fail(f"{cell.id}: {error}", pytrace=False)
        _report_row(request, cell, {**row, "status": "ok"})
        return row

    return run


@pytest.fixture
def pair(request: pytest.FixtureRequest, cell: Cell) -> Any:
    """The case's pair with its cached embeddings, loaded once a process."""
    return _session(request.config).pair(cell.pair)


@pytest.fixture
def seed(cell: Cell) -> int:
    """The seed of a case: it fixes the training pool, the initial map and the batch order."""
    return cell.seed


class Session:
    """Pairs, store and collected rows of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        from embalign.runs.store import Store

        self.config = config
        self.root = config.rootpath
        self.profile: str = config.getoption("profile")
        self.seeds: int | None = config.getoption("seeds")
        self.store = Store(self.root / ".embalign" / "results.sqlite")
        self.experiments: dict[str, Experiment] = {}
        self.rows: dict[Cell, Row] = {}
        self.messages: list[str] = []
        self._folders: dict[str, Path] = {}
        self._pairs: dict[str, Any] = {}
        self._digests: dict[str, str] = {}

    def folders(self) -> dict[str, Path]:
        """Folder of each chosen pair by its name."""
        from embalign.embeddings.pair import PairError, find_pair, read_config

        if not self._folders:
            for name in self.config.getoption("pair") or [DEFAULT_PAIR]:
                try:
                    folder = find_pair(name, self.root)
                    read_config(folder)
                except PairError as error:
                    raise pytest.UsageError(f"--pair: {error}") from None
                if self._folders.setdefault(folder.name, folder) != folder:
                    raise pytest.UsageError(f"--pair: two pairs are named {folder.name!r}; rename one of the folders")
        return self._folders

    def pair(self, name: str) -> Any:
        """The loaded pair."""
        from embalign.embeddings.pair import load_pair

        if name not in self._pairs:
            self._pairs[name] = load_pair(self.folders()[name])
        return self._pairs[name]

    def key(self, cell: Cell) -> str:
        """The cell's key in the store."""
        from embalign.embeddings.pair import pair_digest
        from embalign.runs.store import cell_key

        if cell.pair not in self._digests:
            self._digests[cell.pair] = pair_digest(self.folders()[cell.pair])
        return cell_key(cell, self._digests[cell.pair])

    def stored(self, cell: Cell) -> Row | None:
        """The cell's row from an earlier run, unless every cell is to be measured anew."""
        return None if self.config.getoption("results") == "always" else self.store.get(self.key(cell))

    @staticmethod
    def failures() -> tuple[type[Exception], ...]:
        """Errors that make a cell fail while the grid goes on."""
        from embalign.alignment.selection import SelectionError
        from embalign.alignment.training import TrainingDivergedError
        from embalign.embeddings.pair import PairError

        return SelectionError, TrainingDivergedError, PairError, CorpusError

    def pytest_collection_finish(self) -> None:
        """Refuse an unusable pair before the first case, in one line instead of a failure a cell."""
        if not self.experiments or self.config.option.collectonly or _is_worker(self.config):
            return
        from embalign.embeddings.pair import PairError, check_pair

        for folder in self.folders().values():
            try:
                check_pair(folder)
            except (PairError, CorpusError) as error:
                raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the row of a case that has just ended; runs in the controlling process only."""
        if _is_worker(self.config) or report.when != "call":
            return
        for name, value in report.user_properties:
            if name == ROW_PROPERTY:
                identity, row = json.loads(str(value))
                cell = Cell(**{**identity, "settings": tuple((k, v) for k, v in identity["settings"])})
                self.rows[cell] = row
                if row["status"] == "ok":
                    self.store.put(self.key(cell), {k: v for k, v in row.items() if k != "status"})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the declared experiments from an xdist worker: the controlling process collects nothing itself."""
        for fields in getattr(node, "workeroutput", {}).get("embalign_experiments", ()):
            tables = tuple(Table(**table) for table in fields["tables"])
            self.experiments[fields["name"]] = Experiment(**{**fields, "tables": tables})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Draw the reports of the experiments that ran."""
        if _is_worker(self.config):
            declared = [dataclasses.asdict(experiment) for experiment in self.experiments.values()]
            self.config.workeroutput["embalign_experiments"] = declared  # type: ignore[attr-defined]
        elif self.rows:
            try:
                self.write_reports()
            except OSError as error:
                self.messages.append(f"no report written: {error}; artifacts already there are as they were")
                session.exitstatus = pytest.ExitCode.INTERNAL_ERROR

    def write_reports(self) -> None:
        """Write each experiment's artifacts: to the canonical place if its grid is complete, else beside."""
        from embalign.runs.artifacts import publish

        for name, pair in sorted({(cell.experiment, cell.pair) for cell in self.rows}):
            experiment = self.experiments[name]
            self.messages += publish(
                experiment,
                self.folders()[pair],
                self.root,
                rows={cell: row for cell, row in self.rows.items() if (cell.experiment, cell.pair) == (name, pair)},
                declared=experiment.cells(pair, self.profile, self.seeds),
                profile=self.profile,
                arguments=self.config.invocation_params.args,
                reports_dir=self.config.getoption("reports_dir"),
            )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where the artifacts are and what is missing."""
        if self.messages:
            terminalreporter.section("embalign")
            for message in self.messages:
                terminalreporter.line(message)


def _session(config: pytest.Config) -> Session:
    session = config.pluginmanager.get_plugin("embalign-session")
    assert isinstance(session, Session)
    return session


def _declared(marker: pytest.Mark | None) -> tuple[Experiment, str]:
    if marker is None:
        raise pytest.UsageError("the measure fixture needs a case marked with pytest.mark.cells(experiment, table)")
    experiment, table = marker.args
    return experiment, table


def _report_row(request: pytest.FixtureRequest, cell: Cell, row: Row) -> None:
    payload = json.dumps([vars(cell), row])
    request.node.user_properties.append((ROW_PROPERTY, payload))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _seed_count(text: str) -> int:
    import argparse

    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number of at least 2: verdicts are paired over seeds"
        )
    return int(text)

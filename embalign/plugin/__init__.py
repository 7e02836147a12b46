"""The pytest side of the suite. It carries cells from the grid to the runs and holds no science.

pytest finds it by its entry point, `-p embalign.plugin` or a conftest.py's `pytest_plugins`, and loads it once. Nothing
heavy is imported before a case runs or a report is drawn.
"""

from pathlib import Path

import pytest

from embalign.lazy import lazy
from embalign.pairs.config import has_queries
from embalign.plugin import fixtures
from embalign.plugin.boundary import guarded
from embalign.plugin.fixtures import RUNNER, declared
from embalign.plugin.hooks import Hooks, is_worker, usage_errors
from embalign.plugin.options import add_options, read_options
from embalign.runs.runner import Runner

collect_conclusion = lazy("embalign.plugin.conclusions").collect


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the `embalign` group."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
@guarded
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Refuse a pair that pytest itself would take code or settings from: a pair is data, whoever it comes from.

    Before it knows any option, pytest looks for its settings in every folder on the command line; later it looks for
    conftest.py inside the folders that it is to test, in those whose name begins with test.
    """
    settings = early_config.inipath
    for name in early_config.known_args_namespace.pair or ():
        for folder in (early_config.rootpath / "benchmark" / name, Path(name).absolute()):
            if folder.name.startswith("test") and (folder / "conftest.py").is_file():
                raise pytest.UsageError(
                    f"--pair {name}: {folder / 'conftest.py'} would be run, and a pair is data; remove that file or "
                    "rename the folder so that it does not begin with 'test'"
                )
            if settings is not None and settings.is_relative_to(folder.resolve()):
                raise pytest.UsageError(
                    f"--pair {name}: pytest would take its settings from {settings}, and a pair is data; remove that "
                    f"file or write --pair={name}"
                )


@guarded
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the session's state; refuse unknown pairs before anything runs."""
    config.addinivalue_line("markers", "cells(experiment, table): run the case once for every cell of the table")
    runner = config.stash[RUNNER] = Runner(read_options(config, worker=is_worker(config)))
    if config.getoption("pair"):
        with usage_errors():
            runner.folders()
    config.pluginmanager.register(fixtures)
    config.pluginmanager.register(Hooks(config, runner))


@guarded
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a case marked with `cells` one parameter set per cell."""
    marker = metafunc.definition.get_closest_marker("cells")
    if marker is None:
        return
    experiment, table = declared(marker)
    runner = metafunc.config.stash[RUNNER]
    runner.experiments[experiment.name] = experiment
    options = runner.options
    with usage_errors():
        pairs = {name: has_queries(folder) for name, folder in runner.folders().items()}
    cells = [
        cell
        for pair, own_queries in pairs.items()
        for cell in experiment.table_cells(table, pair, options.profile, options.seeds, own_queries=own_queries)
    ]
    metafunc.parametrize("cell", cells, ids=[f"{cell.pair}-{cell.id}" if len(pairs) > 1 else cell.id for cell in cells])


@guarded
def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave pair folders alone: nothing in them is run, neither a conftest.py nor a test."""
    return True if (collection_path / "pair.toml").is_file() else None


@guarded
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect every conclusion under docs/research/: its checks are test cases. Nothing else may be there."""
    research = parent.config.rootpath / "docs" / "research"
    if file_path.is_relative_to(research):
        found: pytest.Collector | None = collect_conclusion(file_path, research, parent)
        return found
    return None

"""The pytest side of the suite. It carries cells from the grid to the runs and holds no science.

pytest finds it through `embalign.pytest_entry`, `-p embalign.plugin` or a conftest.py's `pytest_plugins`, and loads it
once. Nothing heavy is imported before a case runs or a report is drawn. It has no assert to rewrite, and pytest must
not warn of that where it is started again: PYTEST_DONT_REWRITE.
"""

from collections.abc import Generator
from pathlib import Path

import pytest

from embalign.errors import EmbalignError
from embalign.lazy import lazy
from embalign.pairs.config import has_queries
from embalign.platforms import refuse_other_systems
from embalign.plugin import fixtures
from embalign.plugin.boundary import guarded
from embalign.plugin.data_only import hide_conftests, hide_conftests_above, in_pair, is_conclusions, refuse_data
from embalign.plugin.fixtures import RUNNER, declared
from embalign.plugin.hooks import Hooks
from embalign.plugin.options import add_options, read_options
from embalign.plugin.place import is_worker, refuse_elsewhere
from embalign.plugin.settings import run_again, start_again_if_misled
from embalign.runs.runner import Runner

collect_conclusion = lazy("embalign.plugin.conclusions").collect


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the `embalign` group; also where a conftest.py names the plugin, hide those that pytest would import next."""
    add_options(parser)
    if isinstance(config := pluginmanager.get_plugin("pytestconfig"), pytest.Config):
        hide_conftests(config)


@pytest.hookimpl(tryfirst=True)
@guarded
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Keep pytest from settings and code of folders that hold data alone, before it imports a conftest.py."""
    refuse_other_systems()
    start_again_if_misled(early_config, args)
    refuse_data(early_config, early_config.known_args_namespace.file_or_dir)
    hide_conftests(early_config)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run pytest with the right settings if an option's value has led it to others."""
    return run_again(config)


@guarded
def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the session's state; refuse unknown pairs before anything runs."""
    config.addinivalue_line("markers", "cells(experiment, table): run the case once for every cell of the table")
    refuse_elsewhere(config, config.args)
    refuse_data(config, config.args)  # again: a plugin that a conftest.py names comes too late for the hook above
    runner = config.stash[RUNNER] = Runner(read_options(config, worker=is_worker(config)))
    if config.getoption("pair"):
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
    try:
        pairs = {name: has_queries(folder) for name, folder in runner.folders().items()}
    except EmbalignError as error:  # kept until collection ends: raised here, pytest would show a traceback
        runner.unusable, pairs = str(error), {}
    cells = [
        cell
        for pair, own_queries in pairs.items()
        for cell in experiment.table_cells(
            table, pair, options.profile, options.seeds, own_queries=own_queries, device=options.device
        )
    ]
    metafunc.parametrize("cell", cells, ids=[f"{cell.pair}-{cell.id}" if len(pairs) > 1 else cell.id for cell in cells])


@guarded
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave pair folders alone: nothing in them is run, neither a conftest.py nor a test."""
    return True if in_pair(collection_path, config) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect folders that hold data without their conftest.py or __init__.py."""
    if not is_conclusions(path, parent.config) and not in_pair(path, parent.config):
        return None
    hide_conftests_above(parent.config, path)
    return pytest.Dir.from_parent(parent, path=path)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect every conclusion under docs/research/: its checks are test cases. Nothing else of there is run.

    A file of a pair comes here if pytest was led to it by something else than a path.
    """
    found = yield
    if in_pair(file_path, parent.config):
        return []
    if not is_conclusions(file_path, parent.config):
        return found
    conclusion = collect_conclusion(file_path, parent.config.rootpath / "docs" / "research", parent)
    return [] if conclusion is None else [conclusion]

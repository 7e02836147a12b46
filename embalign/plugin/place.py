"""Where a session runs: where experiments are or elsewhere, in the process that controls it or in one of xdist's."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from embalign.pairs.place import EXPERIMENTS, no_experiments


def is_worker(config: pytest.Config) -> bool:
    """Return whether this is one of xdist's worker processes."""
    return hasattr(config, "workerinput")


def has_workers(config: pytest.Config) -> bool:
    """Return whether cases run in xdist's processes, and this one collects nothing itself."""
    return config.pluginmanager.has_plugin("dsession")


def refuse_elsewhere(config: pytest.Config, words: Sequence[str]) -> None:
    """Raise UsageError where the experiments are asked for, `benchmark/`, in a folder that has none."""
    start = config.invocation_params.dir
    for word in words:
        path = Path(str(word).partition("::")[0])
        if path.parts[:1] == (EXPERIMENTS.parts[0],) and not os.path.lexists(start / EXPERIMENTS.parts[0]):
            raise pytest.UsageError(f"file or directory not found: {word}; {no_experiments(start)}")


def refuse_pair_alone(config: pytest.Config) -> None:
    """Raise UsageError where a pair is named, no path is, and no case that could measure it was collected."""
    if not config.getoption("pair") or is_worker(config) or has_workers(config):
        return
    if config.args_source is pytest.Config.ArgsSource.ARGS:  # conclusions, or a suite of one's own
        return
    start = config.invocation_params.dir
    if (start / EXPERIMENTS).is_file():
        raise pytest.UsageError("--pair: no experiment was collected; add benchmark/, as in pytest benchmark/ -k elbow")
    raise pytest.UsageError(f"--pair: no experiment was collected; {no_experiments(start)}")

"""What pytest loads wherever embalign is installed: its plugin if the run is one of experiments, and else nothing.

Elsewhere `--profile`, `--workers` or a folder `docs/research/` may be another's, and no run pays for what it does not
use. Like the plugin it has no assert to rewrite: PYTEST_DONT_REWRITE.
"""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

PLUGIN = "embalign.plugin"
# Of the plugin's options those whose name says whose they are.
OWN = ("--pair", "--no-verdict", "--regression", "--update-baseline", "--promote", "--reverify")
# What a folder with experiments, pairs or conclusions holds.
SIGNS = ("benchmark/test_elbow.py", "benchmark/*/pair.toml", "docs/research/*/conclusion.toml")


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Load the plugin, before pytest reads any path, if the run is one of experiments."""
    config = pluginmanager.get_plugin("pytestconfig")
    if isinstance(config, pytest.Config) and _is_own(config):
        pluginmanager.import_plugin(PLUGIN)


def expanded(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, with those of a file in place of `@file`, as pytest reads them."""
    for word in words:
        if word.startswith("@") and os.path.isfile(word[1:]):
            yield from expanded(Path(word[1:]).read_text(encoding=sys.getfilesystemencoding()).splitlines())
        else:
            yield word


def _is_own(config: pytest.Config) -> bool:
    if hasattr(config.option, "update_baseline"):  # a process of xdist's: the first one has read the options
        return True
    given = [os.fspath(word) for word in config.invocation_params.args]
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *config.getini("addopts"), *given]
    if any(word.partition("=")[0] in OWN for word in expanded(words)):
        return True
    start, named = config.invocation_params.dir, config.known_args_namespace.file_or_dir
    if not os.path.lexists(start / "benchmark") and any(Path(word).parts[:1] == ("benchmark",) for word in named):
        return True  # pytest would end the run; the plugin says more
    return any(any(place.glob(sign)) for place in _places(start, config.rootpath, named) for sign in SIGNS)


def _places(start: Path, root: Path, named: Iterable[str]) -> Iterable[Path]:
    """Where the run is, and every folder around what it names."""
    paths = [Path(os.path.abspath(start / word.partition("::")[0])) for word in named]
    return dict.fromkeys([start, root, *(folder for path in paths for folder in path.parents)])

"""Folders that hold data alone, pairs and conclusions: pytest runs nothing in them, however they are named.

pytest imports each conftest.py on the way to what it collects, and in folders whose name begins with `test`. It does
not import one under whose path a plugin is registered already.
"""

import glob
import os
import shlex
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest


def hide_conftests(config: pytest.Config) -> None:
    """Register an empty plugin for each conftest.py of a data folder that pytest would import before it collects."""
    known = getattr(config, "known_args_namespace", None)
    if known is None:
        return
    start = config.invocation_params.dir
    words = known.file_or_dir or [*(name for pattern in config.getini("testpaths") for name in glob.glob(pattern)), "."]
    for path in _paths(words, start):
        folder = path if path.is_dir() else path.parent
        for place in (folder, *folder.glob("test*")):
            hide_conftests_above(config, place)


def hide_conftests_above(config: pytest.Config, place: Path) -> None:
    """Register an empty plugin for each conftest.py from a folder up to the data folder it lies in, if it does."""
    manager = config.pluginmanager
    for spelled in _spellings(place):
        outer = pair_around(spelled, config.invocation_params.dir) or _research_around(spelled, config)
        while outer and spelled.is_relative_to(outer):
            name = str(spelled / "conftest.py")
            if not manager.has_plugin(name):
                manager.register(types.ModuleType("conftest"), name)
            spelled = spelled.parent


def refuse_data(config: pytest.Config, words: Sequence[str]) -> None:
    """Raise UsageError if pytest is asked to run a pair, or takes its settings from among the conclusions."""
    for path in _paths(words, config.invocation_params.dir):
        for spelled in _spellings(path):
            if pair := pair_around(spelled, config.invocation_params.dir):
                name = pair.name if pair.parent.name == "benchmark" else str(pair)
                raise pytest.UsageError(
                    f"{path}: {pair.name} is a pair, and a pair is data: nothing in it is run. To measure it: "
                    f"pytest benchmark/ --pair={shlex.quote(name)}"
                )
    for origin in (config.inipath, config.rootpath):
        if origin is not None and _among_conclusions(origin, config.invocation_params.dir):
            raise pytest.UsageError(
                f"{origin}: pytest takes this for its settings, and conclusions are data; remove it, or name pytest's "
                "settings (-c pytest.ini)"
            )


def pair_around(path: Path, start: Path) -> Path | None:
    """Return the pair's folder that a path is or lies in, or None; `start`, where pytest was started, is no pair."""
    for folder in (path, *path.parents):
        if os.path.isfile(folder / "pair.toml"):
            return None if start.is_relative_to(folder) else folder
    return None


def in_pair(path: Path, config: pytest.Config) -> bool:
    """Return whether a path is a pair's folder or lies in one, by its name or by where it leads."""
    return any(pair_around(spelled, config.invocation_params.dir) for spelled in _spellings(path))


def is_conclusions(path: Path, config: pytest.Config) -> bool:
    """Return whether a path is docs/research/ or lies in it, by its name or by where it leads."""
    return any(_research_around(spelled, config) for spelled in _spellings(path))


def _among_conclusions(origin: Path, start: Path) -> bool:
    """Return whether settings lie among conclusions, whose root they hide; a checkout may lie in such a folder too."""
    for folder in (origin, *origin.parents):
        if folder.parts[-2:] == ("docs", "research"):
            return not start.is_relative_to(folder) or any(folder.glob("*/conclusion.toml"))
    return False


def _research_around(path: Path, config: pytest.Config) -> Path | None:
    research = config.rootpath / "docs" / "research"
    for folder in _spellings(research):
        if path.is_relative_to(folder):
            return folder
    return None


def _spellings(path: Path) -> Iterable[Path]:
    """A path by its name, and by where it leads if that is elsewhere."""
    return dict.fromkeys((path, Path(os.path.realpath(path))))


def _paths(words: Sequence[str], start: Path) -> Iterator[Path]:
    """Yield the words that are paths of files or folders, without what names a test in them."""
    for word in words:
        path = os.path.abspath(start / str(word).partition("::")[0])
        if os.path.isdir(path) or os.path.isfile(path):  # False, not an error, for what cannot be a path
            yield Path(path)

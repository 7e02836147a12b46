"""pytest's own settings: never those of a folder that is only the value of an option.

pytest looks for its settings file before it knows what an option takes, so in `--pair DIR` it takes DIR for a folder of
tests. Where that has changed the settings, pytest is started again in this process with `--pair=DIR`, which it cannot
misread, before it has loaded a conftest.py or opened a file.
"""

import os
import shlex
import sys
from collections.abc import Sequence

import pytest
from _pytest.config.findpaths import determine_setup

from embalign.plugin.options import OPTIONS
from embalign.pytest_entry import expanded

_AGAIN = pytest.StashKey[list[str]]()
_WITH_VALUE = {name for name, settings in OPTIONS.items() if settings.get("action") != "store_true"}


def joined(words: Sequence[str]) -> list[str]:
    """Return a command line's words with each option of the suite and its value in one word.

    >>> joined(["--pair", "here", "-k", "elbow", "--seeds=3"])
    ['--pair=here', '-k', 'elbow', '--seeds=3']
    """
    result: list[str] = []
    rest = iter(expanded(words))
    for word in rest:
        if word == "--":
            return [*result, word, *rest]
        value = next(rest, None) if word in _WITH_VALUE else None
        result.append(word if value is None else f"{word}={value}")
    return result


def start_again_if_misled(config: pytest.Config, args: list[str]) -> None:
    """Have `run_again` start pytest again if the value of an option has led it to other settings.

    Raises UsageError if these settings have made pytest import code of that folder, which no plugin can prevent.
    """
    known = config.known_args_namespace
    right = determine_setup(
        inifile=known.inifilename,
        override_ini=None,
        args=known.file_or_dir,
        rootdir_cmd_arg=known.rootdir or None,
        invocation_dir=config.invocation_params.dir,
    )
    given = [os.fspath(word) for word in config.invocation_params.args]
    from_environment = shlex.split(os.environ.get("PYTEST_ADDOPTS", ""))
    apart = joined(given) != given or joined(from_environment) != from_environment
    if not apart or right[:2] == (config.rootpath, config.inipath):
        return
    if imported := _imported_for(config):
        raise pytest.UsageError(
            f"{config.inipath} has made pytest import {imported} before any plugin could object: code of that folder "
            "has been run. Write an option and its value in one word (--pair=DIR), or pytest's settings (-c pytest.ini)"
        )
    os.environ["PYTEST_ADDOPTS"] = shlex.join(joined(from_environment))
    config.stash[_AGAIN] = joined(given)
    known.noconftest = True
    args[:] = [str(config.invocation_params.dir)]


def run_again(config: pytest.Config) -> int | None:
    """Run pytest as `start_again_if_misled` has found it right, and return its exit code; None if it has not."""
    words = config.stash.get(_AGAIN, None)
    if words is None:
        return None
    for path in map(str, config.getini("pythonpath")):
        if path in sys.path:
            sys.path.remove(path)
    return int(pytest.main(words, plugins=config.invocation_params.plugins))


def _imported_for(config: pytest.Config) -> str | None:
    """Return the name of a module from where the settings' `pythonpath` leads, if one was imported."""
    trusted = tuple(os.path.join(path, "") for path in (sys.prefix, os.path.realpath(config.invocation_params.dir)))
    places = tuple(os.path.join(os.path.realpath(path), "") for path in config.getini("pythonpath"))
    for name, module in list(sys.modules.items()):
        path = os.path.realpath(getattr(module, "__file__", None) or "")
        if path.startswith(places) and not path.startswith(trusted):
            return name
    return None

"""The outermost boundary of the plugin: no hook of the suite's ends in a traceback of pytest's own internals."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytest

from embalign.durable import PartlyMovedError, in_words
from embalign.errors import EmbalignError
from embalign.readers import said
from embalign.unforeseen import EXIT_CODE, log_unforeseen

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

PYTESTS_OWN = (pytest.UsageError, pytest.exit.Exception, pytest.Collector.CollectError)


def guarded(hook: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Decorate a hook: an error of the package's family becomes a usage error, and any other ends the session.

    That is one line on the terminal, a log with the traceback, and exit code 3. pytest still ends the session in its
    usual way, so what was measured is stored and reported.
    """

    @functools.wraps(hook)
    def guard(*args: Parameters.args, **named: Parameters.kwargs) -> Result:
        try:
            return hook(*args, **named)
        except PYTESTS_OWN:
            raise
        except EmbalignError as error:
            raise pytest.UsageError(str(error)) from None
        except Exception as error:
            line = log_unforeseen(error, _root((*args, *named.values())))
        pytest.exit(line, returncode=EXIT_CODE)

    return guard


def attempt(action: Callable[[], Iterable[str]], failed: str, root: Path) -> tuple[list[str], int]:
    """Return what an action says and 0; or, in the place of {} in `failed`, why it cannot be done and an exit code."""
    messages: list[str] = []
    code = EXIT_CODE
    try:
        messages.extend(action())
    except PartlyMovedError as error:  # what `failed` says of the files there would not be so
        return [f"{said(error)}; rerun the same command to complete them"], code
    except (EmbalignError, OSError) as error:
        cause, code = in_words(error) if isinstance(error, OSError) else str(error), getattr(error, "exit_code", code)
    except Exception as error:
        cause = log_unforeseen(error, root)
    else:
        return messages, 0
    return [*messages, failed.replace("{}", cause)], code


def _root(values: Iterable[Any]) -> Path:
    """Return pytest's root folder, which any argument of a hook leads to."""
    for value in values:
        config = getattr(value, "config", value)
        if isinstance(config, pytest.Config):
            return config.rootpath
    return Path.cwd()

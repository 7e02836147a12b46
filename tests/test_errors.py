"""One family of errors, which travel whole between processes."""

import inspect
import pickle

import pytest

from embalign import errors

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\x1b[31m", "a\\nb\\x1b[31m"),
        ("\u202ebidi \ud800 \u4e2d", "\\u202ebidi \\ud800 \u4e2d"),
        ("x" * 10_000 + "; the remedy", "x" * 2000 + " ... " + "x" * 988 + "; the remedy"),
    ],
    ids=["controls", "bidi and surrogates", "long"],
)
def test_a_message_is_one_line_whatever_it_quotes(text, shown):
    assert str(errors.PairError(text)) == shown


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_every_error_has_the_one_root_and_its_exit_code(kind):
    assert issubclass(kind, errors.EmbalignError)
    assert kind.exit_code == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(kind, ("a cause; a remedy",)) for kind in FAMILY if kind is not errors.StatusError]
    + [(errors.StatusError, ("a cause", 503, "busy")), (errors.TransientError, ("a cause", 1.5))],
)
def test_an_error_arrives_from_another_process_as_it_was_raised(kind, arguments):
    sent = kind(*arguments)
    found = pickle.loads(pickle.dumps(sent))
    assert (type(found), str(found), vars(found)) == (kind, str(sent), vars(sent))

"""The one door for files: what lies there is read and decoded, or ends in the project's own error.

Anything may lie there: a pipe, a device, a file of terabytes, another encoding, JSON nested a hundred thousand deep, a
number of a million digits. A file is regular and within a limit before it is read; whatever a decoder raises becomes
the error of its reader, which names file, cause and remedy in one line.
"""

import collections
import contextlib
import csv
import errno
import io
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from embalign.errors import EmbalignError
from embalign.escaping import one_line
from embalign.lazy import lazy

load_array = lazy("numpy").load

MEBI = 2**20
MOST_DIGITS = 300  # of a whole number: more does not fit a float
MOST_DOTS = 128  # on a line of TOML: reading time is quadratic in the dots of a key
SHOWN, SAID = 60, 300  # characters of a value and of a cause that a message shows
NUMPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"  # how files begin
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

Kind = TypeVar("Kind")


@contextlib.contextmanager
def long_fields(characters: int) -> Iterator[None]:
    """Let cells of a CSV file have so many characters inside; the limit is one of the whole process, and comes back."""
    before = csv.field_size_limit()
    csv.field_size_limit(max(before, characters))
    try:
        yield
    finally:
        csv.field_size_limit(before)


@contextlib.contextmanager
def reading(path: Path, error: type[EmbalignError], remedy: str, what: str = "cannot be read") -> Iterator[None]:
    """Turn whatever goes wrong inside into `error`: the file, `what` it is not, the cause, and the remedy.

    Errors of the package pass as they are. Use it around what opens and decodes a file, and around nothing else.
    """
    try:
        yield
    except EmbalignError:
        raise
    except OSError as fault:
        raise error(f"{path}: cannot be read ({said(fault)}); {remedy}") from None
    except Exception as fault:  # no decoder lists what it raises on hostile input
        raise error(f"{path}: {what} ({said(fault)}); {remedy}") from None


def opened(path: Path) -> io.BufferedReader:
    """Return a regular file, open for reading. Raises OSError.

    What only looks like a file is refused before it is opened: a pipe would wait for ever and a device has no end.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        cause = (errno.EISDIR, "Is a directory") if stat.S_ISDIR(mode) else (errno.EINVAL, "Not a regular file")
        raise OSError(*cause, str(path))
    return open(path, "rb")


def read_bytes(path: Path, error: type[EmbalignError], remedy: str, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes. Raises `error`."""
    with reading(path, error, remedy), opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise error(f"{path}: {size} bytes; the limit is {limit}; {remedy}")
        return file.read()


def read_json(
    path: Path,
    error: type[EmbalignError],
    remedy: str,
    kind: type[Kind],
    *,
    what: str = "",
    limit: int = 16 * MEBI,
    nan: bool = False,
) -> Kind:
    """Return the JSON in a file as `kind`. Raises `error`, also for keys that stand there twice and lone surrogates.

    `what` says what a file is not if that fails. A byte order mark is accepted, and with `nan` numbers that are not
    finite.
    """
    content = read_bytes(path, error, remedy, limit)
    with reading(path, error, remedy, what or "not valid JSON"):
        found = _decoder(nan=nan).decode(_text(content))
        if SURROGATE.search(content.decode("latin-1")):
            json.dumps(found, ensure_ascii=False).encode()
    with reading(path, error, remedy, what or "not what belongs there"):
        return msgspec.convert(found, kind)


def read_toml(path: Path, error: type[EmbalignError], remedy: str, *, limit: int) -> dict[str, Any]:
    """Return the TOML in a file; a byte order mark is accepted. Raises `error`."""
    content = read_bytes(path, error, remedy, limit)
    with reading(path, error, remedy, "not valid TOML"):
        text = _text(content)
        for number, line in enumerate(text.split("\n"), start=1):
            if (dots := line.count(".")) > MOST_DOTS:
                raise ValueError(f"line {number} has {dots} dots; the limit is {MOST_DOTS}")
        return tomllib.loads(text)


def as_array(content: bytes, path: Path, error: type[EmbalignError], remedy: str) -> Any:
    """Return the array in the content of an .npy file; nothing is unpickled. Raises `error`."""
    with reading(path, error, remedy, "not a readable .npy file of numbers"):
        if not content.startswith(NUMPY):  # which NumPy would take for a pickle, and say how to load it unsafely
            raise ValueError(
                "it is an archive, such as .npz" if content.startswith(ZIP) else "it does not begin as one"
            )
        try:
            return load_array(io.BytesIO(content), allow_pickle=False)
        except ValueError as fault:
            if "allow_pickle" in str(fault):
                raise ValueError("it holds objects, which are never loaded") from None
            raise


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object. Raises ValueError for a key that stands there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = collections.Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(twice)} stands there twice")
    return found


def said(fault: BaseException) -> str:
    """Return an exception's words as one line of printable characters, shortened; its type where it has none.

    Of a fault of the system that is its cause alone, without number and path.
    """
    if isinstance(fault, UnicodeDecodeError):
        return f"byte {fault.start} is not UTF-8; save the file as UTF-8"
    if isinstance(fault, OSError) and fault.strerror:
        return one_line(str(fault.strerror), SAID)
    return one_line(" ".join(str(fault).split()), SAID) or type(fault).__name__


def said_of(fault: BaseException) -> str:
    """Return an exception's words after the path that it names, where it is a fault of the system."""
    path = fault.filename if isinstance(fault, OSError) and isinstance(fault.filename, str | bytes) else ""
    return f"{one_line(os.fsdecode(path), SAID)}: {said(fault)}" if path else said(fault)


def quoted(value: object) -> str:
    """Return a value from a file as a message shows it: in quotes, escaped, shortened.

    >>> quoted("a" * 100) == repr("a" * 60) + "..."
    True
    """
    if isinstance(value, str):
        return repr(value[:SHOWN]) + ("..." if len(value) > SHOWN else "")
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig")


def _decoder(*, nan: bool) -> json.JSONDecoder:
    def number(text: str) -> float:
        value = float(text)
        if not nan and value in (float("inf"), float("-inf")):
            raise ValueError(f"the number {quoted(text)} is too large")
        return value

    def whole(text: str) -> int:
        if len(text) > MOST_DIGITS:
            raise ValueError(f"a number of {len(text)} digits; the limit is {MOST_DIGITS}")
        return int(text)

    def constant(text: str) -> float:
        if not nan:
            raise ValueError(f"{text} is no number of JSON")
        return float(text)

    return json.JSONDecoder(object_pairs_hook=unique, parse_float=number, parse_int=whole, parse_constant=constant)

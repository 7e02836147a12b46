"""What a caller may give: vectors, labels and numbers, checked and brought into one form, or refused in words.

Arrays, lists, pandas and torch are taken alike, of any number format and memory order. What cannot be meant raises
TypeError or ValueError that names the argument, says what was found, and what to give instead.
"""

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from embalign.pairs import Vectors
from embalign.pairs.picked import Picked

UNIT = 0.01  # how far a length may be from 1: vectors kept in half precision are off by less
SHOWN = 60  # characters of a refused value
MOST = 2**32 - 1  # what the libraries take for a seed
MISSING = ("NoneType", "NAType", "NaTType")  # types whose value is that there is none


def name_of(function: Callable[..., Any]) -> str:
    """Return the name by which messages and tables know a function."""
    return str(getattr(function, "__name__", None) or function)


def takes(function: Callable[..., Any], count: int) -> bool:
    """Return whether a function can be called with so many arguments by place."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):  # ValueError: built in, without a signature
        return False
    return True


def described(value: object) -> str:
    """Return in a few words what a value is: its shape and type, or itself if it is short."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape} and type {value.dtype}"
    shape = getattr(value, "shape", None)
    if shape is not None and shape != ():
        return f"a {type(value).__name__} of shape {tuple(shape)}"
    text = repr(value.item() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def array(value: Any, name: str) -> NDArray[Any]:
    """Return what a caller gave as an array: a list, a Series, a frame, or a tensor wherever it is."""
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu()
        value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} has rows of unequal length; give one row of equal length per item") from None


def vectors(
    value: object, name: str, *, width: int | None = None, rows: int | None = None, least: int = 1, double: bool = False
) -> Vectors:
    """Return vectors (n, d) with `least` rows or more as float32, the same object where they are that already.

    float64 is kept if `double`. Raises TypeError for what is not numbers, ValueError for another shape, none at all,
    NaN and infinite values.
    """
    found = array(value, name)
    if found.dtype.kind == "O":
        found = from_objects(value, found, name)
    if found.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, found {_shown(value, found)}; give an array (n, d) of floats")
    if found.ndim == 2 and found.shape[1] and len(found) < least:
        raise ValueError(f"{name} has no rows, {described(found)}; give at least one item")
    if found.ndim != 2 or found.shape[1] == 0:
        hint = f": {name}[None] is a list of one" if found.ndim == 1 and len(found) else ""
        raise ValueError(f"{name} must be (n, d), one vector per row, found {_shown(value, found)}{hint}")
    if rows is not None and len(found) != rows:
        raise ValueError(f"{name} must have one row for each of {rows} items, found {described(found)}")
    if width is not None and found.shape[1] != width:
        raise ValueError(f"{name} must have {width} columns, found {described(found)}")
    with np.errstate(over="ignore"):
        plain: Vectors = np.asarray(found, dtype=np.float64 if double and found.dtype == np.float64 else np.float32)
    if min(plain.strides) < 0 or not plain.flags.writeable:  # torch takes neither without a word
        plain = plain.copy()
    if not np.isfinite(plain).all():
        row = int(np.flatnonzero(~np.isfinite(plain).all(axis=1))[0])
        raise ValueError(f"{name} holds NaN or infinite values, first in row {row}; fix or leave out such rows")
    return plain


def pair_of_vectors(draft: object, teacher: object) -> tuple[Vectors, Vectors]:
    """Return draft (n, d_draft) and teacher (n, d_teacher) of the same items. Raises as `vectors` does.

    Rows that were picked from a mapped file pass as they are: they were checked when it was loaded.
    """
    left, right = (
        cast("Vectors", side) if isinstance(side, Picked) else vectors(side, name)
        for side, name in ((draft, "draft"), (teacher, "teacher"))
    )
    if len(left) != len(right):
        raise ValueError(
            f"draft has {len(left)} rows and teacher {len(right)}: row i of both must be the same text, so drop what "
            "one side lacks"
        )
    return left, right


def unit_vectors(value: object, name: str) -> Vectors:
    """Return vectors (n, d) at length 1. Raises as `vectors` does, and ValueError for a vector of length 0."""
    found = vectors(value, name)
    lengths = np.linalg.norm(found.astype(np.float64), axis=1, keepdims=True)
    if len(empty := np.flatnonzero(lengths == 0)):
        raise ValueError(f"row {empty[0]} of {name} has length 0, so it has no direction; leave it out")
    return np.asarray(found / lengths, np.float32)


def check_unit(found: Vectors, name: str) -> None:
    """Raise ValueError for vectors that are not of length 1; all zeros are let pass, they pull at nothing."""
    if isinstance(found, Picked):  # checked when it was loaded
        return
    lengths = np.sqrt(np.einsum("ij,ij->i", found, found))
    wrong = np.flatnonzero((np.abs(lengths - 1) > UNIT) & (lengths > 0))
    if len(wrong):
        raise ValueError(
            f"{name} must hold vectors of length 1, row {wrong[0]} has length {lengths[wrong[0]]:.4g}; divide each row "
            f"by its length: {name} / numpy.linalg.norm({name}, axis=1, keepdims=True)"
        )


def labels(value: object, name: str, rows: int) -> NDArray[Any]:
    """Return one label (n,) for each of `rows` items.

    Raises TypeError for labels of several types, ValueError for another number of them and for missing ones.
    """
    found = array(value, name)
    if found.ndim != 1 or len(found) != rows:
        raise ValueError(f"{name} must hold one value for each of {rows} items, found {_shown(value, found)}")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise ValueError(f"{name} lacks a value at position {int(np.isnan(found).argmax())}; give every item one")
    if found.dtype.kind != "O":
        return found
    if missing := [place for place, each in enumerate(found) if type(each).__name__ in MISSING or each != each]:
        raise ValueError(f"{name} lacks a value at position {missing[0]}; give every item one")
    kinds = {type(each).__name__ for each in found}
    if len(kinds) > 1:
        raise TypeError(f"{name} must be of one type, found {', '.join(sorted(kinds))}; give strings or whole numbers")
    return np.array(found.tolist())


def numbers_of(value: object, name: str) -> NDArray[Any]:
    """Return numbers (n,), booleans among them. Raises TypeError for anything else, ValueError for another shape."""
    found = array(value, name)
    if found.dtype.kind == "O":
        found = from_objects(value, found, name)
    if found.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold numbers, found {_shown(value, found)}")
    if found.ndim != 1:
        raise ValueError(f"{name} must be (n,), one number per item, found {_shown(value, found)}")
    return found


def whole_number(value: object, name: str, least: int = 0) -> int:
    """Return a whole number of at least `least` and at most `MOST`.

    Raises TypeError for anything but a whole number, ValueError for a smaller or larger one.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number of at least {least}, found {described(value)}")
    plain = int(value)
    if not least <= plain <= MOST:
        bound = f"at least {least}" if plain < least else f"at most {MOST}"
        raise ValueError(f"{name} must be a whole number of {bound}, found {described(plain)}")
    return plain


def number(value: object, name: str, least: float = -math.inf) -> float:
    """Return a finite number of at least `least`.

    Raises TypeError for anything but a number, ValueError for one that is not finite or smaller.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, found {described(value)}")
    try:
        plain = float(value)
    except OverflowError:
        plain = math.inf
    if not (math.isfinite(plain) and plain >= least):
        bound = "" if math.isinf(least) else f" and at least {least:g}"
        raise ValueError(f"{name} must be finite{bound}, found {described(value)}")
    return plain


def _shown(value: object, found: NDArray[Any]) -> str:
    return described(found if found.ndim else value)


def from_objects(value: object, found: NDArray[Any], name: str) -> NDArray[Any]:
    """Return numbers that came as objects as float64. Raises TypeError if one is none."""
    try:
        return found.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must hold numbers, found {_shown(value, found)}; give an array of floats") from None

"""Vectors as a file holds them: which shapes and types are vectors, and how rows are read from a file of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embalign.errors import VectorsError

Rows = slice | NDArray[np.int64]
Floats = NDArray[np.floating]
BFLOAT16 = "bfloat16"
FEWEST_DIMENSIONS = 2
ID_NAMES = ("id", "_id", "ids")
_ODD_TYPES = {
    "b": "truth values",
    "u": "unsigned integers, as packed bits or shifted values are; unpack or rescale them to floats",
    "c": "complex numbers; save their real parts, or real and imaginary parts side by side",
    "U": "strings; convert them to floats",
    "S": "strings; convert them to floats",
    "V": "of a type that NumPy does not name, as bfloat16 saved by another library; convert them to float32",
}


@dataclass(frozen=True, eq=False)
class Stored:
    """Vectors (n, d) of one file, read in blocks of rows; `values` is mapped from the file, not loaded.

    `name` is that of the tensor, array or column, `kind` the type of the values. Integers may have a `scale` (n,) and a
    `dimension_scale` (d,) that they are multiplied by. `ids` are those that the file itself gives its rows.
    """

    path: Path
    name: str
    kind: str
    values: NDArray[Any]
    scale: NDArray[Any] | None = None
    dimension_scale: NDArray[Any] | None = None
    ids: Sequence[str] | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    @property
    def dimension(self) -> int:
        """The number of values of a vector."""
        return int(self.values.shape[1])

    @property
    def shown(self) -> str:
        """The file, and what in it, for messages."""
        return f"{self.path}:{self.name}" if self.name else str(self.path)

    def read(self, rows: Rows) -> Floats:
        """Return some rows as float32, or as float64 if the file has more digits than that."""
        block = np.asarray(self.values[rows])
        if self.kind == BFLOAT16:  # the upper half of a float32
            return (block.astype(np.uint32) << 16).view(np.float32)
        wide = block.dtype.kind == "f" and block.dtype.itemsize > 4
        with np.errstate(over="ignore"):  # what is not finite is found by who reads
            found: Floats = block.astype(np.float64 if wide else np.float32)
        if self.scale is not None:
            found *= self.scale[rows, None]
        if self.dimension_scale is not None:
            found *= self.dimension_scale
        return found


def check_are_vectors(shown: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise VectorsError unless shape and type are those of vectors, one row per text."""
    check_type(shown, dtype)
    if len(shape) != 2:
        raise VectorsError(f"{shown}: {_odd_shape(shape)}")
    if shape[0] == 0:
        raise VectorsError(f"{shown}: shape {shape}: no rows; save one vector per text")
    if shape[1] < FEWEST_DIMENSIONS:
        raise VectorsError(
            f"{shown}: shape {shape}: a vector needs at least {FEWEST_DIMENSIONS} values; save an array (texts, "
            "dimensions)"
        )


def check_type(shown: str, dtype: np.dtype[Any]) -> None:
    """Raise VectorsError for a type whose values are no numbers of vectors."""
    if dtype.hasobject:
        raise VectorsError(
            f"{shown}: an array of Python objects is a pickle, which can run code and is never loaded; save numbers: "
            "numpy.save('vectors.npy', numpy.stack(list(array)).astype('float32'))"
        )
    if dtype.names:
        raise VectorsError(
            f"{shown}: a structured array with the fields {', '.join(dtype.names)}; save the field of "
            "the vectors alone, as a plain array (texts, dimensions)"
        )
    if dtype.kind not in "fi":
        raise VectorsError(f"{shown}: its values ({dtype}) are {_ODD_TYPES.get(dtype.kind, 'no numbers')}")


def _odd_shape(shape: tuple[int, ...]) -> str:
    wanted = "an array (texts, dimensions) is needed"
    if len(shape) < 2:
        return f"shape {shape}: {wanted}; reshape it: array.reshape(texts, -1)"
    if 1 in shape[1:]:
        return f"shape {shape}: {wanted}; remove the axis of length 1: array.reshape({shape[0]}, -1)"
    return f"shape {shape}: {wanted}, one vector per text; pool the vectors of tokens or layers first"

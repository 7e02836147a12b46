"""Arrays of many rows that are kept in temporary files (`TMPDIR`): the system can take the memory of their pages back.

An array over such a file is read and changed as any other; changes stay in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from embalign.pairs.picked import MANY

Numbers = TypeVar("Numbers", bound=np.generic)


def written(blocks: Iterable[NDArray[Any]], dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Return the blocks, one after the other, as an array over a temporary file. OSError where none can be written."""
    with tempfile.TemporaryFile() as temporary:
        for block in blocks:
            temporary.write(np.ascontiguousarray(block).view(np.uint8).data)
        temporary.flush()
        return np.memmap(temporary, dtype, "c", shape=shape)


def stored(numbers: NDArray[Numbers]) -> NDArray[Numbers]:
    """Return numbers (n,) as they are, or of more than 65,536 an array over a temporary file.

    Where no such file can be written they are held.
    """
    if len(numbers) <= MANY:
        return numbers
    try:
        return np.asarray(written([numbers], numbers.dtype, numbers.shape))
    except OSError:
        return numbers

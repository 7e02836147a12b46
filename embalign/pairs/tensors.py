"""Safetensors files, opened with care: what lies there may be anything, and a header may ask for gigabytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from safetensors import safe_open

from embalign.errors import PairError
from embalign.readers import MEBI, opened, reading

TENSOR = "embeddings"
LARGEST_HEADER = MEBI  # a pair's file has at most three tensors; a hostile header of 100 MB takes gigabytes
_NOT_ONE = f"not a safetensors file with a tensor {TENSOR!r}"
_REMEDY = "save it again with safetensors, or move embeddings/ away and rerun to embed the pair"


@contextmanager
def opened_tensors(path: Path) -> Iterator[Any]:
    """Yield a safetensors file, open for NumPy. Raises PairError for whatever else lies there."""
    if not os.path.lexists(path):
        raise PairError(f"{path}: no such file; this pair has not been embedded yet")
    with reading(path, PairError, _REMEDY, _NOT_ONE):
        with opened(path) as plain:
            if (size := int.from_bytes(plain.read(8), "little")) > LARGEST_HEADER:
                raise PairError(f"{path}: {_NOT_ONE} (a header of {size} bytes; the limit is {LARGEST_HEADER})")
        with safe_open(path, framework="numpy") as file:
            yield file


def tensor_offset(path: Path) -> int:
    """Return at which byte of a file that `opened_tensors` has opened the values of `embeddings` begin."""
    with opened(path) as file:
        size = int.from_bytes(file.read(8), "little")
        return 8 + size + int(msgspec.json.decode(file.read(size))[TENSOR]["data_offsets"][0])

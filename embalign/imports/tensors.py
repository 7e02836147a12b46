"""Safetensors files of any type of float, mapped: also those that this package writes, int8 rows with their scales."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embalign.errors import VectorsError
from embalign.imports.stored import BFLOAT16, Stored, check_are_vectors
from embalign.lazy import lazy
from embalign.pairs.vectors import DIMENSION_SCALE, SCALE
from embalign.readers import opened, quoted, reading

safe_open = lazy("safetensors").safe_open

LARGEST_HEADER = 16 * 2**20  # that of a large model; vectors need a hundred bytes
# BF16 is read as the bits that it is; NumPy has no such type.
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I8": "|i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}
_REMEDY = "save it again with safetensors"


def read_safetensors(path: Path, name: str, staging: Path) -> Stored:
    """Return the vectors of a safetensors file: its one tensor (n, d), or the named one. Raises VectorsError."""
    with reading(path, VectorsError, _REMEDY, "not a safetensors file"):
        with opened(path) as file:
            size = int.from_bytes(file.read(8), "little")
            if size > LARGEST_HEADER:
                raise ValueError(f"a header of {size} bytes; the limit is {LARGEST_HEADER}")
            header = json.loads(file.read(size))
        with safe_open(path, framework="numpy"):  # refuses offsets that do not fit
            pass
        tensors: dict[str, Any] = {key: value for key, value in header.items() if key != "__metadata__"}
        name = name or _only_tensor(path, tensors)
        if name not in tensors:
            raise VectorsError(f"{path}: no tensor {quoted(name)}; it holds {_listed(tensors)}")
        kind, shape = tensors[name]["dtype"], tuple(tensors[name]["shape"])
        shown = f"{path}:{name}"
        if kind not in _TYPES:
            raise VectorsError(f"{shown}: its values are {kind}; save them as one of {', '.join(_TYPES)}")
        dtype = np.dtype(_TYPES["F32" if kind == "BF16" else kind])
        check_are_vectors(shown, shape, dtype)

        def mapped(key: str) -> NDArray[Any]:
            about = tensors[key]
            start = 8 + size + about["data_offsets"][0]
            return np.memmap(path, _TYPES[about["dtype"]], "r", start, tuple(about["shape"]))

        scale = mapped(SCALE) if _is_scale(tensors.get(SCALE), kind, shape[0]) else None
        dimension_scale = mapped(DIMENSION_SCALE) if _is_scale(tensors.get(DIMENSION_SCALE), kind, shape[1]) else None
        return Stored(path, name, BFLOAT16 if kind == "BF16" else dtype.name, mapped(name), scale, dimension_scale)


def _only_tensor(path: Path, tensors: dict[str, Any]) -> str:
    found = [name for name, about in tensors.items() if len(about["shape"]) == 2] or list(tensors)
    if not found:
        raise VectorsError(f"{path}: it holds no tensor; save one, (texts, dimensions)")
    if len(found) > 1:
        raise VectorsError(f"{path}: it holds {_listed(tensors)}; name one: {path}:{found[0]}")
    return found[0]


def _listed(tensors: dict[str, Any]) -> str:
    return ", ".join(f"{quoted(name)} {tuple(about['shape'])}" for name, about in list(tensors.items())[:8])


def _is_scale(about: dict[str, Any] | None, kind: str, count: int) -> bool:
    return kind == "I8" and about is not None and (about["dtype"], about["shape"]) == ("F32", [count])

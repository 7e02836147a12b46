"""The embeddings of one side of a pair: a safetensors file with a tensor `embeddings`, one row per text.

Values are floats, or int8 with a tensor `scale`, float32 (n,): row i is then embeddings[i] * scale[i], half the bytes
of float16. Header and digest are checked before the first cell, the values when they are loaded. Nothing is unpickled.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.config import Storage
from embalign.pairs.provenance import PROVENANCE, TENSOR, file_digest, vectors_path
from embalign.pairs.texts import OF_QUERIES

SCALE = "scale"
INTEGERS = "I8"
TYPES = ("F16", "F32", "F64", INTEGERS)
LARGEST = 127  # of an int8 that has a negative
UNIT_TOLERANCE = 0.01
BLOCK = 8192  # rows that are changed at once


def write_vectors(path: Path, vectors: Vectors, storage: Storage) -> None:
    """Write embeddings (n, d) of length 1 as float16, or as int8 rows with a scale each.

    The cosine of an int8 row to the vector it was made from is 0.9999 or more where no dimension stands out. A row with
    one that does has coarser steps: SmolLM2's come to 0.9998.
    """
    if storage == "float16":
        save_file({TENSOR: np.ascontiguousarray(vectors, np.float16)}, path)
        return
    scale = np.abs(vectors).max(axis=1).astype(np.float32) / LARGEST
    integers = np.rint(vectors / scale[:, None]).astype(np.int8)
    save_file({TENSOR: integers, SCALE: scale}, path)


def check_vectors_file(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> None:
    """Raise PairError unless the file has `count` rows, the recorded dimension and the recorded SHA-256.

    Loads no vector.
    """
    path = vectors_path(folder, role)
    with _opened(path) as file:
        part = file.get_slice(TENSOR)
        shape, kind = tuple(part.get_shape()), part.get_dtype()
        scale = file.get_slice(SCALE) if SCALE in file.keys() else None  # noqa: SIM118, a file is no mapping
        scaled = None if scale is None else (tuple(scale.get_shape()), scale.get_dtype())
    recorded = provenance[role]
    if recorded["sha256"] != (actual := file_digest(path)):
        raise PairError(differs(path, actual, recorded["sha256"]))
    if kind not in TYPES:
        raise PairError(f"{path}: its values are {kind}; save them as one of {', '.join(TYPES)}")
    if len(shape) != 2 or shape[0] != count:
        texts = "queries, which are" if role.endswith(OF_QUERIES) else "corpus, which has"
        raise PairError(f"{path}: shape {shape} does not match the {texts} {count} for this side")
    if kind == INTEGERS and scaled != ((count,), "F32"):
        found = "none" if scaled is None else f"{scaled[1]} of shape {scaled[0]}"
        raise PairError(
            f"{path}: int8 rows need a tensor {SCALE!r}, float32 of shape ({count},), and there is {found}; a vector "
            f"is {TENSOR} * {SCALE}"
        )
    if shape[1] != recorded.get("dimension"):
        raise PairError(
            f"{path}: its vectors have dimension {shape[1]}, {PROVENANCE} records {recorded.get('dimension')}; correct "
            f"{role}.dimension there"
        )


def read_vectors(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> Vectors:
    """Return the checked embeddings (count, d) of one file, scaled to length 1. Raises PairError that names the row."""
    check_vectors_file(folder, role, count, provenance)
    path = vectors_path(folder, role)
    with _opened(path) as file:
        stored = file.get_tensor(TENSOR)
        scale = file.get_tensor(SCALE) if stored.dtype == np.int8 else None
    vectors: Vectors = stored if stored.dtype == np.float32 else np.empty(stored.shape, np.float32)
    for start in range(0, count, BLOCK):
        rows = slice(start, start + BLOCK)
        block = stored[rows].astype(np.float32)
        if scale is not None:
            block *= scale[rows, None]
        norms = np.linalg.norm(block, axis=1)
        bad = ~np.isfinite(norms) | (np.abs(norms - 1) > UNIT_TOLERANCE)
        if bad.any():
            row = int(bad.argmax())
            raise PairError(
                f"{path}: row {start + row} has length {norms[row]:.4g}; each embedding must be finite and of length 1"
            )
        np.divide(block, norms[:, None], out=vectors[rows])
    return vectors


def differs(path: Path, actual: str, recorded: str) -> str:
    """Return the message for a file whose digest is not the recorded one."""
    return (
        f"{path}: its SHA-256 is {actual}, but embeddings/{PROVENANCE} records {recorded}. The corpus or the vectors "
        "have changed since the pair was embedded; restore the file, or rerun with --refresh to embed the pair again"
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise PairError(f"{path}: no such file; this pair has not been embedded yet") from None
    except OSError as error:
        raise PairError(f"{path}: cannot be read ({error})") from None
    except SafetensorError as error:
        raise PairError(f"{path}: not a safetensors file with a tensor {TENSOR!r} ({error})") from None

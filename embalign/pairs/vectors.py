"""The embeddings of one side of a pair: a safetensors file with a tensor `embeddings`, one row per item.

Header and digest are checked before the first cell, the values when they are loaded. Nothing is unpickled.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.provenance import PROVENANCE, TENSOR, file_digest, vectors_path

TYPES = ("F16", "F32", "F64")
UNIT_TOLERANCE = 0.01


def check_vectors_file(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> None:
    """Raise PairError unless the file has `count` rows, the recorded dimension and the recorded SHA-256.

    Loads no vector.
    """
    path = vectors_path(folder, role)
    with _opened(path) as file:
        part = file.get_slice(TENSOR)
        shape, kind = tuple(part.get_shape()), part.get_dtype()
    recorded = provenance[role]
    if recorded["sha256"] != (actual := file_digest(path)):
        raise PairError(differs(path, actual, recorded["sha256"]))
    if kind not in TYPES:
        raise PairError(f"{path}: its values are {kind}; save them as one of {', '.join(TYPES)}")
    if len(shape) != 2 or shape[0] != count:
        raise PairError(f"{path}: shape {shape} does not match the corpus, which has {count} items for this side")
    if shape[1] != recorded.get("dimension"):
        raise PairError(
            f"{path}: its vectors have dimension {shape[1]}, {PROVENANCE} records {recorded.get('dimension')}; correct "
            f"{role}.dimension there"
        )


def read_vectors(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> Vectors:
    """Return the checked embeddings (count, d) of one side, scaled to length 1. Raises PairError that names the row."""
    check_vectors_file(folder, role, count, provenance)
    path = vectors_path(folder, role)
    with _opened(path) as file:
        vectors: Vectors = file.get_tensor(TENSOR).astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1)
    bad = ~np.isfinite(norms) | (np.abs(norms - 1) > UNIT_TOLERANCE)
    if bad.any():
        row = int(bad.argmax())
        raise PairError(f"{path}: row {row} has length {norms[row]:.4g}; each embedding must be finite and of length 1")
    scaled: Vectors = vectors / norms[:, None]
    return scaled


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

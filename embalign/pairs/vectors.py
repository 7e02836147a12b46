"""The embeddings of one side of a pair: a safetensors file with a tensor `embeddings`, one row per text.

Values are floats, or int8 with a tensor `scale`, float32 (n,): row i is then embeddings[i] * scale[i], half the bytes
of float16. A tensor `dimension_scale`, float32 (d,), is a further factor of each dimension, for models in which a few
dimensions stand out. Header and digest are checked before the first cell, the values when they are loaded. Nothing is
unpickled.

Files of more than 65,536 rows are not held in memory but mapped: a file of float32 as it is, so that all processes
share its pages, and of others a temporary file of the float32 vectors that they stand for.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.config import IMPORTED, PairConfig, Storage
from embalign.pairs.picked import MANY
from embalign.pairs.provenance import PROVENANCE, file_digest, vectors_path
from embalign.pairs.stored_arrays import written
from embalign.pairs.tensors import TENSOR, opened_tensors, tensor_offset
from embalign.pairs.texts import OF_QUERIES, model_of, prompt_of

SCALE, DIMENSION_SCALE = "scale", "dimension_scale"
INTEGERS = "I8"
TYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64, INTEGERS: np.int8}
LARGEST = 127  # of an int8 that has a negative
LEAST_COSINE = 0.9999  # of an int8 row to the vector it was made from
STANDS_OUT = 0.95  # a dimension whose largest value is above this quantile over dimensions
UNIT_TOLERANCE = 0.01
ROUNDED = 1e-5  # how far a length is from 1 in vectors of float32 that were scaled to it
BLOCK = 8192  # rows that are changed at once


def write_vectors(path: Path, vectors: Vectors, storage: Storage) -> None:
    """Write embeddings (n, d) of length 1 as float16, or as int8 rows with a scale each.

    The steps of an int8 row are set by its largest value. Where a dimension stands out, as in language models, all
    others would have few steps: if a row's cosine to the vector it was made from came below 0.9999, the twentieth of
    the dimensions with the largest values have a scale of their own.
    """
    if storage == "float16":
        save_file({TENSOR: np.ascontiguousarray(vectors, np.float16)}, path)
        return
    tensors = _integers(vectors)
    if _lowest_cosine(tensors, vectors) < LEAST_COSINE:
        largest = np.abs(vectors).max(axis=0)
        factor = np.maximum(largest / np.quantile(largest, STANDS_OUT), 1).astype(np.float32)
        tensors = _integers(vectors / factor) | {DIMENSION_SCALE: factor}
    save_file(tensors, path)


def _integers(vectors: Vectors) -> dict[str, NDArray[Any]]:
    scale = np.abs(vectors).max(axis=1).astype(np.float32) / LARGEST
    return {TENSOR: np.rint(vectors / scale[:, None]).astype(np.int8), SCALE: scale}


def _lowest_cosine(tensors: Mapping[str, NDArray[Any]], vectors: Vectors) -> float:
    """Return the lowest cosine of rows of integers, whatever their scale, to the vectors they were made from."""
    lowest = 1.0
    for start in range(0, len(vectors), BLOCK):
        rows = slice(start, start + BLOCK)
        integers, exact = tensors[TENSOR][rows].astype(np.float64), vectors[rows].astype(np.float64)
        lengths = np.linalg.norm(integers, axis=1) * np.linalg.norm(exact, axis=1)
        lowest = min(lowest, float((np.einsum("nd,nd->n", integers, exact) / lengths).min()))
    return lowest


def check_vectors_file(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> None:
    """Raise PairError unless the file has `count` rows, the recorded dimension and the recorded SHA-256.

    Loads no vector.
    """
    path = vectors_path(folder, role)
    with opened_tensors(path) as file:
        file.get_slice(TENSOR)
        about = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, a file is no mapping
        found = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in about.items()}
    shape, kind = found[TENSOR]
    recorded = provenance[role]
    if recorded["sha256"] != (actual := file_digest(path)):
        raise PairError(differs(path, actual, recorded["sha256"], imported=IMPORTED in recorded))
    if kind not in TYPES:
        raise PairError(f"{path}: its values are {kind}; save them as one of {', '.join(TYPES)}")
    if len(shape) != 2 or shape[0] != count:
        texts = "queries, which are" if role.endswith(OF_QUERIES) else "corpus, which has"
        raise PairError(f"{path}: shape {shape} does not match the {texts} {count} for this side")
    if kind == INTEGERS:
        _check_scale(path, SCALE, found.get(SCALE), count)
        if DIMENSION_SCALE in found:
            _check_scale(path, DIMENSION_SCALE, found[DIMENSION_SCALE], shape[1])
    if shape[1] != recorded.get("dimension"):
        raise PairError(
            f"{path}: its vectors have dimension {shape[1]}, {PROVENANCE} records {recorded.get('dimension')}; correct "
            f"{role}.dimension there"
        )


def _check_scale(path: Path, name: str, found: tuple[tuple[int, ...], str] | None, count: int) -> None:
    if found != ((count,), "F32"):
        there = "none" if found is None else f"{found[1]} of shape {found[0]}"
        raise PairError(
            f"{path}: int8 rows need a tensor {name!r}, float32 of shape ({count},), and there is {there}; a vector is "
            f"{TENSOR} * {SCALE}, times {DIMENSION_SCALE} if there is one"
        )


def check_is_as_asked(folder: Path, config: PairConfig, part: str, recorded: Mapping[str, Any]) -> None:
    """Raise PairError if a vectors file was made with another prompt or other dimensions than pair.toml now names.

    Of vectors that were made elsewhere the prompt is known only if it is recorded.
    """
    model, prompt = model_of(config, part), prompt_of(config, part)
    made_with = recorded.get("prompt", "" if "source" in recorded else prompt)
    dimensions = recorded.get("dimensions") if model.dimensions is None else recorded.get("dimension")
    for what, found, asked in (("prompt", made_with, prompt), ("dimensions", dimensions, model.dimensions)):
        if found != asked:
            again = "import the vectors" if IMPORTED in recorded else "rerun with --refresh to embed the pair"
            raise PairError(
                f"{vectors_path(folder, part)}: made with {what} {found!r}, pair.toml now names {asked!r} for it; "
                f"restore pair.toml, or {again} again"
            )


def read_vectors(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> Vectors:
    """Return the checked embeddings (count, d) of one file, scaled to length 1. Raises PairError that names the row.

    More than 65,536 are an array over a mapped file. Writing to it changes no file of the pair.
    """
    check_vectors_file(folder, role, count, provenance)
    path = vectors_path(folder, role)
    if count > MANY:
        return _mapped(path)
    with opened_tensors(path) as file:
        stored = file.get_tensor(TENSOR)
        scale, factor = _scales(file)
    vectors: Vectors = stored if stored.dtype == np.float32 else np.empty(stored.shape, np.float32)
    for rows, block in _unit_blocks(path, stored, scale, factor):
        vectors[rows] = block
    return vectors


def _mapped(path: Path) -> Vectors:
    """Embeddings as an array over a file: their own if that holds float32 of length 1, or else a temporary one."""
    with opened_tensors(path) as file:
        about = file.get_slice(TENSOR)
        shape, kind = tuple(about.get_shape()), about.get_dtype()
        scale, factor = _scales(file)
    stored = np.memmap(path, TYPES[kind], "c", offset=tensor_offset(path), shape=shape)
    if kind == "F32" and stored.flags.aligned and all(apart <= ROUNDED for apart in _distances_from_unit(path, stored)):
        return stored
    try:
        return written((block for _, block in _unit_blocks(path, stored, scale, factor)), np.dtype(np.float32), shape)
    except OSError as error:
        size = 4 * shape[0] * shape[1]
        raise PairError(
            f"{path}: its vectors take {size} bytes as float32, and a temporary file in {tempfile.gettempdir()} cannot "
            f"hold them: {error}; set TMPDIR to a folder with room"
        ) from None


def _scales(file: Any) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    """The factors of rows and of dimensions in an open file of integers, None for those that it does not have."""
    if file.get_slice(TENSOR).get_dtype() != INTEGERS:
        return None, None
    factor = file.get_tensor(DIMENSION_SCALE) if DIMENSION_SCALE in file.keys() else None  # noqa: SIM118, no mapping
    return file.get_tensor(SCALE), factor


def _distances_from_unit(path: Path, stored: Vectors) -> Iterator[float]:
    """Yield for each block of rows how far a length is from 1 at most. Raises PairError as `read_vectors` does."""
    for start in range(0, len(stored), BLOCK):
        norms = np.linalg.norm(stored[start : start + BLOCK], axis=1)
        _check_lengths(path, norms, start)
        yield float(np.abs(norms - 1).max())


def _unit_blocks(
    path: Path, stored: NDArray[Any], scale: NDArray[np.float32] | None, factor: NDArray[np.float32] | None
) -> Iterator[tuple[slice, Vectors]]:
    """Yield the vectors at length 1, and their rows, block by block."""
    for start in range(0, len(stored), BLOCK):
        rows = slice(start, start + BLOCK)
        with np.errstate(all="ignore"):  # values that are not finite are found by their length
            block = stored[rows].astype(np.float32)
            if scale is not None:
                block *= scale[rows, None]
                if factor is not None:
                    block *= factor
            norms = np.linalg.norm(block, axis=1)
        _check_lengths(path, norms, start)
        yield rows, np.divide(block, norms[:, None], out=block)


def _check_lengths(path: Path, norms: NDArray[np.float32], start: int) -> None:
    bad = ~np.isfinite(norms) | (np.abs(norms - 1) > UNIT_TOLERANCE)
    if bad.any():
        row = int(bad.argmax())
        raise PairError(
            f"{path}: row {start + row} has length {norms[row]:.4g}; each embedding must be finite and of length 1"
        )


def differs(path: Path, actual: str, recorded: str, *, imported: bool = False) -> str:
    """Return the message for a file whose digest is not the recorded one."""
    made, again = "embedded", "rerun with --refresh to embed the pair again"
    if imported:
        made, again = "imported", "import vectors of these texts into a new folder with embalign import"
    return (
        f"{path}: its SHA-256 is {actual}, but embeddings/{PROVENANCE} records {recorded}. The corpus or the vectors "
        f"have changed since the pair was {made}; restore the file, or {again}"
    )

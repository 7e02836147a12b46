"""map.safetensors: what an exported map does to queries and to the index, as named arrays; nothing is pickled.

A tensor is named by deployment, side and field: `query_adapter.queries.weights`. The card says of which kind each side
is, and so which tensors belong there and how their shapes fit each other. Needs no torch.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from embalign.deploy.card import Card
from embalign.errors import MapError
from embalign.evaluation.deployment import DEPLOYMENTS, DRAFT_ONLY
from embalign.maps.map import Map
from embalign.maps.transforms import KINDS, Affine, Transform, Unchanged
from embalign.pairs import Vectors
from embalign.readers import MEBI, as_array, quoted, read_bytes, reading

MATRIX, ARRAYS = "W.npy", "map.safetensors"
LARGEST_MAP = 1024 * MEBI
LARGEST_HEADER = MEBI  # a header of 100 MB, which safetensors would take, fills gigabytes
QUERIES, INDEX = "queries", "index"
# Of each kind, the axes of its arrays: i of what goes in, o of what comes out, others of its own.
AXES: Mapping[str, Mapping[str, str]] = {
    "unchanged": {},
    "affine": {"weights": "oi", "offset": "o"},
    "kernel": {"anchors": "mi", "coefficients": "mo", "offset": "o", "width": "1"},
    "residual": {"weights": "oi", "hidden": "hi", "bias": "h", "outer": "oh", "scale": "o", "offset": "o"},
}
_AGAIN = "export the map again"

Sides = tuple[Transform, Transform]


def as_arrays(maps: Mapping[str, Map]) -> bytes:
    """Return the content of map.safetensors: what each deployment's map does to its queries and its index."""
    arrays = {
        f"{deployment}.{side}.{name}": np.ascontiguousarray(array, np.float32)
        for deployment, fitted in maps.items()
        for side, transform in zip((QUERIES, INDEX), fitted.sides(deployment), strict=True)
        for name, array in transform.arrays().items()
    }
    return save(arrays)


def find_file(given: Path) -> Path:
    """Return the map's file for a path to it, to its card, or to their folder. Raises MapError for none and for two."""
    if given.is_dir():
        candidates = [given / ARRAYS, given / MATRIX]
    elif given.suffix in (".npy", ".safetensors"):
        return given
    else:
        candidates = [given.with_suffix(".safetensors"), given.with_suffix(".npy")]
    there = [path for path in candidates if path.is_file()]
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise MapError(f"{given}: {names} are both there; name the one to load")
    described = [path for path in candidates if path.with_suffix(".json").exists()]
    if not there and not described:
        names = " nor ".join(path.name for path in candidates)
        raise MapError(f"{given}: neither {names} is there; embalign export writes one")
    return (there or described)[0]


def read_sides(path: Path, card: Card, deployment: str) -> Sides:
    """Return what a map does to the queries and to the index of a deployment, checked against its card.

    Raises MapError for files that do not fit each other, and for arrays that are not what belongs there.
    """
    content = read_bytes(path, MapError, _AGAIN, LARGEST_MAP)
    described = path.with_suffix(".json").name
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise MapError(f"{path}: not the map that {described} describes (SHA-256 differs); export both again")
    if path.suffix == ".npy":
        return _sides_of_matrix(_matrix(content, path, card, described), deployment)
    if (size := int.from_bytes(content[:8], "little")) > LARGEST_HEADER:
        raise MapError(f"{path}: a header of {size} bytes; the limit is {LARGEST_HEADER}; {_AGAIN}")
    with reading(path, MapError, _AGAIN, "not a safetensors file"):
        arrays = load(content)
    return _checked_sides(arrays, path, card, deployment)


def _matrix(content: bytes, path: Path, card: Card, described: str) -> Vectors:
    weights = as_array(content, path, MapError, _AGAIN)
    if weights.shape != card.shape or weights.dtype.kind != "f":
        found = f"{weights.dtype.name} of shape {weights.shape}"
        raise MapError(f"{path}: {found}, but {described} says floats of {card.shape}; export both again")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(weights, np.float32)
    if not np.isfinite(matrix).all():
        raise MapError(f"{path}: the map holds NaN or infinite values; export it again")
    return matrix


def _sides_of_matrix(matrix: Vectors, deployment: str) -> Sides:
    use, linear = DEPLOYMENTS[deployment], Affine(matrix, np.zeros(len(matrix), np.float32))
    return linear if use.queries == "mapped" else Unchanged(), linear if use.index == "mapped" else Unchanged()


def _checked_sides(arrays: dict[str, Any], path: Path, card: Card, deployment: str) -> Sides:
    """The transforms of a deployment; every tensor of the file must be one that the card speaks of."""
    if deployment not in card.maps and deployment == DRAFT_ONLY:
        raise MapError(f"{path}: only one matrix serves {DRAFT_ONLY}; embalign export --family matrix writes one")
    if deployment not in card.maps:
        raise MapError(f"{path.with_suffix('.json')}: says nothing of the map of {deployment}; {_AGAIN}")
    kinds = {
        (use, side): kind
        for use, fitted in card.maps.items()
        for side, kind in ((QUERIES, fitted.queries), (INDEX, fitted.index))
    }
    if unknown := [kind for kind in kinds.values() if kind not in KINDS]:
        raise MapError(f"{path.with_suffix('.json')}: no kind {quoted(unknown[0])} of {', '.join(KINDS)}; {_AGAIN}")
    expected = {f"{use}.{side}.{name}" for (use, side), kind in kinds.items() for name in AXES[kind]}
    if wrong := sorted(expected ^ arrays.keys()):
        fault = "lacks" if wrong[0] in expected else "has no place for"
        raise MapError(f"{path}: {fault} the tensor {quoted(wrong[0])}; export it again")
    of_teacher, of_draft = card.shape
    queries, index = (of_draft, of_teacher) if DEPLOYMENTS[deployment].queries == "mapped" else (of_teacher, of_draft)
    found = []
    for side, width in ((QUERIES, queries), (INDEX, index)):
        own = {name: arrays[f"{deployment}.{side}.{name}"] for name in AXES[kinds[deployment, side]]}
        found.append(_transform(kinds[deployment, side], own, width, f"{path}: {deployment}.{side}"))
    of_queries, of_index = found
    if (left := width_of(of_queries, queries)) != (right := width_of(of_index, index)):
        raise MapError(f"{path}: queries of {left} and an index of {right} dimensions in {deployment}; {_AGAIN}")
    return of_queries, of_index


def width_of(transform: Transform, width: int) -> int:
    """Return the dimensions of what a transform makes of vectors of a width."""
    arrays = transform.arrays()
    return len(arrays["offset"]) if "offset" in arrays else width


def _transform(kind: str, arrays: Mapping[str, Any], width: int, where: str) -> Transform:
    """The transform of vectors of a width."""
    sizes = {"i": width, "1": 1}
    for name, axes in AXES[kind].items():
        array = arrays[name]
        if array.dtype != np.float32 or array.ndim != len(axes):
            raise MapError(f"{where}.{name}: {array.dtype} of shape {array.shape} is not what belongs there; {_AGAIN}")
        for axis, size in zip(axes, array.shape, strict=True):
            if size < 1 or sizes.setdefault(axis, size) != size:
                unfit = f"shape {array.shape} does not fit vectors of {width} dimensions, or the other arrays"
                raise MapError(f"{where}.{name}: {unfit}; {_AGAIN}")
        if not np.isfinite(array).all():
            raise MapError(f"{where}.{name}: holds NaN or infinite values; export it again")
    if kind == "kernel" and not arrays["width"][0] > 0:
        raise MapError(f"{where}.width: {arrays['width'][0]} is not above 0; {_AGAIN}")
    return KINDS[kind](**arrays)

"""NumPy's own files: .npy is mapped, an array of an .npz is laid out beside the pair first. Nothing is unpickled."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from embalign.errors import VectorsError
from embalign.imports.stored import ID_NAMES, Stored, check_are_vectors
from embalign.readers import opened, quoted, reading

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
_REMEDY = "save it again with numpy.save"
_SUFFIX = ".npy"


def read_npy(path: Path, name: str, staging: Path) -> Stored:
    """Return the vectors of an .npy file. Raises VectorsError."""
    if name:
        raise VectorsError(
            f"{path}: an .npy file holds one array, so it has none named {quoted(name)}; leave out the name"
        )
    values = map_npy(path, str(path))
    return Stored(path, "", _kind(values), values)


def map_npy(path: Path, shown: str) -> NDArray[Any]:
    """Return the array of vectors in an .npy file, mapped. Raises VectorsError."""
    with reading(path, VectorsError, _REMEDY, "not a readable .npy file"):
        with opened(path) as file:
            shape, fortran, dtype = _header(file)
            start = file.tell()
        check_are_vectors(shown, shape, dtype)
        return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def read_npz(path: Path, name: str, staging: Path) -> Stored:
    """Return the vectors of an .npz file: its one array (n, d), or the one with that name. Raises VectorsError."""
    with reading(path, VectorsError, _REMEDY, "not a readable .npz file"), zipfile.ZipFile(path) as archive:
        _refuse_others(path, archive)
        headers = {}
        for member in archive.namelist():
            if member.endswith(_SUFFIX):
                with archive.open(member) as file:
                    headers[member.removesuffix(_SUFFIX)] = _header(file)
        name = name or _only_array(path, headers)
        if name not in headers:
            raise VectorsError(f"{path}: no array {quoted(name)}; it holds {_listed(headers)}")
        shown = f"{path}:{name}"
        check_are_vectors(shown, headers[name][0], headers[name][2])
        laid_out = staging / f"array-{len(list(staging.iterdir()))}{_SUFFIX}"
        with archive.open(name + _SUFFIX) as source, laid_out.open("xb") as target:
            shutil.copyfileobj(source, target, 2**20)
        values = map_npy(laid_out, shown)
        ids = next((_names(archive, each) for each in ID_NAMES if _are_ids(headers.get(each), len(values))), None)
    return Stored(path, name, _kind(values), values, ids=ids)


def _header(file: IO[bytes]) -> Header:
    """Return shape, whether the order is Fortran's, and type; the file is left at the first value."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of the format, which holds fields; save a plain array")
    header: Header = readers[version](file)
    return header


def _refuse_others(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        raise VectorsError(
            f"{path}: a PyTorch file is a pickle, which can run code and is never loaded; save the tensor as an array: "
            "numpy.save('vectors.npy', tensor.float().numpy())"
        )
    if "xl/workbook.xml" in names:
        raise VectorsError(f"{path}: an Excel workbook; save the vectors with numpy.save")
    if not any(name.endswith(_SUFFIX) for name in names):
        raise VectorsError(f"{path}: a zip archive without an array; save the vectors with numpy.save")


def _only_array(path: Path, headers: Mapping[str, Header]) -> str:
    """Return the name of the one array, or of the one that has two axes."""
    if {"data", "indices", "indptr"} <= headers.keys():
        raise VectorsError(
            f"{path}: a sparse matrix; save the dense array: numpy.save('vectors.npy', matrix.toarray())"
        )
    found = [name for name, (shape, _, _) in headers.items() if len(shape) == 2] or list(headers)
    if len(found) > 1:
        raise VectorsError(f"{path}: it holds {_listed(headers)}; name one: {path}:{found[0]}")
    return found[0]


def _listed(headers: Mapping[str, Header]) -> str:
    return ", ".join(f"{quoted(name)} {shape}" for name, (shape, _, _) in list(headers.items())[:8])


def _are_ids(header: Header | None, count: int) -> bool:
    return header is not None and header[0] == (count,) and header[2].kind in "iuUS"


def _names(archive: zipfile.ZipFile, name: str) -> list[str]:
    with archive.open(name + _SUFFIX) as file:
        return names_of(np.lib.format.read_array(file, allow_pickle=False))


def names_of(array: NDArray[Any]) -> list[str]:
    """Return the values of an array of integers or strings as text. Raises UnicodeError for what UTF-8 cannot hold."""
    # An array of strings may hold numbers that are no characters; they are found where they are decoded.
    return [(value if isinstance(value, bytes) else str(value).encode()).decode() for value in array.tolist()]


def _kind(values: NDArray[Any]) -> str:
    return values.dtype.newbyteorder("=").name

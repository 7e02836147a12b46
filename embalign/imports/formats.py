"""Which kind of file it is, seen from its first bytes. What cannot be read is named, with a way on."""

import re
from collections.abc import Callable
from pathlib import Path

from embalign.errors import VectorsError
from embalign.imports.arrays import read_npy, read_npz
from embalign.imports.parquet import read_parquet
from embalign.imports.stored import Stored
from embalign.imports.tensors import LARGEST_HEADER, read_safetensors
from embalign.readers import opened, reading

TAKEN = "give a .npy, .npz, .safetensors or .parquet file of one vector per text"
_READERS: tuple[tuple[bytes, Callable[[Path, str, Path], Stored]], ...] = (
    (b"\x93NUMPY", read_npy),
    (b"PK\x03\x04", read_npz),
    (b"PAR1", read_parquet),
)
_PICKLE = (
    "a pickle, which can run code and is never loaded; save the array: numpy.save('vectors.npy', array), a tensor as "
    "tensor.float().numpy()"
)
_OTHERS = (
    (b"\x80\x02", _PICKLE),
    (b"\x80\x03", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"\x80\x05", _PICKLE),
    (b"\x1f\x8b", "compressed by gzip; decompress it first: gunzip"),
    (b"BZh", "compressed by bzip2; decompress it first: bunzip2"),
    (b"\xfd7zXZ", "compressed by xz; decompress it first: unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; decompress it first: unzstd"),
    (b"\x89HDF", "an HDF5 file; save the array: numpy.save('vectors.npy', file['name'][:])"),
    (b"ARROW1", "an Arrow file; save the table as Parquet: pyarrow.parquet.write_table"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself; fetch it: git lfs pull"),
)
_START = 4096


def open_vectors(given: str, staging: Path) -> Stored:
    """Return the vectors that a path names; `file:name` names a tensor, an array or a column of a file with several.

    What cannot be mapped from the file is laid out in the folder `staging`. Raises VectorsError with the remedy.
    """
    path, name = taken_apart(given)
    with reading(path, VectorsError, TAKEN), opened(path) as file:
        start = file.read(_START)
    if not start:
        raise VectorsError(f"{path}: the file is empty; {TAKEN}")
    for signature, reader in _READERS:
        if start.startswith(signature):
            return reader(path, name, staging)
    for signature, words in _OTHERS:
        if start.startswith(signature):
            raise VectorsError(f"{path}: {words}")
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < LARGEST_HEADER:
        return read_safetensors(path, name, staging)
    raise VectorsError(f"{path}: {_as_text(start, path)}")


def taken_apart(given: str) -> tuple[Path, str]:
    """Return the file and the name of an array in it, "" for none, that `file` or `file:name` says."""
    before, colon, name = given.rpartition(":")
    if colon and before and not Path(given).exists() and Path(before).is_file():
        return Path(before), name
    return Path(given), ""


def _as_text(start: bytes, path: Path) -> str:
    """Return what to do with a file that is text, or with one that is nothing that is known."""
    first = start.partition(b"\n")[0].removeprefix(b"\xef\xbb\xbf")
    try:
        line = first.decode()
    except UnicodeDecodeError:
        return f"no format that is known; {TAKEN}"
    if not line.replace("\t", " ").rstrip().isprintable():
        return f"no format that is known; {TAKEN}"
    if line.startswith(("{", "[")):
        load = f"[json.loads(line)['embedding'] for line in open({str(path)!r})]"
        code = f"numpy.array({load}, 'float32')"
        return f"JSON, not an array; {_converted('json', path, code)}"
    header = "" if re.search("[A-DF-Za-df-z]", line) else ", header=None"
    load = f"pandas.read_csv({str(path)!r}{header}).select_dtypes('number').to_numpy('float32')"
    return f"text, not an array; {_converted('pandas', path, load)}"


def _converted(module: str, path: Path, code: str) -> str:
    return f"convert it: python3 -c \"import numpy, {module}; numpy.save('{path.stem}.npy', {code})\""

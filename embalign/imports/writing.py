"""A new pair folder: built in a hidden folder beside it, and there as a whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from embalign.durable import is_abandoned, own_prefix, remedy_of, sync_folder
from embalign.errors import PairError
from embalign.imports.checks import blocks, of_length_1
from embalign.imports.matching import Side
from embalign.pairs.tensors import TENSOR
from embalign.readers import quoted, said

BUILDING = ".embalign-import-"
OTHER = "name another folder with --out"
_TYPES = {np.dtype(np.float16): "F16", np.dtype(np.float32): "F32"}
_OF_A_PAIR = ("pair.toml", "corpus.jsonl", "embeddings")


@contextlib.contextmanager
def new_folder(out: Path, otherwise: str) -> Iterator[Path]:
    """Yield a hidden folder that becomes `out` when what is inside has ended well; it is removed otherwise.

    `out` must not be there, or be an empty folder: nothing is ever overwritten. Raises PairError before anything is
    read, for what could not be written afterwards; `otherwise` is its remedy.
    """
    out = Path(os.path.abspath(out))
    above: list[Path] = []
    try:
        _refuse_what_is_there(out)
        above = [parent for parent in out.parents if not os.path.lexists(parent)]
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out.parent)
        building = Path(tempfile.mkdtemp(dir=out.parent, prefix=f"{own_prefix(BUILDING)}-"))
    except OSError as error:
        raise PairError(f"{out}: cannot be written ({said(error)}); {remedy_of(error, otherwise)}") from None
    try:
        yield building
        _publish(building, out)
    except OSError as error:
        raise PairError(f"{out}: nothing was imported ({said(error)}); {remedy_of(error, otherwise)}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
        for folder in above:
            with contextlib.suppress(OSError):  # not empty: the new pair is there
                folder.rmdir()


@contextlib.contextmanager
def staging_beside(building: Path) -> Iterator[Path]:
    """Yield a hidden folder for what is laid out before it is read; files may be open still when it is removed."""
    with tempfile.TemporaryDirectory(dir=building.parent, prefix=building.name, ignore_cleanup_errors=True) as name:
        yield Path(name)


def write_side(path: Path, side: Side, *, normalised: bool) -> dict[str, Any]:
    """Write a side's vectors in blocks, at length 1, and return what provenance.json says of the file.

    Float16 stays so, any other type becomes float32. Vectors that are of length 1 as they are stay as they are.
    """
    half = side.stored.kind == "float16"
    dtype = np.dtype(np.float16 if half else np.float32)
    shape = [len(side), side.stored.dimension]
    size = shape[0] * shape[1] * dtype.itemsize
    header = json.dumps({TENSOR: {"dtype": _TYPES[dtype], "shape": shape, "data_offsets": [0, size]}}).encode()
    header += b" " * (-len(header) % 8)
    digest = hashlib.sha256()
    with path.open("xb") as file:
        for part in (len(header).to_bytes(8, "little"), header):
            digest.update(part)
            file.write(part)
        for _, block in blocks(side):
            written = np.ascontiguousarray(block if normalised else of_length_1(block), dtype.newbyteorder("<")).data
            digest.update(written)
            file.write(written)
        file.flush()
        os.fsync(file.fileno())
    return {"vectors": shape[0], "dimension": shape[1], "sha256": digest.hexdigest()}


def write_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> None:
    """Write an object a line, without what is None."""
    with path.open("x", encoding="utf-8") as file:
        for content in objects:
            known = {key: value for key, value in content.items() if value is not None}
            file.write(json.dumps(known, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file that was read whole."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _refuse_what_is_there(out: Path) -> None:
    if out.is_symlink():
        raise PairError(f"{out}: a symbolic link, and nothing is written through one; name a new folder with --out")
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise PairError(f"{out}: a file is there, and nothing is overwritten; name a new folder with --out")
    if there := sorted(os.listdir(out)):
        first = next((name for name in _OF_A_PAIR if name in there), there[0])
        raise PairError(
            f"{out}: not empty, {quoted(first)} is there, and nothing is ever overwritten; name a new folder with --out"
        )
    if Path.cwd().is_relative_to(out.resolve()):
        raise PairError(f"{out}: the folder that you are in is replaced as a whole; name a new one in it: --out mypair")


def _publish(building: Path, out: Path) -> None:
    building.chmod(0o755)
    for folder in (*(path for path in building.iterdir() if path.is_dir()), building):
        sync_folder(folder)
    if out.is_dir() and not out.is_symlink():
        out.rmdir()  # an empty one, or an error
    if os.path.lexists(out):
        raise PairError(
            f"{out}: something was put there meanwhile, and nothing is overwritten; name a new folder with --out"
        )
    os.rename(building, out)
    sync_folder(out.parent)


def _sweep(base: Path) -> None:
    """Remove what killed imports of this machine have left."""
    for left in base.glob(f"{BUILDING}*"):
        if is_abandoned(left.name, BUILDING) and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)

"""embeddings/ of a pair: new files are written beside the old ones and moved into place when all are complete."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from embalign.durable import is_abandoned, move_all, own_prefix, refuse_links, remedy_of
from embalign.errors import PairError
from embalign.pairs.provenance import PROVENANCE
from embalign.readers import said

BUILDING, LEFTOVER_SECONDS = ".building-", 3600


def check_can_be_written(folder: Path) -> None:
    """Raise PairError unless embeddings/ of the pair is a folder of its own that files can be written to."""
    with building(folder):
        pass


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder inside embeddings/ for files that are moved into place when they are complete.

    Raises LinkError where it is a link, PairError where it cannot be used.
    """
    target = folder / "embeddings"
    refuse_links(folder, target)
    try:
        target.mkdir(exist_ok=True)
        sweep(folder)
        # Files that cannot be removed afterwards do no harm, and are swept later.
        with tempfile.TemporaryDirectory(
            dir=target, prefix=f"{own_prefix(BUILDING)}-", ignore_cleanup_errors=True
        ) as name:
            yield Path(name)
    except OSError as error:
        remedy = remedy_of(error, "copy the pair to another place")
        raise PairError(f"{target}: {said(error)}; no embeddings were written or changed; {remedy}") from None


def sweep(folder: Path) -> None:
    """Remove what killed fetches have left in embeddings/: of processes that are gone, or older than an hour.

    A running fetch needs its temporary folder for seconds.
    """
    target = folder / "embeddings"
    if target.is_symlink():
        return
    for left in target.glob(f"{BUILDING}*"):
        with contextlib.suppress(OSError):
            if is_abandoned(left.name, BUILDING) or time.time() - left.lstat().st_mtime > LEFTOVER_SECONDS:
                if left.is_symlink():
                    left.unlink()
                else:
                    shutil.rmtree(left, ignore_errors=True)


def move(files: Path, folder: Path) -> None:
    """Move the files into embeddings/, provenance.json first: vectors without it are then never a fetch's own."""
    target = folder / "embeddings"
    try:
        move_all(files, target, first=PROVENANCE)
    except OSError as error:
        if (files / PROVENANCE).exists():
            raise
        raise PairError(f"{target}: {said(error)}; the update is incomplete; rerun the same command") from None

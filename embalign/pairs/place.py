"""Where experiments are, for the messages of a run that was started elsewhere."""

import os
from collections.abc import Iterator
from pathlib import Path

from embalign.errors import EmbalignError
from embalign.escaping import shell, visible

EXPERIMENTS = Path("benchmark") / "test_elbow.py"
SOURCE = Path(__file__).resolve().parents[2]  # the checkout, if the package is used from it


def has_experiments(folder: Path) -> bool:
    """Return whether a folder has experiments under benchmark/."""
    return (folder / EXPERIMENTS).is_file()


def no_experiments(folder: Path) -> str:
    """Return in words that a folder has no experiments, and how to get there or to have them here."""
    there = next((place for place in _places(folder) if has_experiments(place)), None)
    remedy = "embalign init" if there is None else f"{shell(['cd', str(there)])}, or have them here: embalign init"
    return f"{visible(str(folder))} has no experiments under benchmark/; first: {remedy}"


def refuse_pair(folder: Path, error: type[EmbalignError]) -> None:
    """Raise `error` for a folder that is a pair's, or its embeddings/: no result is written among its data."""
    there = folder.resolve()
    held = next((place for place in (there, there.parent) if os.path.lexists(place / "pair.toml")), None)
    if held == there or (held is not None and there.name == "embeddings"):
        raise error(
            f"{folder}: holds the data of a pair, and no result is written there; name another folder with --out"
        )


def _places(folder: Path) -> Iterator[Path]:
    yield from folder.resolve().parents
    yield SOURCE

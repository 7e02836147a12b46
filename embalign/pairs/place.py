"""Where experiments are, for the messages of a run that was started elsewhere."""

from collections.abc import Iterator
from pathlib import Path

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


def _places(folder: Path) -> Iterator[Path]:
    yield from folder.resolve().parents
    yield SOURCE

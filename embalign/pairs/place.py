"""Where the checkout is, for the messages of a run that was started elsewhere."""

from collections.abc import Iterator
from pathlib import Path

from embalign.escaping import shell, visible

EXPERIMENTS = Path("benchmark") / "test_elbow.py"
SOURCE = Path(__file__).resolve().parents[2]  # the checkout, if the package is used from it


def not_the_checkout(folder: Path) -> str:
    """Return in words that a folder is not the checkout, and how to get there."""
    there = next((place for place in _places(folder) if (place / EXPERIMENTS).is_file()), None)
    remedy = "cd to the folder that has benchmark/test_elbow.py" if there is None else shell(["cd", str(there)])
    return f"{visible(str(folder))} has no experiments under benchmark/, so it is not the checkout; first: {remedy}"


def _places(folder: Path) -> Iterator[Path]:
    yield from folder.resolve().parents
    yield SOURCE

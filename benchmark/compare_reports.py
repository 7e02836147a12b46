"""Compare what two runs have written: CSVs, values by label and verdicts, number by number.

    pytest benchmark/ -k elbow --seeds 3 --reports-dir /tmp/before --results always     # in a checkout of one commit
    pytest benchmark/ -k elbow --seeds 3 --reports-dir /tmp/after --results always      # in a checkout of the other
    python benchmark/compare_reports.py /tmp/before /tmp/after [--tolerance 0]

Prints one line per file: equal to the byte, or the largest difference of each column; columns may stand in another
order. Exits with 1 if a file or column is missing or differs by more than the tolerance.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def compare_tables(before: Path, after: Path) -> dict[str, float]:
    """Return the largest difference of each column that differs; infinite for text, and for rows or columns missing."""
    old, new = pd.read_csv(before), pd.read_csv(after)
    found = {name: np.inf for name in old.columns if name not in new.columns}
    if len(old) != len(new):
        return found | {"rows": np.inf}
    for name in old.columns.intersection(new.columns):
        if old[name].dtype.kind in "fi" and (old[name].isna() == new[name].isna()).all():
            found[name] = float((old[name] - new[name]).abs().max())
        elif not old[name].equals(new[name]):
            found[name] = np.inf
    return {name: difference for name, difference in found.items() if difference > 0}


def compare_arrays(before: Path, after: Path) -> dict[str, float]:
    """Return the largest difference of each array that differs."""
    with np.load(before, allow_pickle=False) as old, np.load(after, allow_pickle=False) as new:
        found = {name: np.inf for name in old.files if name not in new.files or old[name].shape != new[name].shape}
        shared = [name for name in old.files if name not in found]
        return found | {name: float(np.nanmax(np.abs(old[name] - new[name]))) for name in shared}


def compare_verdicts(before: Path, after: Path) -> dict[str, float]:
    """Return by how much each number of a JSON file differs, by its path; infinite for text and what is missing."""
    old, new = (dict(_leaves(json.loads(path.read_text(encoding="utf-8")))) for path in (before, after))
    found = {}
    for path in old.keys() | new.keys():
        left, right = old.get(path), new.get(path)
        if left != right:
            numbers = isinstance(left, int | float) and isinstance(right, int | float)
            found[path] = abs(left - right) if numbers else np.inf
    return found


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict | list):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(value, f"{path}/{name}")
    else:
        yield path, content


COMPARE = {".csv": compare_tables, ".npz": compare_arrays, ".json": compare_verdicts}


def main() -> int:
    """Compare every file of the first folder with its namesake in the second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.0, help="difference that counts as none (default: 0)")
    arguments = parser.parse_args()
    failed = False
    for path in sorted(arguments.before.rglob("*")):
        if path.suffix not in COMPARE or path.name == "provenance.json":
            continue
        name = path.relative_to(arguments.before)
        other = arguments.after / name
        if not other.exists():
            print(f"{name}: missing")
            failed = True
        elif path.read_bytes() == other.read_bytes():
            print(f"{name}: equal to the byte")
        else:
            found = {k: v for k, v in COMPARE[path.suffix](path, other).items() if v > arguments.tolerance}
            print(f"{name}: {found or 'equal'}")
            failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Run `test_speed.py` and write its tables into docs/performance.md, between their two markers.

    OMP_NUM_THREADS=1 python benchmark/speed_table.py                # minutes; on a machine that does nothing else
    OMP_NUM_THREADS=1 python benchmark/speed_table.py speed.json     # what an earlier --benchmark-json run wrote

Ratios come first: absolute times depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
START, END = "<!-- speed: written by benchmark/speed_table.py -->", "<!-- speed: end -->"
COMMAND = ["-m", "pytest", "benchmark/test_speed.py", "-q", "-p", "no:randomly", "--benchmark-timer=time.process_time"]

Measured = Mapping[str, Any]


def tables(measured: Iterable[Measured]) -> list[str]:
    """Return the lines of the Markdown tables of what was measured; of a table that has no rows, nothing."""
    measured = list(measured)
    of = {name: [each for each in measured if each["table"] == name] for name in ("grid", "step")}
    lines = [
        *table(GRID, [grid_row(each) for each in of["grid"]]),
        *table(STEP, [step_row(each) for each in of["step"]]),
    ]
    for name in ("training", "search", "verdict"):
        lines += sides(name, [each for each in measured if each["table"] == name])
    return lines


GRID = (
    "one seed of the quick elbow grid",
    *("plain script / suite", "plain script, s", "suite, s", "floor, s", "suite at its floor"),
    *("cosine apart: ridge", "trained", "nDCG@10 apart: ridge", "trained"),
)
STEP = ("training step", "at its floor, in turn", "alone", "step, ms", "floor in turn, ms", "alone, ms")


def grid_row(each: Measured) -> list[str]:
    """Return the row of a grid."""
    seconds = [f"{each[name]:.1f}" for name in ("plain", "suite", "floor")]
    apart = [
        f"{each[f'{kind}_{metric}']:.4f}" for metric in ("cosine_mean", "ndcg_at_10") for kind in ("ridge", "trained")
    ]
    return [
        f"`{each['row']}`",
        f"{each['plain'] / each['suite']:.2f}",
        *seconds,
        share(each["floor"], each["suite"]),
        *apart,
    ]


def step_row(each: Measured) -> list[str]:
    """Return the row of a training step."""
    shares = [share(each[floor], each["suite"]) for floor in ("in_turn", "alone")]
    return [each["row"], *shares, *(f"{each[name]:.2f}" for name in ("suite", "in_turn", "alone"))]


def share(floor: float, taken: float) -> str:
    """Return the part of what was taken that was needed at least."""
    return f"{floor / taken:.2f}"


def sides(name: str, measured: list[Measured]) -> list[str]:
    """Return the table of one thing done by the suite and by others: how many times as long the others take."""
    others = list(dict.fromkeys(each["side"] for each in measured if each["side"] != "suite"))
    rows = []
    for row in dict.fromkeys(each["row"] for each in measured):
        seconds = {each["side"]: each["seconds"] for each in measured if each["row"] == row}
        if own := seconds.get("suite"):
            ratios = [f"{seconds[other] / own:.2g}" if other in seconds else "" for other in others]
            rows.append([row, *ratios, f"{1e3 * own:.1f}"])
    return table((name, *(f"{other} / suite" for other in others), "suite, ms"), rows)


def table(header: Iterable[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table and an empty one; none without rows."""
    names = list(header)
    ruler = "| --- |" + " --: |" * (len(names) - 1)
    return (
        ["| " + " | ".join(names) + " |", ruler, *("| " + " | ".join(row) + " |" for row in rows), ""] if rows else []
    )


def machine(about: Mapping[str, Any]) -> str:
    """Return the kind of processor in words."""
    cpu = about.get("cpu", {})
    return f"{cpu.get('count')} cores of {cpu.get('brand_raw', about.get('machine', 'an unknown kind'))}"


def written(page: str, lines: Iterable[str]) -> str:
    """Return the page with these lines between the markers. Raises ValueError for a page without them."""
    found, count = re.subn(
        f"(?s){re.escape(START)}.*?{re.escape(END)}", lambda _: "\n".join([START, "", *lines, END]), page
    )
    if count != 1:
        raise ValueError(f"{PAGE.name} must hold {START!r} and {END!r} once, found {count}")
    return found


def main() -> int:
    """Measure, unless a file is given, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path, nargs="?", help="what pytest wrote with --benchmark-json (default: run it)")
    given = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        path = given or Path(folder) / "speed.json"
        if given is None:
            one = {**os.environ, "OMP_NUM_THREADS": "1"}
            if failed := subprocess.run(
                [sys.executable, *COMMAND, f"--benchmark-json={path}"], cwd=ROOT, env=one
            ).returncode:
                return failed
        found = json.loads(path.read_text(encoding="utf-8"))
    measured = [{**each["extra_info"], "seconds": each["stats"]["min"]} for each in found["benchmarks"]]
    lines = [f"Measured on {machine(found['machine_info'])}, one thread, processor time.", "", *tables(measured)]
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), lines), encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

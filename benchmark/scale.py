"""Peak memory and time of `pytest benchmark/ -k "elbow and random"` over the number of pairs, and how they grow.

    pytest benchmark/test_scale.py                                # 10,000 to 100,000 pairs, two cells
    python benchmark/scale.py --write                             # the same, into docs/performance.md
    python benchmark/scale.py --pairs 100000 1000000 --select "elbow and random"    # all cells; 5 GB of disk
    python benchmark/scale.py --folder pairs                      # keeps them there, and uses those that are there

Pairs are those of benchmark/large_pair.py, 384 to 768 dimensions. Memory is that of all processes together, looked at
every tenth of a second: what is theirs alone (anonymous), and beside it the pages of mapped files, which the system
takes back when it needs them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import large_pair

from embalign.pairs.provenance import PROVENANCE

PAGE = ROOT / "docs" / "performance.md"
START, END = "<!-- scale: written by benchmark/scale.py -->", "<!-- scale: end -->"
SIZES = (10_000, 30_000, 100_000)
SELECT = "elbow and random and seed00 and (closed_form or steps) and ratio1.00"
EVERY = 0.1  # seconds
MEBI = 2**20


@dataclass(frozen=True)
class Usage:
    """What a run took: peaks of anonymous memory and of mapped files over all its processes, in bytes, and seconds."""

    anonymous: int
    mapped: int
    seconds: float


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=SIZES, metavar="N", help="default: %(default)s")
    parser.add_argument("--storage", choices=large_pair.STORAGES, default="float32", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="processes that measure (default: %(default)s)")
    parser.add_argument("--select", default=SELECT, help="what -k selects (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where pairs are made and kept (default: they are removed)")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)} too")
    asked = parser.parse_args()
    words = ["-k", asked.select, "--seeds", str(asked.seeds), "--workers", str(asked.workers)]
    found = {}
    for count in asked.pairs:
        found[count] = run(count, words, asked.storage, asked.folder)
        print(f"{count:,} pairs: {found[count].seconds:,.0f} s", file=sys.stderr, flush=True)
    lines = table(found)
    print("\n".join(lines))
    if asked.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
        after = rest.partition(END)[2]
        PAGE.write_text("\n".join([before + START, *lines, END]) + after, encoding="utf-8")


def run(count, words, storage="float32", folder=None):
    """Return what a run on so many pairs takes; they are kept in the folder if there is one."""
    with tempfile.TemporaryDirectory() as temporary:
        pair = (folder or Path(temporary)).absolute() / f"n{count}"
        if not (pair / "embeddings" / PROVENANCE).is_file():  # it is written last
            large_pair.write_pair(pair, count, storage=storage)
        return measure(pair, words, Path(temporary))


def table(found):
    """Return the lines of a Markdown table: what was used by number of pairs, and the powers that it grows with."""
    parts = ("anonymous", "mapped", "seconds")
    lines = ["| pairs | own memory, MiB | mapped files, MiB | seconds |", f"|{' --: |' * 4}"]
    for count, used in sorted(found.items()):
        lines.append(f"| {count:,} | {used.anonymous / MEBI:,.0f} | {used.mapped / MEBI:,.0f} | {used.seconds:,.0f} |")
    if len(found) > 1:
        lines.append(f"| grows as n^ | {' | '.join(f'{growth(found, part):.2f}' for part in parts)} |")
    return lines


def measure(pair, words, folder):
    """Return what a run of the experiments on a pair takes. Exits with what it printed if it fails."""
    command = [sys.executable, "-m", "pytest", "benchmark/", "-q", f"--pair={pair}", "--results", "always"]
    command += ["--no-verdict", "--reports-dir", str(folder / "reports"), *words]
    started = time.perf_counter()
    with (folder / "output").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        anonymous = mapped = 0
        while process.poll() is None:
            now = [memory(each) for each in tree(process.pid)]
            anonymous = max(anonymous, sum(own for own, _ in now))
            mapped = max(mapped, max((files for _, files in now), default=0))
            time.sleep(EVERY)
        seconds = time.perf_counter() - started
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)}\n{output.read()}")
    return Usage(anonymous, mapped, seconds)


def tree(process):
    """Yield the numbers of a process and of all below it."""
    yield process
    try:
        threads = os.listdir(f"/proc/{process}/task")
        children = [Path(f"/proc/{process}/task/{thread}/children").read_text(encoding="ascii") for thread in threads]
    except OSError:  # it has ended
        return
    for child in " ".join(children).split():
        yield from tree(int(child))


def memory(process):
    """Return a process's anonymous memory and that of files it has mapped, both resident, in bytes."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0, 0
    sizes = {
        name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if "Rss" in name
    }
    return sizes.get("RssAnon", 0) + sizes.get("RssShmem", 0), sizes.get("RssFile", 0)


def growth(found, part):
    """The slope of a straight line through the logarithms of number of pairs and peak."""
    return np.polyfit(np.log(list(found)), [np.log(getattr(used, part)) for used in found.values()], 1)[0]


if __name__ == "__main__":
    main()

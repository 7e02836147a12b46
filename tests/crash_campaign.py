"""Kill running sweeps at random moments and check that nothing acknowledged is lost.

    python tests/crash_campaign.py --kills 2000      # the long form; the tests run 200

Each sweep is a pytest run with two workers. After a SIGKILL of its whole process group the store must pass SQLite's
integrity check and hold every row that the run had reported as passed; when a sweep comes to its end its CSV must be
byte-identical to that of a run nobody disturbed. Then the store is deleted and the next sweep starts from nothing.
"""

import argparse
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import light

from embalign.evaluation.measurement import Measurement

PASSED = re.compile(r"\[(\S+)\] PASSED")


def run_campaign(base, pair_folder, kills, seed, lanes=4):
    """Kill `kills` sweeps in `lanes` roots at a time; return counts. Raises AssertionError on any loss."""
    reference = base / "reference"
    light.build_root(reference, pair_folder)
    subprocess.run(light.command("-q"), cwd=reference, env=light.environment(), check=True, capture_output=True)
    expected = _csv(reference).read_bytes()
    totals = {"kills": 0, "acknowledged": 0, "completed": 0}
    lock = threading.Lock()

    def lane(number):
        root = base / f"lane{number}"
        light.build_root(root, pair_folder)
        rng = random.Random(seed * 1000 + number)
        acknowledged = set()
        while True:
            with lock:
                if totals["kills"] >= kills:
                    return
            killed, passed = _sweep(root, rng)
            acknowledged |= passed
            stored = _stored_names(root)
            assert acknowledged <= stored, f"lost: {sorted(acknowledged - stored)[:5]}"
            with lock:
                totals["kills"] += killed
                totals["acknowledged"] += len(passed)
            if not killed:
                assert _csv(root).read_bytes() == expected, "the resumed CSV differs from an undisturbed run's"
                with lock:
                    totals["completed"] += 1
                shutil.rmtree(root / ".embalign")
                acknowledged = set()

    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(lane, range(lanes)))
    return totals


def _sweep(root, rng):
    """Run a sweep and kill it: one time in five at some moment of its start, else after some number of cases.

    Returns whether it was killed before its end, and the cases it had reported as passed.
    """
    process = subprocess.Popen(
        light.command("-v", "--workers", "2"),
        cwd=root,
        env=light.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    kill = functools.partial(_kill_group, process.pid)
    after, lines = (None if rng.random() < 0.2 else rng.randint(1, light.CELLS * 5 // 4)), []
    timer = threading.Timer(rng.uniform(0, 3), kill) if after is None else None
    if timer is not None:
        timer.start()
    passed = set()
    with process:
        for line in process.stdout:
            lines.append(line)
            if found := PASSED.search(line):
                passed.add(found[1])
                if len(passed) == after:
                    time.sleep(rng.uniform(0, 0.1))
                    kill()
    if timer is not None:
        timer.cancel()
    killed = process.returncode == -signal.SIGKILL
    assert killed or process.returncode == 0, "".join(lines)
    return killed, passed


def _kill_group(pid):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _stored_names(root):
    path = root / ".embalign" / "results.sqlite"
    if not path.exists():
        return set()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        try:
            rows = connection.execute("SELECT content FROM measurements").fetchall()
        except sqlite3.OperationalError:  # killed before the table was made
            return set()
    metrics = [Measurement.from_bytes(content).metrics for (content,) in rows]
    return {f"{found['of_setting']}-seed{found['of_seed']:02d}" for found in metrics}


def _csv(root):
    return root / "benchmark" / "small" / "reports" / "light" / "light.csv"


def main():
    """Command line of the campaign."""
    from pair_folders import write_pair

    from embalign.pairs.config import find_pair
    from embalign.pairs.pair import load_pair

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pair = write_pair(Path(folder) / "small", load_pair(find_pair("smollm2-mpnet", light.ROOT)), 60)
        print(run_campaign(Path(folder), pair, arguments.kills, arguments.seed))


if __name__ == "__main__":
    main()

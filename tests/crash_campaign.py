"""Kill running sweeps and reports at random moments; check that nothing acknowledged is lost and no artifact is torn.

    python tests/crash_campaign.py --kills 4000      # the long form; the tests run 200

Each sweep is a pytest run with two workers. When one has come to its end, its report is drawn anew from the store by a
run that is killed too. A kill is SIGKILL to the run's whole process group: at its start, after some number of cases,
while the report is drawn, or while files are moved into place. Then is judged (`crash_judge.py`):

- The store passes SQLite's integrity check and holds every row that was reported as passed.
- Each artifact is whole: every byte of it is of one run. Each run's artifacts are its own, megabytes of them.
- The artifacts are those of one run, or else provenance.json, which is moved first, does not match them.
- A run that comes to its end leaves the CSV of a run that nobody disturbed, and no artifact but its own.
"""

import argparse
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import light
from crash_judge import check_artifacts, check_complete, reports, stored_names

from embalign.pairs.provenance import PROVENANCE

PASSED = re.compile(r"\[(\S+)\] PASSED")
DRAWING_SECONDS, MOVING_SECONDS = 0.3, 0.03  # in which a kill is aimed at the drawing and at the moves


def run_campaign(base, pair_folder, kills, seed, lanes=4, told=None):
    """Kill `kills` runs in `lanes` roots at a time; return counts. Raises AssertionError on any loss.

    `told` is called with the counts so far.
    """
    totals = Counter(kills=0, in_reports=0, mixed=0, acknowledged=0, completed=0)
    failed = threading.Event()

    def work(number):
        lane = new_lane(base / f"lane{number}", pair_folder, random.Random(seed * 1000 + number))
        lane.run_to_end()
        lane.forget()
        while totals["kills"] < kills and not failed.is_set():
            before = Counter(lane.counts)
            if lane.sweep():
                lane.redraw()
                lane.forget()
            totals.update(lane.counts - before)
            if told is not None:
                told(dict(totals))

    def guarded(number):
        try:
            work(number)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(guarded, range(lanes)))
    return dict(totals)


def new_lane(root, pair_folder, rng, package=light.ROOT):
    """Lay out a root; its runs import embalign from the folder `package`."""
    light.build_root(root, pair_folder)
    return Lane(root, rng, light.environment(PYTHONPATH=os.pathsep.join([str(package), str(light.ROOT / "tests")])))


class Lane:
    """Runs in one root, one after the other. Each writes artifacts of a version of its own."""

    def __init__(self, root, rng, environment):
        self.root, self.rng, self.environment = root, rng, environment
        self.counts = Counter()
        self.version, self.published = 0, set()  # of the run at hand; of the artifacts before it
        self.acknowledged = set()

    def run_to_end(self):
        """Let the first run come to its end: its CSV is what later ones are compared with."""
        with self.start("-q") as process:
            words = process.stdout.read()
        assert process.returncode == 0, words
        self.expected, self.published = (reports(self.root) / "light.csv").read_bytes(), {self.version}

    def sweep(self):
        """Kill a sweep, one time in five at some moment of its start, else after some cases; return if it ended."""
        after = None if self.rng.random() < 0.2 else self.rng.randint(1, light.CELLS * 5 // 4)
        process = self.start("-v", "--workers", "2")
        kill = functools.partial(_kill_group, process.pid)
        timer = threading.Timer(self.rng.uniform(0, 3), kill) if after is None else None
        if timer is not None:
            timer.start()
        passed, lines = set(), []
        with process:
            for line in process.stdout:
                lines.append(line)
                if found := PASSED.search(line):
                    passed.add(found[1])
                    if len(passed) == after:
                        time.sleep(self.rng.uniform(0, 0.1))
                        kill()
        if timer is not None:
            timer.cancel()
        self.acknowledged |= passed
        self.counts["acknowledged"] += len(passed)
        return self.judge(process, "".join(lines))

    def redraw(self):
        """Kill a run that only draws its report: while it is drawn, or once provenance.json was replaced."""
        old, moving = self.state_of_first(), self.rng.random() < 0.7
        with self.start("-q", "--results", "only-cache") as process:
            while process.poll() is None and not (self.state_of_first() != old if moving else self.drawing()):
                time.sleep(0.001)
            time.sleep(self.rng.uniform(0, MOVING_SECONDS if moving else DRAWING_SECONDS))
            _kill_group(process.pid)
            words = process.stdout.read()
        self.counts["in_reports"] += process.returncode == -signal.SIGKILL
        self.judge(process, words)

    def state_of_first(self):
        """What changes as soon as the first file is replaced, however that is done."""
        found = (reports(self.root) / PROVENANCE).stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def drawing(self):
        """Whether a report is being drawn."""
        return any(reports(self.root).parent.glob(".building-*"))

    def start(self, *options):
        """Start a run that writes the next version."""
        self.version += 1
        return subprocess.Popen(
            light.command(*options),
            cwd=self.root,
            env=self.environment | {"LIGHT_VERSION": str(self.version)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def judge(self, process, words):
        """Check the root after a run, and count; return whether the run came to its end."""
        killed = process.returncode == -signal.SIGKILL
        assert killed or process.returncode == 0, words
        stored = stored_names(self.root)
        assert self.acknowledged <= stored, f"lost: {sorted(self.acknowledged - stored)[:5]}"
        if killed:
            mixed, self.published = check_artifacts(self.root, self.published, self.version)
            self.counts.update(kills=1, mixed=mixed)
        else:
            check_complete(self.root, self.expected, self.version)
            self.published = {self.version}
            self.counts["completed"] += 1
        for left in reports(self.root).parent.glob(".building-*"):  # swept by age: thousands of kills would fill a disk
            shutil.rmtree(left, ignore_errors=True)
        return not killed

    def forget(self):
        """Delete the store: the next sweep starts from nothing."""
        shutil.rmtree(self.root / ".embalign")
        self.acknowledged = set()


def _kill_group(pid):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main():
    """Command line of the campaign."""
    from pair_folders import write_pair

    from embalign.pairs.config import find_pair
    from embalign.pairs.pair import load_pair

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pair = write_pair(Path(folder) / "small", load_pair(find_pair("smollm2-mpnet", light.ROOT)), 60)
        told = functools.partial(print, end="\r", flush=True)
        run_campaign(Path(folder), pair, arguments.kills, arguments.seed, told=told)


if __name__ == "__main__":
    main()

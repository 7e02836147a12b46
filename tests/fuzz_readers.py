"""Drive every reader with hostile input: only errors of the project's family may come out, soon and in little memory.

    python tests/fuzz_readers.py --examples 10000 [--reader NAME]

Each reader runs in a process of its own, in 1 GiB more than it starts with. What is found is printed with its input,
and the exit code is not 0. What the readers are given is in `fuzz_inputs.py`, how it is made in `hostile.py`.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_inputs import READERS
from hypothesis import HealthCheck, Phase, given, seed, settings

from embalign.errors import EmbalignError

SECONDS = 5  # of one input
MEMORY = 2**30
BATCH = 500
SETTINGS = settings(
    database=None, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,), derandomize=False
)
SHOWN = 3000  # characters of an input


class HangError(BaseException):
    """An input that took too long."""


@dataclass
class Record:
    """What a reader made of its inputs: how many, errors by kind, the slowest (s), and memory (bytes)."""

    inputs: int = 0
    errors: Counter = field(default_factory=Counter)
    findings: dict = field(default_factory=dict)
    slowest: float = 0.0
    memory: int = 0

    def line(self, name):
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.errors.items()))
        slowest, memory = f"{self.slowest:.2f} s", f"{self.memory / 2**20:.0f} MiB"
        return f"| {name} | {self.inputs} | {self.inputs - self.errors.total()} | {kinds} | {slowest} | {memory} |"

    def note(self, error, content):
        """Keep the shortest input that each fault was found with."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}: {str(error)[:200]}"
        key = (type(error), frame.filename, frame.lineno)
        if key not in self.findings or len(repr(content)) < len(self.findings[key][1]):
            self.findings[key] = (place, repr(content))


@contextlib.contextmanager
def time_limit(seconds):
    """Raise HangError after so many seconds."""

    def stop(signum, frame):
        raise HangError(f"over {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fuzz(name, examples, folder):
    """Return the record of a reader, with what came out of it and is not of the family."""
    make, drive = READERS[name]
    record, state = Record(), make(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def run(content):
        record.inputs += 1
        start = time.monotonic()
        try:
            with time_limit(SECONDS), warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", module="hypothesis")
                drive(state, content)
        except EmbalignError as error:
            record.errors[type(error).__name__] += 1
        except (Exception, HangError) as error:
            record.note(error, content)
        finally:
            record.slowest = max(record.slowest, time.monotonic() - start)

    for number, first in enumerate(range(0, examples, BATCH)):  # hypothesis remembers every input of a batch
        limits = settings(SETTINGS, max_examples=min(BATCH, examples - first))
        seed(number)(limits(given(state.inputs)(run)))()
    record.memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return record


def limit_memory():
    """Let this process have so much more memory than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--reader", choices=READERS)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        shared = "/dev/shm"  # a disk would take most of the time
        folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=shared if os.access(shared, os.W_OK) else None))
        try:
            limit_memory()
            record = fuzz(chosen.reader, chosen.examples, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(record.line(chosen.reader))
        for place, content in record.findings.values():
            print(f"  {place}\n    input: {content[:SHOWN]}")
        return len(record.findings)
    print("| reader | inputs | read | refused, by error | slowest | memory |\n|:--|--:|--:|:--|--:|--:|", flush=True)
    failed = []
    for name in [chosen.reader] if chosen.reader else READERS:
        words = [sys.executable, __file__, "--here", "--reader", name, "--examples", str(chosen.examples)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        print(done.stdout, done.stderr if done.returncode else "", sep="", end="", flush=True)
        failed += [name] if done.returncode else []
    if failed:
        print(json.dumps({"failed": failed}))
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())

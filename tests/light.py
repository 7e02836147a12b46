"""A light experiment for crash, resume and executor tests: real cells, store and processes, cheap numbers."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from embalign.errors import SelectionError
from embalign.evaluation.measurement import Measurement

ROOT = Path(__file__).resolve().parents[1]
CELLS = 60
# Two seeds are enough to see that a run works, and too few for a verdict.
SMALL_RUN = [sys.executable, "-m", "pytest", "benchmark", "--pair", "small", "--seeds", "2", "--no-verdict"]
LARGE, LARGE_BYTES = ("a.bin", "m.bin", "s.bin", "z.bin"), 2 * 2**20  # artifacts that are not written in an instant

EXPERIMENT_FILE = """
import pytest

from embalign.experiments.grid import Experiment, Table, grid
from embalign.lazy import lazy

light = lazy("light")
LIGHT = Experiment(
    name="light",
    report=light.write_report,
    tables=(Table("light", measure=light.measure, quick=grid(setting=list(range({settings})))),),
)


@pytest.mark.cells(LIGHT, "light")
def test_light(cell, embeddings, seed, measure):
    assert measure(cell, embeddings, seed).metrics["value"] >= 0
"""


def measure(pair, cell):
    """A number that depends on the cell alone, after a short while; LIGHT_FAIL names a setting that fails."""
    time.sleep(float(os.environ.get("LIGHT_SECONDS", "0.02")))
    if os.environ.get("LIGHT_FAIL") == str(cell["setting"]):
        raise SelectionError("this cell was told to fail")
    value = int(hashlib.sha256(cell.id.encode()).hexdigest()[:12], 16) / 2**48
    return Measurement({"value": value, "of_setting": cell["setting"], "of_seed": cell.seed})


def sleepy(pair, cell):
    """Take as long as the cell says."""
    time.sleep(cell["seconds"])
    return Measurement({"value": cell.seed})


def process(pair, cell):
    """Say which process measures."""
    time.sleep(0.05)
    return {"pid": os.getpid()}


def refuse(pair, cell):
    """Fail in an expected way."""
    raise SelectionError("this cell was told to fail")


def lock(pair, cell):
    """Return what cannot be sent to another process."""
    return threading.Lock()


def large(pair, cell):
    """Return five megabytes."""
    return {"text": "x" * 5_000_000}


def deadly(pair, cell):
    """Kill the worker: always, or the first time only; or do nothing of the kind."""
    flag = Path(cell["flag"])
    if cell["dies"] == "always" or (cell["dies"] == "once" and not flag.exists()):
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return Measurement({"value": cell.seed})


def write_report(results, about, folder):
    """One CSV and a report of one line."""
    from embalign.experiments.tables import write_csv

    write_csv(results["light"].frame, folder / "light.csv")
    (folder / "report.md").write_text(f"{len(results['light'].frame)} cells\n")
    if version := os.environ.get("LIGHT_VERSION"):
        for name in versioned_names(int(version)):
            (folder / name).write_bytes(large_content(name, int(version)))
    return f"{len(results['light'].frame)} cells measured"


def versioned_names(version):
    """The large artifacts of a version; one of them every other version has not."""
    return LARGE if version % 2 else LARGE[:-1]


def large_content(name, version):
    """The bytes of an artifact in one version: the version's number, then two megabytes that no other one has."""
    return version.to_bytes(8, "big") + random.Random(f"{name} {version}").randbytes(LARGE_BYTES)


def build_root(root, pair_folder, cells=CELLS):
    """Lay out a root with the light experiment (two seeds) and a small pair."""
    import shutil

    (root / "benchmark").mkdir(parents=True)
    (root / "conftest.py").write_text('pytest_plugins = ["embalign.plugin"]\n')
    (root / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (root / "benchmark" / "test_light.py").write_text(EXPERIMENT_FILE.format(settings=cells // 2))
    shutil.copytree(pair_folder, root / "benchmark" / "small")


def run(root, *options):
    """Run the light experiment to its end; return the completed process."""
    return subprocess.run(command(*options), cwd=root, env=environment(), capture_output=True, text=True, check=False)


def command(*options):
    """The command line of a run on the light experiment."""
    base = [sys.executable, "-m", "pytest", "benchmark", "--pair", "small", "--seeds", "2", "-p", "no:randomly"]
    return [*base, "-p", "no:cacheprovider" if "--lf" not in options else "cacheprovider", *options]


def environment(measured=False, **extra):
    """The environment of a run: the tests' modules importable, output not held back, no plugins but the suite's.

    Those of the tests, hypothesis above all, take half of the start of a run. Coverage follows only where it is asked
    for: it slows what is killed and timed.
    """
    inherited = {name: value for name, value in os.environ.items() if measured or not name.startswith("COVERAGE")}
    plugins = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
    paths = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "PYTHONUNBUFFERED": "1"}
    return inherited | plugins | paths | extra


def listen_to_interrupt():
    """Undo an inherited "ignore SIGINT", as a background job of a shell has it, before a run starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""A Dask cluster that is not what it should be: addresses, workers that are missing or are another installation."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time

import light
import pytest
from pair_folders import ROOT, write_pair

from embalign.errors import ExecutorError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.runs import cluster
from embalign.runs.cluster import DaskExecutor
from embalign.runs.executor import LocalExecutor
from embalign.runs.installation import difference, installation

MEASURE = """
import os
import time
from pathlib import Path

from embalign.evaluation.measurement import Measurement

OTHER = 0


def measure(pair, cell):
    flag = Path(os.environ["FLAG"])
    if OTHER:
        flag.touch()
    deadline = time.monotonic() + 30
    while (cell["setting"], cell.seed) != (0, 0) and not flag.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return Measurement({"value": cell.seed + OTHER})
"""
TABLE, CELL = Table("t", light.measure, quick=[]), Cell("e", "t", "small", (("setting", 0),), 0)


def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path):
    """Start parts of a cluster, each in a folder of its own; they end with the test."""
    processes = []

    def run(*words, **environment):
        place = tmp_path / f"machine{len(processes)}"
        place.mkdir()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
        processes.append(subprocess.Popen(command, cwd=place, env=light.environment(**environment), **quiet))

    yield run
    for process in reversed(processes):
        process.kill()
        process.wait()


@pytest.fixture
def scheduler(start):
    """The address of a scheduler without workers."""
    number = port()
    start("scheduler", "--host", "127.0.0.1", "--port", str(number))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", number), timeout=1):
            break
        time.sleep(0.1)
    return f"tcp://127.0.0.1:{number}"


def worker(start, address, **environment):
    start("worker", address, "--nthreads", "1", "--no-nanny", **environment)


def test_a_cluster_without_workers_and_one_without_embalign_say_so(start, scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "FIRST_WORKER_SECONDS", 0.5)
    with pytest.raises(ExecutorError, match=f"no worker is connected: start dask worker {scheduler}$"):
        DaskExecutor(scheduler, str, (TABLE, CELL))
    monkeypatch.setattr(cluster, "FIRST_WORKER_SECONDS", 120)
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n\n\nclass Blocker:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'embalign':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n\n\n"
        "sys.meta_path.insert(0, Blocker())\n"
    )
    worker(start, scheduler, PYTHONPATH=str(tmp_path))
    with pytest.raises(ExecutorError, match=r"has no embalign; pip install embalign on every worker$"):
        DaskExecutor(scheduler, str, (TABLE, CELL))


def other_installation(folder):
    """A copy of the source with one changed line, and a measure that gives other numbers."""
    shutil.copytree(ROOT / "embalign", folder / "embalign", ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "embalign" / "evaluation" / "measurement.py").open("a", encoding="utf-8") as file:
        file.write("CHANGED = True\n")
    (folder / "joined.py").write_text(MEASURE.replace("OTHER = 0", "OTHER = 1000"))
    return folder


def test_what_a_worker_of_another_source_measures_is_not_stored(start, scheduler, tmp_path, smollm2):
    """It joins when the first cell is done, and the others wait until it has measured one."""
    root = tmp_path / "root"
    light.build_root(root, write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=6)
    path = root / "benchmark" / "test_light.py"
    path.write_text(path.read_text().replace("measure=light.measure", 'measure=lazy("joined").measure'))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "joined.py").write_text(MEASURE)
    flag = tmp_path / "flag"
    ours = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(tmp_path / "own")])
    worker(start, scheduler, PYTHONPATH=ours, FLAG=str(flag))
    environment = light.environment(PYTHONPATH=ours, FLAG=str(flag))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(light.command("-v", "--dask", scheduler), cwd=root, env=environment, **pipes) as process:
        for line in process.stdout:
            if "PASSED" in line:
                break
        worker(start, scheduler, PYTHONPATH=str(other_installation(tmp_path / "other")), FLAG=str(flag))
        rest, _ = process.communicate(timeout=300)
    assert flag.exists(), "the other worker has measured nothing"
    assert process.returncode == 0, rest
    with contextlib.closing(sqlite3.connect(root / ".embalign" / "results.sqlite")) as store:
        rows = [Measurement.from_bytes(content) for (content,) in store.execute("SELECT content FROM measurements")]
    assert sorted(row.metrics["value"] for row in rows) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tls://127.0.0.1:8786", "DASK_DISTRIBUTED__COMM__TLS__CA_FILE"),
        ("ucx://127.0.0.1:8786", "an address looks like tcp://host:8786"),
        ("http://127.0.0.1:8786", "an address looks like tcp://host:8786"),
        ("tcp://127.0.0.1:port", "an address looks like tcp://host:8786"),
        ("tcp://127.0.0.1:99999", "an address looks like tcp://host:8786"),
        ("tcp://[::1:8786", "an address looks like tcp://host:8786"),
        ("", "an address looks like tcp://host:8786"),
        ("a\x1b[31m\nb", r"a\x1b[31m\nb"),
    ],
)
def test_an_address_that_cannot_be_one_is_told_in_one_line(address, words, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(ExecutorError) as caught:
        DaskExecutor(address, str, (TABLE, CELL))
    assert str(caught.value).startswith("--dask ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embalign": "0" * 64}, "another source of embalign"),
        ({"light": "0" * 64}, "another source of light"),
        ({"numpy": "1.0"}, "numpy 1.0 instead of "),
        ({"further": "1.0"}, "other libraries"),
    ],
)
def test_another_installation_is_named_by_what_differs(change, words):
    ours = installation(TABLE, CELL)
    assert difference(dict(ours), ours) == ""
    assert difference({**ours, **change}, ours).startswith(words)
    assert difference(("former", "form"), ours) == "another embalign"


def test_source_that_is_edited_during_a_run_measures_nothing_more(small_pair, tmp_path, monkeypatch):
    """A local worker starts with the first cell, and reads the source as it is then."""
    (tmp_path / "edited.py").write_text("def measure(pair, cell):\n    return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    from edited import measure

    table = Table("t", measure, quick=[])
    installation(table, CELL)  # as of the controlling process
    (tmp_path / "edited.py").write_text("def measure(pair, cell):\n    return {'other': 1}\n")
    executor = LocalExecutor(1, lambda name: (str(small_pair), ""))
    try:
        with pytest.raises(ExecutorError, match="another source of edited: it has changed since the run began"):
            executor.submit(table, CELL).result(timeout=120)
    finally:
        executor.shutdown()

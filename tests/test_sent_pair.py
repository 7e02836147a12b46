"""How a pair comes to Dask workers: as a path that they see, or in chunks, and never whole in a message."""

import contextlib
import hashlib
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

import distributed
import light
import numpy as np
import pytest
from pair_folders import ROOT, write_pair

from embalign.errors import EmbalignError, ExecutorError, PairError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.lazy import lazy
from embalign.pairs.pair import load_pair, pair_digest
from embalign.pairs.stored_items import StoredItems
from embalign.runs import sent_pair
from embalign.runs.cluster import DaskExecutor

COUNT = 1000  # 224,000 bytes of vectors
LIMIT = 300  # rows, in every process, in place of 65,536
PAIR = Path("benchmark", "large")
CSV = PAIR / "reports" / "small" / "light.csv"
EXPERIMENT = """
import pytest

from embalign.experiments.grid import Experiment, Table, grid
from embalign.lazy import lazy

TABLE = Table("light", lazy("test_sent_pair").fitted, quick=grid(ratio=[0.5, 1.0]))
SMALL = Experiment("small", report=lazy("light").write_report, tables=(TABLE,))


@pytest.mark.cells(SMALL, "light")
def test_ratio(cell, measure):
    measure(cell)
"""
LIMITS = f"""
import embalign.pairs.stored_items
import embalign.pairs.vectors

embalign.pairs.stored_items.MANY = embalign.pairs.vectors.MANY = {LIMIT}
"""
HIDING = """
import os
import sys


def hide(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith({hidden!r}):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])


sys.addaudithook(hide)
"""


def fitted(pair, cell):
    """How well a map fits the held-out items that is solved on a share of the others, and what the texts are."""
    train, test = pair.holdout.train, pair.holdout.test
    train = train[: int(len(train) * cell["ratio"])]
    weights = np.linalg.lstsq(pair.draft[train], pair.teacher[train])[0]
    cosine = (pair.draft[test] @ weights * pair.teacher[test]).sum(axis=1)
    texts = hashlib.sha256("\n".join(item.text for item in pair.items).encode()).hexdigest()
    return Measurement({"cosine": float(cosine.mean()), "texts": int(texts[:12], 16)})


def arrived(pair, cell):
    """The same, and whether this worker maps the pair, and how many folders are left that pairs were written into."""
    mapped = isinstance(pair.draft, np.memmap) and isinstance(pair.items, StoredItems)
    left = list(Path(sent_pair.get_worker().local_directory).glob("pair-*"))
    return Measurement({**fitted(pair, cell).metrics, "mapped": mapped, "left": len(left)})


ARRIVED = Table("arrived", lazy("test_sent_pair").arrived, quick=[])


def cell_of(name, seed=0):
    return Cell("e", "arrived", name, (("ratio", 1.0),), seed)


def executor_of(address, folder, digest=None):
    """An executor on a pair, known by another digest than its own where one is given: no worker sees such a folder."""
    source = str(folder), digest or pair_digest(folder)
    return DaskExecutor(address, lambda name: source, (ARRIVED, cell_of(folder.name)))


class Counting(socketserver.ThreadingTCPServer):
    """Connections of clients to the scheduler; counts what the clients send."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), Passing)
        self.port, self.sent, self.address = port, 0, f"tcp://127.0.0.1:{self.server_address[1]}"

    def pass_on(self, source, target, *, counted):
        with contextlib.suppress(OSError):
            while part := source.recv(2**16):
                self.sent += len(part) * counted
                target.sendall(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Passing(socketserver.BaseRequestHandler):
    """One connection, in both directions."""

    def handle(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as scheduler:
            back = threading.Thread(
                target=self.server.pass_on, args=(scheduler, self.request), kwargs={"counted": False}
            )
            back.start()
            self.server.pass_on(self.request, scheduler, counted=True)
            back.join()


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """A scheduler, as clients reach it, and two workers, processes of their own that do not see `hidden`."""
    tmp_path = tmp_path_factory.mktemp("machines")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (tmp_path / "worker").mkdir()
    hiding = HIDING.format(hidden=str(tmp_path / "hidden"))
    (tmp_path / "worker" / "sitecustomize.py").write_text(LIMITS + hiding)
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "sitecustomize.py").write_text(LIMITS)
    commands = [["scheduler", "--host", "127.0.0.1", "--port", str(port)]]
    commands += [["worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-nanny"]] * 2
    with contextlib.ExitStack() as ending:
        counting = ending.enter_context(Counting(port))
        threading.Thread(target=counting.serve_forever, daemon=True).start()
        ending.callback(counting.shutdown)
        for number, words in enumerate(commands):
            place = tmp_path / f"machine{number}"
            place.mkdir()
            command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": place}
            process = subprocess.Popen(command, env=environment(tmp_path / "worker"), **quiet)
            ending.callback(process.wait)
            ending.callback(process.kill)
        with distributed.Client(f"tcp://127.0.0.1:{port}", timeout=120, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        counting.hidden, counting.client = tmp_path / "hidden", tmp_path / "client"
        yield counting


def environment(first):
    return light.environment(PYTHONPATH=f"{first}:{ROOT}:{ROOT / 'tests'}")


def build(root, source):
    """A root with a small experiment and a pair, in which there is code too."""
    (root / "benchmark").mkdir(parents=True)
    (root / "conftest.py").write_text('pytest_plugins = ["embalign.plugin"]\n')
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "benchmark" / "test_small.py").write_text(EXPERIMENT)
    folder = write_pair(root / PAIR, source, COUNT)
    for name in ("conftest.py", "__init__.py", "sitecustomize.py", "test_it.py"):
        (folder / name).write_text(f"open({str(root / 'ran')!r}, 'w')\n")


def run(root, client, *options):
    """Write the CSV of a run in a root, by a client with lowered limits."""
    command = [sys.executable, "-m", "pytest", "benchmark", "--pair", "large", "--seeds", "2", "--no-verdict", *options]
    words = {"cwd": root, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, env=environment(client), **words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (root / "ran").exists()


@pytest.fixture(scope="module")
def roots(tmp_path_factory, smollm2, machines):
    """A root that workers see and one that they do not see, both with the CSV of one process."""
    seen, hidden = tmp_path_factory.mktemp("roots") / "seen", machines.hidden / "root"
    build(seen, smollm2)
    run(seen, machines.client)
    shutil.copytree(seen, hidden)
    return {"seen": seen, "hidden": hidden}


@pytest.mark.parametrize(("root", "least", "most"), [("seen", 0, 0.1), ("hidden", 0.99, 2.2)])
def test_the_csv_is_that_of_one_process_whether_or_not_workers_see_the_vectors(roots, machines, root, least, most):
    """Vectors that they see are not sent, others once to each of the two; nothing runs that lies in the folder."""
    path = roots[root] / CSV
    expected, before = path.read_bytes(), machines.sent
    path.unlink()
    run(roots[root], machines.client, "--results", "always", "--dask", machines.address)
    assert path.read_bytes() == expected
    files = [roots[root] / PAIR / "corpus.jsonl", *(roots[root] / PAIR / "embeddings").iterdir()]
    share = (machines.sent - before) / sum(file.stat().st_size for file in files)
    assert least < share < most


def test_a_pair_that_is_sent_is_mapped_and_leaves_no_files(smollm2, machines):
    folder = write_pair(machines.hidden / "own" / "large", smollm2, COUNT)
    expected = fitted(load_pair(folder), cell_of("large")).metrics
    executor = executor_of(machines.address, folder)
    try:
        futures = [executor.submit(ARRIVED, cell_of("large", seed)) for seed in range(4)]
        found = [executor.result(future).metrics for future in futures]
    finally:
        executor.shutdown()
    assert found == [expected | {"mapped": True, "left": 0}] * 4


@pytest.fixture(scope="module")
def worker():
    """The address of a cluster in this process, of one worker that sees what this process sees."""
    words = {
        "processes": False,
        "dashboard_address": ":0",
        "threads_per_worker": 2,
        "host": "127.0.0.1",
        "protocol": "tcp://",
    }
    with distributed.LocalCluster(n_workers=1, **words) as cluster:
        yield cluster.workers[0]


@pytest.fixture
def pair_folder(tmp_path, smollm2):
    return write_pair(tmp_path / "small", smollm2, 60)


def failures(executor, cells=3):
    """What cells fail of, in words that tell one from the other."""
    found = []
    for future in [executor.submit(ARRIVED, cell_of("small", seed)) for seed in range(cells)]:
        with pytest.raises(EmbalignError) as caught:
            executor.result(future)
        found.append((type(caught.value), str(caught.value)))
    return found


@pytest.fixture
def executor(worker, pair_folder):
    """An executor on a pair that its worker takes for another one, and so asks the client for."""
    executor = executor_of(worker.scheduler.address, pair_folder, "0" * 64)
    yield executor
    executor.shutdown()


def requests(executor):
    """How often workers have asked for a chunk."""
    return len(executor._client.get_events(executor._topic))


def test_files_that_have_changed_since_the_run_began_are_said_and_asked_for_once(executor, pair_folder):
    words = f"{pair_folder}: its files have changed since the run began; leave the files of a pair alone"
    for kind, said in failures(executor):
        assert kind is PairError
        assert said.startswith(words)
    assert requests(executor) == 2 * len(list(pair_folder.rglob("*.*")))  # content and end of each


def test_files_that_have_gone_since_the_run_began_are_said(executor, pair_folder):
    executor.submit(ARRIVED, cell_of("small", 9)).exception()
    sent_pair._tried.cache_clear()
    (pair_folder / "embeddings" / "draft.safetensors").unlink()
    ((kind, said),) = set(failures(executor))
    assert kind is PairError
    assert said.startswith(f"{pair_folder}/embeddings/draft.safetensors: cannot be read (No such file or directory)")


def test_a_worker_without_room_says_so(executor, worker, monkeypatch):
    monkeypatch.setattr(worker, "local_directory", "/proc/no-room")
    ((kind, said),) = set(failures(executor))
    assert kind is ExecutorError
    assert said.startswith("/proc/no-room: cannot be written (No such file or directory)")
    assert "start dask worker with --local-directory on a disk with room for small" in said


def test_a_client_that_sends_nothing_is_not_waited_for_by_every_cell(executor, monkeypatch):
    monkeypatch.setattr(sent_pair, "PATIENCE_SECONDS", 0.5)
    executor._client.unsubscribe_topic(executor._topic)
    ((kind, said),) = set(failures(executor))
    assert kind is ExecutorError
    assert "the client has sent nothing of pair.toml for 0 s; rerun the command, or copy the pair to " in said
    assert requests(executor) == 1


def test_a_pair_whose_files_lead_elsewhere_is_written_nowhere(executor, pair_folder):
    """On the client that path is inside the folder."""
    name = f"../../{pair_folder.parent.name}/small/corpus.jsonl"
    settings = pair_folder / "pair.toml"
    settings.write_text(settings.read_text().replace('"corpus.jsonl"', f'"{name}"'))
    ((kind, said),) = set(failures(executor))
    assert kind is PairError
    assert said == f"small: '{name}' leads out of the pair's folder; name the file without .."

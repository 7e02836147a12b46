"""Executors: worker deaths, interruption, and the same bytes wherever cells are measured."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import CancelledError

import light
import pytest
from pair_folders import write_pair
from test_plugin import build_suite, canonical_bytes

from embalign.errors import ExecutorError, SelectionError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.pairs.pair import pair_digest
from embalign.runs.executor import LocalExecutor


@pytest.fixture
def local(small_pair):
    """A local executor with two workers on the small pair."""
    executor = LocalExecutor(2, lambda name: (str(small_pair), pair_digest(small_pair)))
    yield executor
    executor.shutdown()


def deadly_cell(seed, dies, flag):
    return Cell("e", "t", "small", (("dies", dies), ("flag", str(flag))), seed)


def test_a_worker_that_dies_costs_its_own_cells_which_are_tried_once_more(local, tmp_path):
    """One cell kills its worker every time, one only the first time; every other cell is measured."""
    table = Table("t", light.deadly, quick=[])
    kinds = ["no", "no", "always", "no", "once", "no", "no", "no"]
    futures = [local.submit(table, deadly_cell(i, kind, tmp_path / f"{i}")) for i, kind in enumerate(kinds)]
    for i, (kind, future) in enumerate(zip(kinds, futures, strict=True)):
        if kind == "always":
            with pytest.raises(ExecutorError, match="its worker process died 2 times, last killed by SIGKILL"):
                future.result(timeout=60)
        else:
            assert future.result(timeout=60) == Measurement({"value": i})


def test_shutdown_cancels_what_has_not_finished(local):
    table = Table("t", light.sleepy, quick=[])
    futures = [local.submit(table, Cell("e", "t", "small", (("seconds", 30.0),), seed)) for seed in range(4)]
    time.sleep(1)
    started = time.monotonic()
    local.shutdown()
    assert time.monotonic() - started < 10
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(timeout=1)


def test_a_worker_that_dies_between_two_cells_costs_none(local):
    table = Table("t", light.process, quick=[])
    first = local.submit(table, Cell("e", "t", "small", (), 0)).result(timeout=60)
    os.kill(first["pid"], signal.SIGKILL)
    futures = [local.submit(table, Cell("e", "t", "small", (), seed)) for seed in range(1, 9)]
    assert first["pid"] not in {future.result(timeout=60)["pid"] for future in futures}


def test_an_error_of_a_cell_keeps_its_type_and_its_traceback_in_the_worker(local):
    for measure, kind, words in [(light.refuse, SelectionError, "in refuse"), (light.lock, TypeError, "pickle")]:
        with pytest.raises(kind) as caught:
            local.submit(Table("t", measure, quick=[]), Cell("e", "t", "small", (), 0)).result(timeout=60)
        assert words in "\n".join(caught.value.__notes__)  # Python 3.14 adds some of its own to what pickle raises


def test_a_result_larger_than_a_pipe_arrives_whole(local):
    table = Table("t", light.large, quick=[])
    assert local.submit(table, Cell("e", "t", "small", (), 0)).result(timeout=60) == {"text": "x" * 5_000_000}


def test_workers_leave_at_once_when_the_controlling_process_is_killed(small_pair):
    """They hold its output open: that it ends shows that they are gone, long before their cell is."""
    script = (
        "import sys\n"
        "from embalign.experiments.grid import Cell, Table\n"
        "from embalign.runs.executor import LocalExecutor\n"
        "executor = LocalExecutor(1, lambda name: (sys.argv[1], 'digest'))\n"
        "import light\n"
        "table = Table('t', light.sleepy, quick=[])\n"
        "cells = [Cell('e', 't', 'small', (('seconds', seconds),), 0) for seconds in (0.0, 60.0)]\n"
        "futures = [executor.submit(table, cell) for cell in cells]\n"
        "print(futures[0].result(), flush=True)\n"
        "futures[1].result()\n"
    )
    command = [sys.executable, "-c", script, str(small_pair)]
    process = subprocess.Popen(command, env=light.environment(), stdout=subprocess.PIPE)
    assert process.stdout.readline()
    process.kill()
    killed = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - killed < 10


@contextlib.contextmanager
def cluster(folder, port):
    """A Dask scheduler and two workers on loopback, each in a folder of its own."""
    address = f"tcp://127.0.0.1:{port}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": light.environment(LIGHT_SECONDS="0.5")}
    commands = [["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]]
    commands += [["worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]] * 2
    processes = []
    try:
        for number, words in enumerate(commands):
            place = folder / f"machine{number}"
            place.mkdir(parents=True)
            processes.append(subprocess.Popen([sys.executable, "-m", "dask", *words], cwd=place, **quiet))
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_cluster_that_goes_away_fails_its_cells_and_not_the_session(tmp_path, light_pair_root, unused_tcp_port):
    """The scheduler is killed under way: the rest of the cells fail with one line each, and what was done is stored."""
    with cluster(tmp_path, unused_tcp_port) as address:
        process = subprocess.Popen(
            light.command("-v", "--dask", address),
            cwd=light_pair_root,
            env=light.environment(LIGHT_SECONDS="0.5"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in process.stdout:
            if "PASSED" in line:
                break
    rest, _ = process.communicate(timeout=120)
    assert process.returncode == 1, rest
    assert "the cluster went away before the cell was finished" in rest
    assert "20 cells measured" in light.run(light_pair_root, "-q").stdout


def run(root, *options):
    command = [*light.SMALL_RUN, "-k", "elbow", *options]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_bytes_do_not_depend_on_where_cells_are_measured(tmp_path, smollm2, unused_tcp_port):
    """Serial, two local workers, and a two-worker Dask cluster that shares no folder with the client."""
    root = tmp_path / "root"
    root.mkdir()
    build_suite(root, smollm2)
    run(root)
    expected = canonical_bytes(root, "elbow")
    run(root, "--results", "always", "--workers", "2")
    assert canonical_bytes(root, "elbow") == expected
    with cluster(tmp_path, unused_tcp_port) as address:
        run(root, "--results", "always", "--dask", address)
    assert canonical_bytes(root, "elbow") == expected


def test_artifacts_are_rebuilt_from_the_store_without_torch(tmp_path, light_pair_root):
    root = light_pair_root
    assert light.run(root, "-q").returncode == 0
    script = (
        "import sys, pytest\n"
        f"code = pytest.main({light.command('-q', '--results', 'only-cache')[3:]!r})\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, env=light.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_error_of_collection_is_not_told_as_an_interruption(light_pair_root):
    (light_pair_root / "benchmark" / "test_broken.py").write_text("def (")
    done = light.run(light_pair_root)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "SyntaxError" in done.stdout
    assert "rerun the same command" not in done.stdout


def test_only_cache_measures_nothing(light_pair_root):
    done = light.run(light_pair_root, "-q", "--results", "only-cache")
    assert done.returncode == 1
    assert "no stored row; run without --results only-cache to measure it" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.fixture
def light_pair_root(tmp_path, smollm2):
    """A root with the light experiment."""
    root = tmp_path / "light"
    light.build_root(root, write_pair(tmp_path / "pair" / "small", smollm2, 60), cells=20)
    return root


@pytest.fixture
def unused_tcp_port():
    """A port nobody listens on just now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dask", "tcp://127.0.0.1:1"], "no scheduler answers there"),
        (["--dask", "nonsense://x"], "--dask nonsense://x: "),
        (["--workers", "0"], "'0' is not a whole number from 1 to 1000"),
        (["--workers", "2", "--dask", "tcp://127.0.0.1:1"], "exclude each other"),
        (["--workers", "2", "-n", "2"], "leave it out with --workers"),
    ],
)
def test_executors_that_cannot_be_used_are_usage_errors(light_pair_root, options, message):
    done = light.run(light_pair_root, "-q", *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr
    assert "Traceback" not in done.stderr

"""Print what scheduling costs: cells of one second each, against the time they would take without any overhead.

    python benchmark/scheduling_overhead.py [--cells 60]

Local processes through `--workers`' executor, and Dask through `--dask`'s on a scheduler and workers started here.
"""

import argparse
import contextlib
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Table
from embalign.lazy import lazy
from embalign.pairs.config import find_pair
from embalign.pairs.pair import pair_digest
from embalign.runs.cluster import DaskExecutor
from embalign.runs.executor import LocalExecutor

WORKERS, PORT = 2, 18786
# By its name, not as the function: workers know this script as a module, not as the program that runs.
TABLE = Table("overhead", lazy("scheduling_overhead").one_second, quick=[])


def one_second(pair, cell):
    """A cell of one second that needs no processor."""
    time.sleep(1)
    return Measurement({"value": cell.seed})


def overhead(executor, cells):
    """Share of time above the ideal, once every worker has done its first cell and so is warm."""
    for future in [executor.submit(TABLE, Cell("e", "t", "smollm2-mpnet", (), -i)) for i in range(1, 2 * WORKERS + 1)]:
        future.result()
    started = time.perf_counter()
    for future in [executor.submit(TABLE, Cell("e", "t", "smollm2-mpnet", (), i)) for i in range(cells)]:
        future.result()
    return (time.perf_counter() - started) / (cells / WORKERS) - 1


@contextlib.contextmanager
def dask_cluster():
    """A scheduler and workers of one thread each on loopback."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": Path(__file__).parent}
    dask = [sys.executable, "-m", "dask"]
    address = f"tcp://127.0.0.1:{PORT}"
    commands = [[*dask, "scheduler", "--host", "127.0.0.1", "--port", str(PORT), "--no-dashboard"]]
    commands += [[*dask, "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny"]] * WORKERS
    processes = [subprocess.Popen(command, **quiet) for command in commands]
    try:
        time.sleep(10)
        yield address
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main():
    """Measure both executors and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=60, help="one-second cells to time (default: %(default)s)")
    cells = parser.parse_args().cells
    folder = find_pair("smollm2-mpnet", ROOT)
    source = str(folder), pair_digest(folder)
    local = LocalExecutor(WORKERS, lambda name: source)
    print(f"local, {WORKERS} workers, {cells} one-second cells: overhead {overhead(local, cells):.2%}")
    local.shutdown()
    with dask_cluster() as address:
        sample = TABLE, Cell("e", "t", "smollm2-mpnet", (), 0)
        remote = DaskExecutor(address, lambda name: source, sample)
        print(f"Dask, {WORKERS} workers, {cells} one-second cells: overhead {overhead(remote, cells):.2%}")
        remote.shutdown()


if __name__ == "__main__":
    main()

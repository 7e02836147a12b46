"""What `test_speed.py` measures: the suite and the plain script on one grid, and the least that a machine needs for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from plain_elbow import Metrics, Problem
from test_elbow import ELBOW
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from embalign.pairs.pair import Pair

TABLES = ("data_ratio_vs_metrics", "index_size", "references")
Cells = dict[str, dict[str, Metrics]]


def fresh(name: str) -> Pair:
    """Return a pair that nothing is remembered of, read, with its held-out queries known."""
    from embalign import find_pair, load_pair

    pair = load_pair(find_pair(name))
    asked = pair.asked_by(_cells(name)[0].queries)
    assert len(asked.holdout.test)
    return pair


def problem_of(pair: Pair, seed: int = 0) -> Problem:
    """Return what the plain script starts from: the same vectors and rows as the suite's cells."""
    from embalign.alignment.inner import inner_split
    from embalign.alignment.seeds import Stream, generator
    from embalign.alignment.selection import draw_pool

    asked = pair.asked_by(_cells(pair.name)[0].queries)
    pool = draw_pool(asked.holdout.train, seed)
    labels = np.unique(pair.labels, return_inverse=True)[1]

    def inner(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = inner_split(pair.labels[rows])
        assert found is not None
        return rows[found.fit], rows[found.check]

    return Problem(
        draft=pair.draft,
        teacher=pair.teacher,
        labels=labels,
        texts=np.unique([item.text for item in pair.items], return_inverse=True)[1],
        pool=pool[generator(seed, Stream.RANDOM_ORDER).permutation(len(pool))],
        queries=asked.holdout.test,
        held_out=asked.holdout.test_documents,
        inner=inner,
        seed=seed,
    )


def suite(pair: Pair, seed: int = 0) -> Cells:
    """Return the metrics of every cell of a seed by table, as the suite measures them in this process."""
    found: Cells = {table: {} for table in TABLES}
    for cell in _cells(pair.name, seed):
        measured = ELBOW.table(cell.table).run(pair, cell)
        settings = dict(cell.settings)
        if cell.table == "references":
            found[cell.table][settings["reference"]] = measured.metrics
        elif cell.table == "index_size":
            for row in measured.tables["sizes"].to_dict("records"):
                size = int(row.pop("index_size"))
                for side in ("no_map", "teacher"):
                    of_side = {key.removeprefix(f"{side}_"): row.pop(key) for key in [*row] if key.startswith(side)}
                    found[cell.table][f"{side}-{size}"] = of_side
                found[cell.table][f"{settings['deployment']}-{size}"] = row
        else:
            along = measured.tables.get("trajectory")
            steps = {} if along is None else dict(zip(along["step"], along["cosine_mean"], strict=True))
            key = f"{settings['ratio']:.2f}-{settings['policy']}-{settings['budget']}"
            found[cell.table][key] = measured.metrics | {f"step{step:04d}": value for step, value in steps.items()}
    return found


def _cells(name: str, seed: int = 0):
    tables = [ELBOW.table(table) for table in TABLES]
    cells = [cell for table in tables for cell in ELBOW.table_cells(table, name, "quick", seed + 1)]
    return [cell for cell in cells if cell.seed == seed]


def processor_time(function: Callable[[], object]) -> tuple[object, float]:
    """Return what a function returns, and the processor time that it took."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


@contextlib.contextmanager
def as_torch_comes() -> Iterator[None]:
    """One thread, and torch's own route for float32 products, whatever the suite has chosen in this process."""
    route, threads = torch.backends.mkldnn.matmul, torch.get_num_threads()
    ours, route.fp32_precision = route.fp32_precision, "none"
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        route.fp32_precision = ours
        torch.set_num_threads(threads)

"""The cells of experiment 1, from pair to numbers: select, fit, map, search, score."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from embalign.alignment.seeds import Stream, generator
from embalign.evaluation import scorecard
from embalign.evaluation.deployment import Embedded, SearchTask, vectors_of
from embalign.evaluation.measurement import Measurement
from embalign.experiments.fits import Share, fit_on_share, map_task, measure_share, search_task_of
from embalign.experiments.references import score_reference
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell


def measure_ratio(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of a map fitted on a share of the pool; along fixed steps, the table `trajectory`."""
    share = Share(cell["policy"], cell["ratio"], cell["budget"])
    return measure_share(pair, share, cell.seed, cell.training)


def measure_fit_on(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of a map fitted on a random share of queries, of documents, or of queries and their documents.

    Only pairs with queries of their own have these.
    """
    share = Share("random", cell["ratio"], cell["budget"], cell["fit_on"])
    return measure_share(pair, share, cell.seed, cell.training)


def measure_index_size(pair: Pair, cell: Cell) -> Measurement:
    """Return what a deployment finds in indexes of growing size: the table `sizes`, one row a size.

    The map is trained on all data, its steps tuned. The smallest index holds the held-out items alone; the others are
    joined in random order. `no_map` is the raw draft's own search in an index of that size, `teacher` the teacher's.
    """
    weights = fit_on_share(pair, Share("random", 1.0), cell.seed, cell.training).weights
    task = search_task_of(pair)
    of_map = _by_size(task, vectors_of(cell["deployment"], map_task(pair, weights), task.teacher), cell.seed)
    unmapped = {
        "no_map_": _unmapped_by_size(pair, "draft", cell.seed),
        "teacher_": _unmapped_by_size(pair, "teacher", cell.seed),
    }
    rows = [
        {"index_size": size, **found}
        | {f"{side}{name}": value for side, sizes in unmapped.items() for name, value in sizes[size].items()}
        for size, found in of_map.items()
    ]
    return Measurement({}, tables={"sizes": pd.DataFrame(rows)})


@functools.lru_cache(maxsize=8)
def _unmapped_by_size(pair: Pair, side: str, seed: int) -> dict[int, dict[str, float]]:
    """The same for every deployment: what one side's own vectors find."""
    task = search_task_of(pair)
    return _by_size(task, task.draft if side == "draft" else task.teacher, seed)


def _by_size(task: SearchTask, vectors: Embedded, seed: int) -> dict[int, dict[str, float]]:
    """Return the metrics of a search in each size of index."""
    others = np.setdiff1d(np.arange(task.index_size), task.held_out)
    order = np.concatenate([task.held_out, generator(seed, Stream.INDEX_ORDER).permutation(others)])
    sizes = index_sizes(len(task.held_out), task.index_size)
    found = scorecard.search_parts(task, vectors, [task.part(order[:size]) for size in sizes])
    return {size: scorecard.metrics_of(of_size) for size, of_size in zip(sizes, found, strict=True)}


def index_sizes(smallest: int, largest: int) -> list[int]:
    """Return sizes that double from the smallest, and the largest."""
    sizes = [smallest]
    while 2 * sizes[-1] < largest:
        sizes.append(2 * sizes[-1])
    return sorted({*sizes, largest})


def measure_reference(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of what a map is held against: see :func:`embalign.experiments.references.score_reference`."""
    return score_reference(pair, cell["reference"], cell.seed)

"""What `test_speed.py` measures: the suite and a plain script on one grid, a training step, and the least of both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from plain_elbow import BATCH, CHECKPOINTS, RATIOS, Metrics, Problem, plain
from test_elbow import ELBOW
from threadpoolctl import threadpool_limits

if TYPE_CHECKING:
    from embalign.pairs.pair import Pair

# Held-out cosine and nDCG@10 of the two sides: how far they may lie apart for the same fit, and for trained maps, whose
# starts and batches are other draws.
WITHIN = {"ridge": {"cosine_mean": 1e-3, "ndcg_at_10": 0.01}, "trained": {"cosine_mean": 0.01, "ndcg_at_10": 0.03}}
STEPS, ROUNDS = 60, 12
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


def measure_grid(name: str) -> dict[str, float]:
    """Return processor seconds of both sides for the same cells and of the floor, and how far their numbers lie apart.

    Raises AssertionError where the numbers of the two sides are not the same but for what each draws by chance.
    """
    from embalign.alignment.gemm import use_fast_gemm

    use_fast_gemm()
    for table in TABLES:
        ELBOW.table(table).measure.resolve()  # imports what it needs
    pair = fresh(name)
    problem = problem_of(pair)
    with as_torch_comes():
        theirs, plain_seconds = processor_time(lambda: plain(problem))
    ours, seconds = processor_time(lambda: suite(pair))
    apart = differences(theirs, ours)
    for kind, metrics in WITHIN.items():
        for metric, most in metrics.items():
            assert apart[f"{kind}_{metric}"] <= most, f"{kind}: {metric} is {apart[f'{kind}_{metric}']:.4f} apart"
    return {"suite": seconds, "plain": plain_seconds, "floor": grid_floor(problem), **apart}


def differences(theirs: Cells, ours: Cells) -> dict[str, float]:
    """Return the largest difference of mean cosine and of any nDCG@10 over the fitted cells, by kind of map.

    Raises AssertionError where one side has a cell that the other lacks.
    """
    apart = {f"{kind}_{metric}": 0.0 for kind, metrics in WITHIN.items() for metric in metrics}
    for table in TABLES:
        assert theirs[table].keys() == ours[table].keys(), sorted(theirs[table].keys() ^ ours[table].keys())
    for key, metrics in ours["data_ratio_vs_metrics"].items():
        other = theirs["data_ratio_vs_metrics"][key]
        kind = "ridge" if key.endswith("closed_form") else "trained"
        for name in metrics:
            metric = "ndcg_at_10" if name.endswith("_ndcg_at_10") and "retention" not in name else name
            if f"{kind}_{metric}" in apart:
                apart[f"{kind}_{metric}"] = max(apart[f"{kind}_{metric}"], abs(other[name] - metrics[name]))
    return apart


def grid_floor(problem: Problem) -> float:
    """Return the processor seconds that the grid needs at least on this machine.

    Its matrix products in float32 at the speed of the fastest one measured here, and the fused AdamW kernel at the
    shape of the map, for as many steps as the plain script takes; lengths are tried in 384 dimensions at most. Nothing
    else is counted: no sorting, no decomposition, no float64.
    """
    (n, d), d_teacher, queries = problem.draft.shape, problem.teacher.shape[1], len(problem.queries)
    pool, flops, seconds = len(problem.pool), 0.0, 0.0
    update = {width: _best(_adamw(width, d)) for width in {d_teacher, min(d_teacher, 384)}}
    trained = set(problem.trained)  # the same rows as often are the same map
    for _, steps, trial in trained:
        width = min(d_teacher, 384) if trial else d_teacher
        flops += steps * 4 * BATCH * d * width
        seconds += steps * update[width]
    maps = 1 + sum(not trial for *_, trial in trained) + len(problem.ridge_rows)
    # Queries mapped and ranked against each other; a search of the teacher's index and two of the draft's; its lengths.
    flops += maps * (
        2 * queries * d * d_teacher + queries**2 * d + 2 * queries * n * (d_teacher + 2 * d) + 2 * n * d * d
    )
    for rows in problem.ridge_rows:  # X'X or XX', and X'Y or W
        flops += rows * d * min(rows, d) + 2 * rows * d * d_teacher
    flops += CHECKPOINTS * len(RATIOS) * 2 * queries * d * d_teacher  # the trajectories
    flops += pool**2 * d + 2 * queries * n * (d + d_teacher + 64)  # density, and searches without a map
    return seconds + flops / _fastest_product()


def measure_step(d_draft: int, d_teacher: int, batch: int) -> dict[str, float]:
    """Return milliseconds of processor time of a step of the suite's loop and of its kernels, best of several.

    `in_turn` is what its two products and the fused AdamW kernel take one after the other over the same arrays, and
    `alone` the sum of what each takes when it is called again and again, its arrays in the cache as far as they fit.
    """
    from embalign.alignment.config import TrainingConfig
    from embalign.alignment.gemm import use_fast_gemm
    from embalign.alignment.training import train_map

    use_fast_gemm()
    draft, teacher = unit((2560, d_draft), 0), unit((2560, d_teacher), 1)
    config = TrainingConfig(batch_size=batch)
    weights, of_weights = torch.randn(d_teacher, d_draft), torch.zeros(d_teacher, d_draft)
    x, gradient = torch.from_numpy(draft[:batch]), torch.from_numpy(teacher[:batch]) / 1e3
    z, across = torch.empty(batch, d_teacher), torch.empty(d_teacher, batch)
    forward = [lambda: torch.mm(x, weights.T, out=z), lambda: torch.mm(weights, x.T, out=across)]
    back, update = lambda: torch.mm(gradient.T, x, out=of_weights), _adamw(d_teacher, d_draft, weights, of_weights)

    def train(steps: int) -> None:
        train_map(draft, teacher, seed=0, config=config, steps=steps)

    def in_turn(first: Callable[[], object]) -> None:
        for _ in range(STEPS):
            first()
            back()
            update()

    sides: dict[str, Callable[[], object]] = {
        "short": lambda: train(STEPS),
        "long": lambda: train(2 * STEPS),
        **{f"turn{i}": (lambda first=first: in_turn(first)) for i, first in enumerate(forward)},
        **{f"forward{i}": (lambda first=first: _repeat(first)) for i, first in enumerate(forward)},
        "back": lambda: _repeat(back),
        "update": lambda: _repeat(update),
    }
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(ROUNDS):
        for side, function in sides.items():
            best[side] = min(best[side], processor_time(function)[1])
    each = {side: 1e3 * seconds / STEPS for side, seconds in best.items()}
    alone = min(each["forward0"], each["forward1"]) + each["back"] + each["update"]
    step = each["long"] - each["short"]  # without what a call does once
    return {"suite": step, "in_turn": min(each["turn0"], each["turn1"]), "alone": alone}


def unit(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _adamw(rows: int, columns: int, *arrays: torch.Tensor) -> Callable[[], object]:
    """The fused kernel on W (rows, columns) and its gradient, without the optimizer around it."""
    weights, gradient = arrays or (torch.randn(rows, columns), torch.randn(rows, columns))
    state: Any = [weights], [gradient], [torch.zeros(rows, columns)], [torch.zeros(rows, columns)], [], [torch.ones(())]
    rates = {"lr": 1e-4, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    return lambda: torch._fused_adamw_(*state, **rates, amsgrad=False, maximize=False, grad_scale=None, found_inf=None)


def _repeat(function: Callable[[], object]) -> None:
    for _ in range(STEPS):
        function()


def _best(function: Callable[[], object]) -> float:
    """The shortest processor time of a call."""
    return min(processor_time(lambda: _repeat(function))[1] for _ in range(ROUNDS)) / STEPS


def _fastest_product() -> float:
    """Operations a second of the fastest float32 product of two square matrices, by torch or NumPy."""
    size = 2048
    left, right = (torch.from_numpy(unit((size, size), seed)) for seed in (0, 1))
    products = [lambda: left @ right, lambda: left.numpy() @ right.numpy()]
    with threadpool_limits(1):
        seconds = min(processor_time(product)[1] for _ in range(ROUNDS) for product in products)
    return 2 * size**3 / seconds

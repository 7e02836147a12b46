"""What a GPU takes for the trainings and searches of the suite, and how far its numbers are from the CPU's.

    python benchmark/gpu.py                                   # needs an NVIDIA GPU; the full grid of a shipped pair
    python benchmark/gpu.py --workers 16 --pair zh-en
    python benchmark/gpu.py --device cpu --small              # the same code without a GPU, in a minute

Four measurements, as one Markdown table: maps of one shape, trained as one stack and one by one; all cells of the elbow
experiment on a pair, with the start of their processes; a query adapter for a million made-up vectors, from their
arrays to its ranks; and the differences from the CPU, of a sample of the cells and of the ranks in one search.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from test_elbow import ELBOW

from embalign.alignment.closed_form import fit_ridge
from embalign.alignment.config import TrainingConfig
from embalign.alignment.device import CPU, CUDA, DEVICES, described, prepare, using
from embalign.alignment.stacked import Training
from embalign.alignment.training import apply_map, train_map, train_together
from embalign.errors import EmbalignError
from embalign.evaluation.index import Index
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import search
from embalign.pairs.config import find_pair, has_queries
from embalign.pairs.pair import pair_digest
from embalign.pairs.picked import Picked
from embalign.runs.executor import LocalExecutor
from embalign.runs.groups import GroupExecutor

BATCH = 32
CLOSE = 8 * 2.0**-23  # similarities that float32 cannot tell apart: ties, to the suite


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    maps: int
    steps: int
    alone: int  # maps that are trained one by one
    profile: str
    seeds: int | None
    cells: slice  # of the grid
    compared: int  # cells that the CPU measures too
    vectors: int
    queries: int
    passes: float


FULL = Sizes(100, 400, 10, "full", None, slice(None), 60, 1_000_000, 10_000, 1.0)
SMALL = Sizes(4, 40, 2, "regression", 1, slice(1, None, 3), 2, 5_000, 100, 0.2)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work gives, and the seconds it takes."""
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def made_up(count: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of length 1 that a map can be fitted on: draft (count, 384) and teacher (count, 768)."""
    drawn = functools.partial(torch.randn, generator=torch.Generator(device).manual_seed(0), device=device)
    latent = drawn(count, 64)
    sides = (latent @ drawn(64, d) + 4 * drawn(count, d) for d in (384, 768))
    draft, teacher = (torch.nn.functional.normalize(side).cpu().numpy() for side in sides)
    return draft, teacher


def maps(device: str, sizes: Sizes) -> Iterator[tuple[str, str]]:
    """Train maps of one shape as stacks and one by one."""
    draft, teacher = made_up(4000, device)
    rng = np.random.default_rng(1)
    config = TrainingConfig(batch_size=BATCH)
    rows = [rng.permutation(4000)[:2000] for _ in range(sizes.maps)]
    trainings = [
        Training(Picked(draft, some), Picked(teacher, some), seed, config, sizes.steps, None, (), device)
        for seed, some in enumerate(rows)
    ]
    train_together(trainings[:2])  # what is done once a process is not the maps'
    most = trainings[0].most
    parts = [trainings[start : start + most] for start in range(0, len(trainings), most)]
    stacked, together = timed(lambda: [each for part in parts for each in train_together(part)])
    alone, one_by_one = timed(lambda: [train_together([each])[0] for each in trainings[: sizes.alone]])
    with using(CPU):
        of_cpu = [
            train_map(draft[some], teacher[some], seed=seed, config=config, steps=sizes.steps)
            for seed, some in enumerate(rows[: sizes.alone])
        ]
    what = f"384 -> 768, {sizes.steps} steps of {BATCH}"
    yield f"{sizes.maps} maps {what}, stacked", f"{together:.2f} s, {together / sizes.maps * 1e3:.1f} ms a map"
    yield f"one map {what}, alone", f"{one_by_one / sizes.alone * 1e3:.1f} ms"
    for name, found in (("stacked", stacked), ("alone", alone)):
        off = max(
            abs(cosine(each.weights, draft, teacher) - cosine(other.weights, draft, teacher))
            for each, other in zip(found, of_cpu, strict=False)
        )
        yield f"mean cosine of a map trained {name}, minus the CPU's, at most", f"{off:.1e}"


def cosine(weights: np.ndarray, draft: np.ndarray, teacher: np.ndarray) -> float:
    """Return the mean cosine of mapped vectors, on the CPU."""
    with using(CPU):
        mapped = apply_map(weights, draft).astype(np.float64)
    return float(((mapped * teacher).sum(axis=1) / np.linalg.norm(mapped, axis=1)).mean())


def elbow(device: str, sizes: Sizes, pair: str, workers: int) -> Iterator[tuple[str, str]]:
    """Measure all cells of the elbow experiment, and some of them on the CPU."""
    folder = find_pair(pair, ROOT)
    source = str(folder), pair_digest(folder)
    own = has_queries(folder)
    cells, of_cpu = (
        ELBOW.cells(folder.name, sizes.profile, sizes.seeds, own_queries=own, device=where)[sizes.cells]
        for where in (device, CPU)
    )

    def measured(chosen: list[Any], group: bool) -> list[Any]:
        asked = [(ELBOW.table(cell.table), cell) for cell in chosen]
        executor = (
            GroupExecutor(workers, lambda _: source, asked) if group else LocalExecutor(workers, lambda _: source)
        )
        try:
            return [future.result() for future in [executor.submit(*each) for each in asked]]
        finally:
            executor.shutdown()

    found, seconds = timed(lambda: measured(cells, True))
    some = list(range(0, len(cells), max(1, len(cells) // sizes.compared)))
    expected, plain = timed(lambda: measured([of_cpu[i] for i in some], False))
    off: dict[str, float] = {}
    for i, other in zip(some, expected, strict=True):
        for name, value in other.metrics.items():
            difference = abs(found[i].metrics[name] - value)
            off[name] = max(off.get(name, 0.0), 0.0 if np.isnan(difference) else difference)
    processes = f"{workers} process{'es' * (workers > 1)}"
    yield f"{len(cells)} elbow cells on {pair}, {processes}", f"{seconds:.1f} s"
    yield f"{len(some)} of them on the CPU, {processes}", f"{plain:.1f} s"
    for name in ("cosine_mean", "spearman", "recall_at_1", "query_adapter_ndcg_at_10"):
        yield f"{name} minus the CPU's, at most", f"{off[name]:.1e}"


def query_adapter(device: str, sizes: Sizes) -> Iterator[tuple[str, str]]:
    """Fit ridge and a trained map on many vectors and search them all; compare the ranks with the CPU's."""
    draft, teacher = made_up(sizes.vectors + sizes.queries, device)
    own = np.arange(sizes.queries)
    relevant = Relevance.of_judgements(own, own, count=len(own))
    fit, asking = slice(sizes.queries, None), draft[: sizes.queries]
    with using(device):
        _, of_ridge = timed(lambda: fit_ridge(draft[fit], teacher[fit]))
        config = TrainingConfig(steps=sizes.steps, passes=sizes.passes)
        trained, of_training = timed(lambda: train_map(draft[fit], teacher[fit], seed=0, config=config))
        index = Index(teacher)
        found, of_search = timed(lambda: search(apply_map(trained.weights, asking), index, relevant, found_at=(100,)))
    few = min(len(own), 200)
    with using(CPU):
        some = Relevance.of_judgements(own[:few], own[:few], count=few)
        mapped = apply_map(trained.weights, asking[:few])
        expected = search(mapped, Index(teacher), some)
        near = within_rounding(mapped, teacher, own[:few])
    moved = np.abs(found.rank[:few] - expected.rank)
    what = f"{sizes.vectors:,} pairs"
    yield f"ridge on {what}", f"{of_ridge:.1f} s"
    yield f"a trained map on {what}, {config.steps_for(sizes.vectors)} steps", f"{of_training:.1f} s"
    yield f"{sizes.queries:,} queries in an index of {len(teacher):,}", f"{of_search:.1f} s"
    yield "these three: a query adapter", f"{of_ridge + of_training + of_search:.1f} s"
    yield f"ranks that differ from the CPU's, of {few}", f"{(moved > 0).sum()}"
    yield "of them by more than the rows that float32 cannot tell apart", f"{(moved > near).sum()}"


def within_rounding(mapped: np.ndarray, index: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return how many rows of the index (N, d) each query cannot tell from its own row in float32."""
    unit = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    counts = np.zeros(len(own), np.int64)
    of_own = np.einsum("ij,ij->i", unit, index[own])
    for start in range(0, len(index), 100_000):
        similar = unit @ index[start : start + 100_000].T
        counts += (np.abs(similar - of_own[:, None]) <= 2 * CLOSE).sum(axis=1)
    return counts


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0],
        epilog="example: python benchmark/gpu.py --workers 16 --pair smollm2-mpnet",
    )
    parser.add_argument("--device", choices=DEVICES, default=CUDA)
    parser.add_argument("--pair", default="smollm2-mpnet")
    parser.add_argument("--workers", type=int, default=1, metavar="N")
    parser.add_argument("--small", action="store_true", help="few maps, cells and vectors: whether it works at all")
    chosen = parser.parse_args()
    sizes = SMALL if chosen.small else FULL
    try:
        prepare(chosen.device)
        device = described(chosen.device)
        print(f"Measured on {device.get('gpu', 'the CPU')}: `{' '.join(['python', *sys.argv])}`.\n")
        print("| what | measured |\n| --- | --- |")
        for rows in (
            maps(chosen.device, sizes),
            elbow(chosen.device, sizes, chosen.pair, chosen.workers),
            query_adapter(chosen.device, sizes),
        ):
            for name, value in rows:
                print(f"| {name} | {value} |", flush=True)
    except EmbalignError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

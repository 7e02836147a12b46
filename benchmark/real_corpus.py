"""Measure how many pairs a map needs on the whole of `debian-static-minilm`, beside the numbers to expect.

    python benchmark/shipped/debian_pair.py                     # makes the pair, once
    python benchmark/real_corpus.py [--pair NAME OR FOLDER]

4,000 queries, the first by the SHA-256 of their text, search all documents; nothing is removed. Maps are fitted by
ridge on draft's and teacher's vectors of the other queries, taken in random order (seed 0). Printed for each number of
pairs n: the mean cosine of mapped queries to the teacher's, and nDCG@10 of the map as query adapter and for index
migration, each beside the number to expect. Those were measured once, on 57,147 packages of another point release, with
float32 vectors. Bounds: 0.01 for teacher and draft alone, 0.03 for the query adapter at 100 pairs and 0.02 at 1,000,
5,000 and all; exit status 1 outside them.

Then the same by the suite's own split, where documents of one source package stay on one side and near-duplicates are
left out. It has no bounds. Takes about ten minutes on two cores and 3 GB.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
from numpy.typing import NDArray

from embalign.alignment.closed_form import fit_ridge
from embalign.evaluation.deployment import Embedded, judged, task_of
from embalign.evaluation.relevance import Relevance
from embalign.evaluation.retrieval import search
from embalign.evaluation.similarity import cosines
from embalign.pairs import Vectors
from embalign.pairs.config import find_pair
from embalign.pairs.holdout import Names
from embalign.pairs.pair import Pair, load_pair

TEST_QUERIES, SEED = 4_000, 0
SIZES = (100, 256, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
ALL = 53_147  # pairs in the run that gave the numbers to expect
TEACHER, DRAFT, BOUND = 0.628, 0.415, 0.01


@dataclass(frozen=True)
class Row:
    """What a map of `pairs` pairs reaches: mean cosine, nDCG@10 as query adapter and for index migration."""

    pairs: int
    cosine: float
    adapter: float
    migration: float


EXPECTED = {
    row.pairs: row
    for row in (
        Row(100, 0.549, 0.075, 0.141),
        Row(256, 0.664, 0.252, 0.293),
        Row(500, 0.730, 0.367, 0.375),
        Row(1_000, 0.773, 0.432, 0.426),
        Row(2_000, 0.797, 0.464, 0.452),
        Row(5_000, 0.813, 0.482, 0.464),
        Row(10_000, 0.818, 0.488, 0.472),
        Row(20_000, 0.821, 0.489, 0.476),
        Row(ALL, 0.823, 0.492, 0.478),
    )
}
BOUNDS = {100: 0.03, 1_000: 0.02, 5_000: 0.02, ALL: 0.02}  # of the query adapter, by expected row


@dataclass(frozen=True, eq=False)
class Task:
    """Queries and the index that they search by both models, what is relevant, and the pairs that a map is fitted on.

    `fit` holds draft's and teacher's vectors of the training queries, (m, d_draft) and (m, d_teacher), and groups (m,).
    """

    draft: Embedded
    teacher: Embedded
    relevant: Relevance
    fit: tuple[Vectors, Vectors, Names]

    def ndcg(self, queries: Vectors, index: Vectors) -> float:
        """Return the mean nDCG@10 over queries that have a relevant document."""
        return float(np.nanmean(search(queries, index, self.relevant).ndcg))

    def rows(self, sizes: Sequence[int]) -> Iterator[Row]:
        """Yield what a ridge map of each number of pairs reaches; numbers above those there are, are all."""
        draft, teacher, groups = self.fit
        order = np.random.default_rng(SEED).permutation(len(draft))
        for size in sizes:
            chosen = order[:size]
            weights = fit_ridge(draft[chosen], teacher[chosen], groups[chosen]).weights
            queries, index = (vectors @ weights.T for vectors in (self.draft.queries, self.draft.index))
            yield Row(
                len(chosen),
                float(cosines(queries, self.teacher.queries).mean()),
                self.ndcg(queries, self.teacher.index),
                self.ndcg(self.teacher.queries, index),
            )


def first_by_hash(texts: Sequence[str], count: int) -> NDArray[np.int64]:
    """Return the numbers of the `count` texts whose SHA-256 comes first, ascending."""
    return np.sort(sorted(range(len(texts)), key=lambda i: hashlib.sha256(texts[i].encode()).digest())[:count])


def by_hash(pair: Pair) -> Task:
    """Return the task of the queries that come first by hash; every other query is for fitting."""
    assert pair.judgements is not None, f"{pair.name} has no queries"
    test = first_by_hash([query.text for query in pair.queries], TEST_QUERIES)
    others = np.setdiff1d(np.arange(len(pair.queries)), test)
    return Task(
        Embedded(pair.query_draft[test], pair.draft),
        Embedded(pair.query_teacher[test], pair.teacher),
        judged(pair.judgements, test),
        (pair.query_draft[others], pair.query_teacher[others], pair.groups[others]),
    )


def by_suite(pair: Pair) -> Task:
    """Return the task of the suite's own split of a pair with queries."""
    task, training = task_of(pair), pair.fitted_on("queries")
    fit = (training.draft[training.train], training.teacher[training.train], training.groups[training.train])
    return Task(task.draft, task.teacher, task.relevant, fit)


def report(task: Task, *, judge: bool) -> bool:
    """Print the task's numbers, if `judge` beside those to expect; return whether all are within their bounds."""
    print(f"{len(task.draft.queries)} queries, {len(task.draft.index)} documents, {len(task.fit[0])} pairs to fit on")
    good = True

    def line(name: str, *found: tuple[float, float, float | None]) -> None:
        nonlocal good
        cells = []
        for value, expected, bound in found:
            out = judge and bound is not None and not abs(value - expected) <= bound
            good &= not out
            words = "" if bound is None else f", {'OUT OF' if out else 'within'} {bound:.2f}"
            cells.append(f"{value:.3f} (expected {expected:.3f}{words})" if judge else f"{value:.3f}")
        print(f"{name:>12}  " + "  ".join(f"{cell:{36 if judge else 16}}" for cell in cells).rstrip(), flush=True)

    line("teacher", (task.ndcg(task.teacher.queries, task.teacher.index), TEACHER, BOUND))
    line("draft alone", (task.ndcg(task.draft.queries, task.draft.index), DRAFT, BOUND))
    heads = ("cosine", "query adapter", "index migration")
    print(f"{'pairs':>12}  " + "  ".join(f"{head:{36 if judge else 16}}" for head in heads).rstrip())
    everything = len(task.fit[0])
    for row in task.rows([*(size for size in SIZES if size < everything), everything]):
        expected = EXPECTED[ALL if row.pairs == everything else row.pairs]
        adapter = (row.adapter, expected.adapter, BOUNDS.get(expected.pairs))
        line(str(row.pairs), (row.cosine, expected.cosine, None), adapter, (row.migration, expected.migration, None))
    return good


def main() -> int:
    """Measure both splits of the pair; 1 if the split by hash is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="debian-static-minilm-whole", help="name or folder (default: %(default)s)")
    pair = load_pair(find_pair(parser.parse_args().pair, ROOT))
    print(f"{pair.name}, by hash, nothing removed: ", end="")
    good = report(by_hash(pair), judge=True)
    print(f"\n{pair.name}, the suite's own split: ", end="")
    report(by_suite(pair), judge=False)
    print("\nall within their bounds" if good else "\nOUT OF BOUNDS: see the lines above")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

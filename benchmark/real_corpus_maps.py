"""Which map on the whole of `debian-static-minilm`? Every family with all pairs, beside the numbers to expect.

    python benchmark/shipped/debian_pair.py                     # makes the pair, once
    python benchmark/real_corpus_maps.py [--pair NAME OR FOLDER] [--families ridge deshrunk contrastive]

The split is that of real_corpus.py: 4,000 queries, the first by the SHA-256 of their text, search all documents, and a
map may be fitted on the others. Each family chooses its try inside these, as `embalign export` does it. Printed for
both deployments: nDCG@10 on inner groups, nDCG@10 of the 4,000 queries plainly and by CSLS, the share of the teacher's
that each keeps, and the system that a choice inside the training items takes. As query adapter by plain search three
families have numbers to expect, measured once with other code on another point release. Exit status 1 if one is further
off than 0.02, or if what is chosen as query adapter keeps less than 93 % of the teacher's nDCG@10.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
from real_corpus import ALL, TEST_QUERIES, first_by_hash

from embalign.evaluation.deployment import QUERY_ADAPTER, task_of
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import search_task
from embalign.maps.choose import choose, fitted_texts
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS
from embalign.maps.searches import SEARCHES, find_by_each, find_without_map, sample_of
from embalign.maps.training import Family
from embalign.pairs.config import find_pair
from embalign.pairs.pair import Pair, load_pair

EXPECTED, BOUND = {"ridge": 0.492, "deshrunk": 0.537, "contrastive": 0.587}, 0.02
KEPT = 0.93


def split_by_hash(pair: Pair) -> Pair:
    """Return the pair with the queries that come first by hash held out; nothing else is left out."""
    assert pair.judgements is not None, f"{pair.name} has no queries"
    test = first_by_hash([query.text for query in pair.queries], TEST_QUERIES)
    train = np.setdiff1d(np.arange(len(pair.queries)), test)
    held_out = np.unique(pair.judgements.documents[np.isin(pair.judgements.queries, test)])
    others = np.setdiff1d(np.arange(len(pair.items)), held_out)
    parted = copy.copy(pair)
    vars(parted)["holdout"] = dataclasses.replace(
        pair.holdout, train=train, test=test, near_duplicates=test[:0], train_documents=others, test_documents=held_out
    )
    return parted


def ndcg(found: Search) -> float:
    """Return the mean over queries that have a relevant document."""
    return float(np.nanmean(found.ndcg))


def measure(pair: Pair, families: Sequence[Family], deployment: str) -> tuple[dict[str, float], float]:
    """Print a line a family; return nDCG@10 by plain search by family, and the share that the chosen system keeps."""
    task, sample = task_of(pair), sample_of(pair, np.arange(len(pair.asking)))
    teacher = ndcg(search_task(task, task.teacher))
    raw = {how: ndcg(find_without_map(task, sample, how)) for how in SEARCHES}
    rows = pair.fitted_on(fitted_texts(pair, deployment)).train
    print(
        f"\n{deployment}: {len(task.draft.queries)} queries, {task.index_size} documents, {len(rows)} pairs to fit on"
    )
    print(f"teacher {teacher:.3f}; no map {raw['plain']:.3f} plain, {raw['csls']:.3f} by CSLS")
    print(
        f"{'family':>24}" + "".join(f"  {how:>7} {'inner':>7} {'keeps':>7}" for how in SEARCHES) + "  seconds  setting"
    )
    plain, best = {}, (-np.inf, "", 0.0)
    for family in families:
        start = time.perf_counter()
        chosen = choose(family, pair, rows, [deployment])[deployment]
        found = {how: ndcg(each) for how, each in find_by_each(chosen.map, task, deployment, sample).items()}
        cells = "".join(f"  {found[how]:7.3f} {chosen.inner[how]:7.3f} {found[how] / teacher:7.1%}" for how in SEARCHES)
        setting = ", ".join(f"{name} {value:g}" for name, value in chosen.setting.items())
        print(f"{family.label:>24}{cells}  {time.perf_counter() - start:7.0f}  {setting}", flush=True)
        plain[family.name] = found["plain"]
        best = max(best, *((chosen.inner[how], f"{family.label}, {how}", found[how] / teacher) for how in SEARCHES))
    _, words, kept = best
    print(f"chosen inside the training items: {words}; it keeps {kept:.1%} of the teacher's nDCG@10")
    return plain, kept


def main() -> int:
    """Measure the families in both deployments; 1 if a number is not as expected."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="debian-static-minilm-whole", help="name or folder (default: %(default)s)")
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES), metavar="FAMILY")
    options = parser.parse_args()
    pair = split_by_hash(load_pair(find_pair(options.pair, ROOT)))
    families = [FAMILIES[name] for name in options.families]
    good = True
    for deployment in DEPLOYMENTS:
        plain, kept = measure(pair, families, deployment)
        if deployment == QUERY_ADAPTER:
            good = kept >= KEPT
            for name in EXPECTED.keys() & plain.keys():
                out = abs(plain[name] - EXPECTED[name]) > BOUND
                good &= not out
                words = "OUT OF" if out else "within"
                print(f"{name}: {plain[name]:.3f}, expected {EXPECTED[name]:.3f} with {ALL} pairs, {words} {BOUND:.2f}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

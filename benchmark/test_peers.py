"""Maps of other packages beside the families here: the same training pairs, queries and searches, only the map differs.

    pip install -c constraints.txt --group tests --group peers -e .
    OMP_NUM_THREADS=1 pytest benchmark/test_peers.py

Timed is a whole fit, with what chooses its settings, in processor time; ratios count. `--pair` takes another pair. The
last lines are the table of docs/peers.md.
"""

from __future__ import annotations

import copy
import functools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from peers import PEERS, Foreign
from summary import collect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embalign.evaluation.deployment import SearchTask
    from embalign.maps.map import Map
    from embalign.maps.searches import Sample
    from embalign.pairs.pair import FitOn, Pair

PAIRS = ("smollm2-mpnet", "debian-static-minilm")
DEPLOYMENTS = ("query_adapter", "index_migration")
FAMILIES = [
    *["ridge", "affine", "procrustes", "deshrunk", "reversed", "lowrank"],
    *["kernel", "cosine", "contrastive", "residual"],
]
SEED = 0
NO_MAP, RIDGE = "no map", "ridge"
HEADER = ("pair", "deployment", "map", "nDCG@10", "retention", "minus picked", "nDCG@10 with CSLS", "fit time / picked")


@dataclass(frozen=True, eq=False)
class Place:
    """A pair in a deployment: what maps are fitted on, and what they are searched with."""

    name: str
    deployment: str

    @functools.cached_property
    def pair(self) -> Pair:
        """The pair."""
        return load(self.name)

    @functools.cached_property
    def task(self) -> SearchTask:
        """The held-out queries and the index."""
        from embalign.experiments.fits import search_task_of

        return search_task_of(self.pair)

    @functools.cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows that maps are fitted on: the whole pool of a seed, as in the bake-off."""
        from embalign.experiments.fits import Share, rows_of

        return rows_of(self.pair, Share("random", 1.0, fit_on=self.kind), SEED)

    @functools.cached_property
    def kind(self) -> FitOn:
        """The texts that maps are fitted on."""
        from embalign.maps.choose import fitted_texts

        return fitted_texts(self.pair, self.deployment)

    @functools.cached_property
    def sample(self) -> Sample:
        """The queries that CSLS takes hubs from."""
        from embalign.maps.searches import sample_of

        return sample_of(self.pair, np.arange(len(self.pair.asking)))

    def found(self, fitted: Map) -> dict[str, NDArray[np.float64]]:
        """The nDCG@10 of each query (Q,) by each way of searching; NaN where nothing is relevant."""
        from embalign.maps.searches import find_by_each

        found = find_by_each(fitted, self.task, self.deployment, self.sample)
        return {how: search.ndcg for how, search in found.items()}

    @functools.cached_property
    def teacher(self) -> float:
        """The nDCG@10 of the teacher's own search."""
        from embalign.experiments.fits import ceiling_of

        return float(np.nanmean(ceiling_of(self.pair).ndcg))


@dataclass(frozen=True, eq=False)
class Result:
    """What a map finds, by query; what its fit took; and for a family the nDCG@10 on inner groups, NaN for a peer."""

    place: Place
    name: str
    ndcg: dict[str, NDArray[np.float64]]
    seconds: float = math.nan
    inner: float = math.nan

    def mean(self, how: str = "plain") -> float:
        """The nDCG@10 by a way of searching."""
        return float(np.nanmean(self.ndcg[how]))


@functools.cache
def load(name: str) -> Pair:
    """Return a pair."""
    from embalign import find_pair, load_pair

    return load_pair(find_pair(name))


place_of = functools.cache(Place)


def pytest_generate_tests(metafunc):
    """Run every case on each pair of the command line, or on two shipped ones."""
    metafunc.parametrize("deployment", DEPLOYMENTS)
    metafunc.parametrize("pair", metafunc.config.getoption("pair") or PAIRS)


@pytest.fixture(scope="module")
def results(request):
    """Collect what is measured for the table."""
    return collect(request, "beside peers", table, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_family(benchmark, results, pair, deployment, family):
    """A family of ours: six tries on four fifths of the pairs, judged on the rest, and a fit of the best on all."""
    from embalign.maps.choose import choose
    from embalign.maps.families import FAMILIES

    place = place_of(pair, deployment)
    fresh = copy.copy(place.pair)  # families must not share their sums here

    def fit():
        chosen = choose(FAMILIES[family], fresh, place.rows, [deployment], SEED)[deployment]
        return chosen, chosen.map  # which is fitted when it is asked for

    (chosen, fitted), seconds = timed(benchmark, place, fit)
    add(benchmark, results, Result(place, family, place.found(fitted), seconds, chosen.inner["plain"]))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.replace(" ", "-"))
def test_peer(benchmark, results, pair, deployment, peer):
    """A peer's own fit of the same pairs, with its defaults."""
    from embalign.maps.map import Map

    pytest.importorskip(PEERS[peer].package, reason="needs the dependency group peers")
    place = place_of(pair, deployment)
    fitted = place.pair.fitted_on(place.kind)
    fit = functools.partial(PEERS[peer].fit, fitted.draft[place.rows], fitted.teacher[place.rows], SEED)
    function, seconds = timed(benchmark, place, fit)
    foreign = Foreign(function)
    add(benchmark, results, Result(place, peer, place.found(Map(query=foreign, index=foreign)), seconds))


def timed(benchmark, place, fit):
    """Return what a fit returns, and its processor time: other work on the machine hardly changes that."""
    spent = []

    def run():
        start = time.process_time()
        fitted = fit()
        spent.append(time.process_time() - start)
        return fitted

    assert place.teacher > 0  # and what is imported on first use is there
    benchmark.group = f"fit, {place.pair.name}, {place.deployment}"
    return benchmark.pedantic(run), spent[-1]


def add(benchmark, results, result):
    """Keep a result for the table and for `--benchmark-json`."""
    assert math.isfinite(result.mean())
    found = {f"ndcg_at_10_{how}": result.mean(how) for how in result.ndcg}
    retention = result.mean() / result.place.teacher
    benchmark.extra_info |= found | {"retention": retention, "processor_seconds": result.seconds}
    results.append(result)


def no_map(place):
    """Return what the raw draft finds by itself."""
    from embalign.maps.searches import SEARCHES, find_without_map

    return Result(place, NO_MAP, {how: find_without_map(place.task, place.sample, how).ndcg for how in SEARCHES})


def table(measured):
    """Return the lines of a Markdown table: in each pair and deployment no map, ridge, what is picked, and the peers.

    Picked is the family with the highest nDCG@10 on inner groups of the training pairs.
    """
    lines = ["| " + " | ".join(HEADER) + " |", "|" + " --- |" * len(HEADER)]
    places = {each.place for each in measured}
    for place in sorted(places, key=lambda place: (place.name, DEPLOYMENTS.index(place.deployment))):
        here = [each for each in measured if each.place is place]
        picked = max((each for each in here if each.inner > 0), key=lambda each: each.inner, default=None)
        shown = [each for each in here if each is picked or each.name in (RIDGE, *PEERS)]
        for each in sorted([*shown, no_map(place)], key=Result.mean, reverse=True):
            lines.append("| " + " | ".join(row(each, picked)) + " |")
    return lines


def row(result, picked):
    """Return the cells of one row, those that need what is picked empty where no family was measured."""
    from embalign.experiments.maps.protocol import label

    place = result.place
    compared = picked is not None and result is not picked
    return (
        f"`{place.pair.name}`",
        place.deployment.replace("_", " "),
        f"{label(result.name)}, picked" if result is picked else result.name,
        f"{result.mean():.3f}",
        f"{100 * result.mean() / place.teacher:.1f} %",
        difference(result, picked) if compared else "",
        f"{result.mean('csls'):.3f}",
        rounded(result.seconds / picked.seconds) if compared and result.seconds > 0 else "",
    )


def rounded(value):
    """Return a number of one digit: other work on the machine changes the next."""
    return f"{float(f'{value:.1g}'):g}"


def difference(result, picked):
    """Return the difference of two maps by plain search with its 95 % interval over label groups, if there are enough.

    Groups of the queries vary in it; the training pairs and the seed do not.
    """
    from embalign.verdicts.paired import judge_paired

    try:
        found = judge_paired(by_query(result), by_query(picked))
    except ValueError:
        return f"{result.mean() - picked.mean():+.3f}, too few groups"
    low, high = found.interval
    return f"{found.direction or 'not shown'}, {found.difference:+.3f} ({low:+.3f} to {high:+.3f})"


def by_query(result):
    """Return the nDCG@10 of each query that has an answer, by plain search, with its group."""
    import pandas as pd

    values = result.ndcg["plain"]
    return pd.DataFrame({"item": np.arange(len(values)), "group": result.place.task.groups, "value": values}).dropna()

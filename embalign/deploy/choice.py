"""Which family's map a deployment gets, and how it is searched: what finds most inside the training items.

Each family chooses its own try on label groups held out of the training items, and so is the family chosen, by nDCG@10
in the deployment that the map is for. The held-out queries decide nothing.
"""

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from embalign.deploy.card import Fitted
from embalign.deploy.thresholds import check_size
from embalign.errors import TrainingDivergedError
from embalign.escaping import visible
from embalign.evaluation.deployment import SearchTask
from embalign.evaluation.retrieval import Search
from embalign.maps.choose import Chosen, choose, fitted_texts
from embalign.maps.map import Map
from embalign.maps.searches import CSLS, Sample, find
from embalign.maps.training import Family, Setting
from embalign.pairs.pair import FitOn, Pair

Inner = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Taken:
    """The map that a deployment gets: its family and try, how it is searched, and the nDCG@10 of all on inner groups.

    `inner` is that by family and search, NaN where nothing could be held out.
    """

    map: Map
    family: str
    setting: Setting
    search: str
    inner: Inner

    def described(self, deployment: str, sample: int) -> Fitted:
        """Return what the card says of it, measured with a sample of so many queries."""
        queries, index = self.map.sides(deployment)
        known = {
            family: {how: value for how, value in found.items() if math.isfinite(value)}
            for family, found in self.inner.items()
        }
        sampled = sample if self.search == CSLS else 0
        return Fitted(self.family, self.setting, self.search, queries.kind, index.kind, known, sampled)


def take_best(
    pair: Pair, deployments: Sequence[str], families: Sequence[Family], searches: Sequence[str], seed: int = 0
) -> dict[str, Taken]:
    """Return, for each deployment, the best of some families and searches, fitted on every training item.

    Of equal ones the first is taken, and so it is where nothing can be held out. A family whose training diverges is
    left out; raises TrainingDivergedError where none is left. Shows its progress on a terminal.
    """
    kinds: dict[FitOn, list[str]] = {}
    for deployment in deployments:
        kinds.setdefault(fitted_texts(pair, deployment), []).append(deployment)
    found: dict[str, dict[str, Chosen]] = {deployment: {} for deployment in deployments}
    steps = [(kind, family) for kind in kinds for family in families]
    diverged = None
    with tqdm(steps, unit="family", file=sys.stderr, disable=None if len(steps) > 1 else True) as bar:
        for kind, family in bar:
            bar.set_description(visible(f"{pair.name}: {family.name}"))
            try:
                chosen = choose(family, pair, pair.fitted_on(kind).train, kinds[kind], seed)
            except TrainingDivergedError as error:
                diverged = error
                continue
            for deployment, each in chosen.items():
                found[deployment][family.name] = each
    return {deployment: _fit_best(found[deployment], searches, diverged) for deployment in deployments}


def _fit_best(found: Mapping[str, Chosen], searches: Sequence[str], diverged: TrainingDivergedError | None) -> Taken:
    """The best of some families' tries, or the next best where the training of one diverges on all items."""
    inner = {family: {how: chosen.inner[how] for how in searches} for family, chosen in found.items()}
    order = sorted(itertools.product(found, searches), key=lambda each: -_value(inner[each[0]][each[1]]))
    for family, how in order:
        try:
            return Taken(found[family].map, family, found[family].setting, how, inner)
        except TrainingDivergedError as error:
            diverged = error
    assert diverged is not None, "no family and no search to choose from"
    raise diverged


def search_taken(taken: Mapping[str, Taken], task: SearchTask, sample: Sample) -> dict[str, Search]:
    """Return what the queries of each deployment find with its map. Raises CorpusError for too small an index."""
    check_size(task)
    return {name: find(own.map, task, name, sample, own.search) for name, own in taken.items()}


def _value(inner: float) -> float:
    return -math.inf if math.isnan(inner) else inner

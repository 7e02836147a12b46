"""Which family's map a deployment gets, and how it is searched: what finds most inside the training items.

Each family chooses its own try on label groups held out of the training items, and so is the family chosen, by nDCG@10
in the deployment that the map is for. The held-out queries decide nothing.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from embalign.deploy.card import Fitted
from embalign.deploy.thresholds import check_size
from embalign.errors import TrainingDivergedError
from embalign.escaping import visible
from embalign.evaluation.deployment import SearchTask
from embalign.evaluation.retrieval import Search
from embalign.maps.choose import choose, fitted_texts
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
    left out; raises TrainingDivergedError where it is the only one. Shows its progress on a terminal.
    """
    kinds: dict[FitOn, list[str]] = {}
    for deployment in deployments:
        kinds.setdefault(fitted_texts(pair, deployment), []).append(deployment)
    best: dict[str, Taken] = {}
    inner: dict[str, Inner] = {deployment: {} for deployment in deployments}
    steps = [(kind, family) for kind in kinds for family in families]
    with tqdm(steps, unit="family", file=sys.stderr, disable=None if len(steps) > 1 else True) as bar:
        for kind, family in bar:
            bar.set_description(visible(f"{pair.name}: {family.name}"))
            try:
                found = choose(family, pair, pair.fitted_on(kind).train, kinds[kind], seed)
            except TrainingDivergedError:
                if len(families) == 1:
                    raise
                continue
            for deployment, chosen in found.items():
                inner[deployment][family.name] = {how: chosen.inner[how] for how in searches}
                for how in searches:
                    taken = Taken(chosen.map, family.name, chosen.setting, how, inner[deployment])
                    if deployment not in best or _value(taken) > _value(best[deployment]):
                        best[deployment] = taken
    return {deployment: best[deployment] for deployment in deployments}


def search_taken(taken: Mapping[str, Taken], task: SearchTask, sample: Sample) -> dict[str, Search]:
    """Return what the queries of each deployment find with its map. Raises CorpusError for too small an index."""
    check_size(task)
    return {name: find(own.map, task, name, sample, own.search) for name, own in taken.items()}


def _value(taken: Taken) -> float:
    value = taken.inner[taken.family][taken.search]
    return -np.inf if math.isnan(value) else value

"""What the bake-off judges, fixed before any run: systems in each deployment, who may be the best, and what is picked.

A system is a family with a way of searching. All of the data are judged; smaller shares say how many pairs it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from embalign.evaluation.results import Results
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS
from embalign.maps.searches import CSLS, PLAIN, SEARCHES, column
from embalign.pairs.texts import Basis
from embalign.verdicts.basis import BY_TEACHER
from embalign.verdicts.best_set import BestSet, judge_best
from embalign.verdicts.enough import smallest_sufficient
from embalign.verdicts.metrics import ALIGNMENT
from embalign.verdicts.replicates import Replicates, replicates
from embalign.verdicts.sanity import Suspicion, suspect
from embalign.verdicts.statistics import StudentT
from embalign.verdicts.use import NO_MAP, REFERENCES, TEACHER, Answer, answer_of

METRIC = "ndcg_at_10"
MEMO = "cosine"  # the family of the memo's trained map
RIDGE = "ridge"
KEPT = 0.95  # of what all of the data give: what is enough keeps so much
PICKED = "picked"  # the system with the highest nDCG@10 on inner groups, seed by seed


class System(NamedTuple):
    """A family with a way of searching."""

    family: str
    search: str

    @property
    def words(self) -> str:
        """What the system is called in a sentence."""
        return label(self.family) + (" with CSLS" if self.search != PLAIN else "")


def label(family: str) -> str:
    """Return what a family is called: its label, or for one of a user's own its name."""
    return FAMILIES[family].label if family in FAMILIES else family


@dataclass(frozen=True)
class Row:
    """One system with all of the data, in one deployment.

    `no_map` is its difference to the raw draft's own search, by the same way of searching. `ridge` is that to ridge
    with plain search, which the field holds its maps against; None where ridge was not measured. `enough` is the
    smallest share from which on no more than 5 % of its nDCG@10 is lost, None where shares were not measured. `bytes`
    and `multiplications` are what it takes to keep and for a query.
    """

    system: System
    value: float
    in_set: bool
    to_best: StudentT | None
    no_map: StudentT
    ridge: StudentT | None
    retention: float
    enough: float | None
    pairs: int
    bytes: float
    multiplications: float
    inner: float

    @property
    def answer(self) -> Answer:
        """Whether the map beats no map."""
        return answer_of(self.no_map)


@dataclass(frozen=True)
class Picked:
    """What a choice inside the training items gives: which systems it takes, seed by seed, and how these fare.

    `no_map` is the difference to the raw draft's own search, by the same way of searching.
    """

    systems: tuple[System, ...]
    value: float
    retention: float
    memo: StudentT | None
    no_map: StudentT

    @property
    def usual(self) -> System:
        """The system that is taken most often."""
        return max(dict.fromkeys(self.systems), key=self.systems.count)


@dataclass(frozen=True)
class Bakeoff:
    """One deployment: its systems, best first, what is picked, and what no map and teacher find."""

    deployment: str
    best: BestSet
    rows: tuple[Row, ...]
    picked: Picked | None
    no_map: float
    no_map_csls: float
    teacher: float

    @property
    def members(self) -> list[Row]:
        """The systems that cannot be told from the best."""
        return [row for row in self.rows if row.in_set]

    def row(self, system: System) -> Row:
        """Return a system's row."""
        return next(row for row in self.rows if row.system == system)


@dataclass(frozen=True)
class Judgement:
    """All that the bake-off says. With a fatal suspicion, or where nothing pairs, a deployment has no verdict."""

    suspicions: list[Suspicion]
    bakeoffs: dict[str, Bakeoff]
    reasons: dict[str, str]
    basis: Basis
    cosines: dict[str, float] = field(default_factory=dict)

    @property
    def by_teacher(self) -> bool:
        """Whether relevant is what the teacher itself finds."""
        return self.basis == BY_TEACHER

    @property
    def fatal(self) -> bool:
        """Whether a suspicion leaves no verdict."""
        return any(suspicion.fatal for suspicion in self.suspicions)


def judge(
    measured: Results, references: Results, rows: Mapping[str, float] | None = None, basis: Basis = "labels"
) -> Judgement:
    """Return what is said of a pair from the families' maps on every share and their references."""
    against = {name: references.where(reference=name) for name in REFERENCES}
    whole = measured.where(ratio=1.0)
    suspicions = suspect(whole.where(family=MEMO), against, rows, basis)
    bakeoffs: dict[str, Bakeoff] = {}
    reasons: dict[str, str] = {}
    for deployment in () if any(suspicion.fatal for suspicion in suspicions) else DEPLOYMENTS:
        try:
            bakeoffs[deployment] = _judge_deployment(deployment, measured, against)
        except ValueError as error:
            reasons[deployment] = str(error)
    cosines = {}
    if ALIGNMENT in whole.frame:
        cosines = whole.frame.groupby("family", sort=False)[ALIGNMENT].mean().dropna().to_dict()
    return Judgement(suspicions, bakeoffs, reasons, basis, cosines)


def systems_of(measured: Results) -> list[System]:
    """Return the systems of a grid."""
    return [System(family, how) for family in dict.fromkeys(measured.frame["family"]) for how in SEARCHES]


def pairs_of(cells: pd.DataFrame, deployment: str) -> pd.Series:
    """Return how many texts the map of a deployment was fitted on, by cell: queries, or documents for a migration."""
    return cells[next(name for name in (f"{deployment}_pairs", "n_train") if name in cells)]


def _judge_deployment(deployment: str, measured: Results, against: Mapping[str, Results]) -> Bakeoff:
    whole = measured.where(ratio=1.0)
    systems = systems_of(whole)
    if not systems:
        raise ValueError("no map was measured on all of the data")
    columns = {system: column(deployment, system.search, METRIC) for system in systems}
    values = {system: whole.where(family=system.family).long(columns[system]) for system in systems}
    best = judge_best(pd.concat([frame.assign(system=str(place)) for place, frame in enumerate(values.values())]))
    picks = _picks(deployment, whole, systems)
    no_map = {how: against[NO_MAP].long(column(deployment, how, METRIC)) for how in SEARCHES}
    values_of: dict[Any, pd.DataFrame] = values | {(NO_MAP, how): frame for how, frame in no_map.items()}
    if picks:
        values_of[PICKED] = _of_seeds({seed: values[system] for seed, system in picks.items()})
        values_of[PICKED, NO_MAP] = _of_seeds({seed: no_map[system.search] for seed, system in picks.items()})
    names = list(values_of)
    together = replicates(
        pd.concat([frame.assign(system=place) for place, frame in enumerate(values_of.values())]), "system"
    )

    def difference(first: Any, second: Any) -> StudentT:
        return together.contrast(together.difference(names.index(first), names.index(second)))

    def mean(name: Any) -> float:
        return float(together.mean[names.index(name)])

    ridge = System(RIDGE, PLAIN)
    teacher = float(against[TEACHER].frame[f"{deployment}_{METRIC}"].mean())
    order = [systems[int(standing.system)] for standing in best.standings]
    rows = [
        Row(
            system=system,
            value=standing.mean,
            in_set=standing.in_set,
            to_best=standing.difference,
            no_map=difference(system, (NO_MAP, system.search)),
            ridge=difference(system, ridge) if ridge in names and system != ridge else None,
            retention=standing.mean / teacher if teacher > 0 else math.nan,
            enough=_enough(measured.where(family=system.family), columns[system], standing.mean),
            **_costs(whole.where(family=system.family).frame, deployment, system.search),
        )
        for system, standing in zip(order, best.standings, strict=True)
    ]
    picked = None
    if picks:
        memo = System(MEMO, PLAIN)
        picked = Picked(
            tuple(picks.values()),
            mean(PICKED),
            mean(PICKED) / teacher if teacher > 0 else math.nan,
            difference(PICKED, memo) if memo in names else None,
            difference(PICKED, (PICKED, NO_MAP)),
        )
    return Bakeoff(deployment, best, tuple(rows), picked, mean((NO_MAP, PLAIN)), mean((NO_MAP, CSLS)), teacher)


def _picks(deployment: str, whole: Results, systems: Sequence[System]) -> dict[int, System]:
    """The system with the highest nDCG@10 on inner groups, by seed; none where nothing could be held out."""
    found = {}
    for seed, cells in whole.frame.groupby("seed"):
        by_family = cells.set_index("family")
        inner = {
            system: float(by_family.loc[system.family, column(deployment, system.search, "inner")])
            for system in systems
            if system.family in by_family.index
        }
        if known := {system: value for system, value in inner.items() if not math.isnan(value)}:
            found[seed] = max(known, key=lambda system: known[system])
    return found


def _of_seeds(values: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """The rows of each seed from its own frame."""
    return pd.concat([frame[frame["seed"] == seed] for seed, frame in values.items()])


def _enough(family: Results, metric: str, whole: float) -> float | None:
    """The smallest share from which on a family loses at most 5 % of its nDCG@10; None for a single share."""
    ratios = sorted(set(family.frame["ratio"]))
    if len(ratios) < 2:
        return None
    try:
        curve: Replicates = replicates(family.long(metric, "ratio"), "ratio")
    except ValueError:
        return None
    loss = {ratio: curve.contrast(curve.difference(ratios[-1], ratio)) for ratio in ratios[:-1]}
    return smallest_sufficient(loss, (1 - KEPT) * whole)


def _costs(cells: pd.DataFrame, deployment: str, search: str) -> dict[str, Any]:
    inner = cells[column(deployment, search, "inner")]
    return {
        "pairs": int(pairs_of(cells, deployment).max()),
        "bytes": float(cells[f"{deployment}_bytes"].mean()),
        "multiplications": float(cells[f"{deployment}_multiplications"].mean()),
        "inner": float(np.nanmean(inner)) if inner.notna().any() else math.nan,
    }

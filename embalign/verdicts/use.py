"""Is a map better than no map, in the deployment it is made for? Judged by nDCG@10 against the raw draft's own search.

The raw draft needs no map: its queries search its own index. Where it finds as much, a map buys nothing but the right
to search the teacher's vectors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from embalign.evaluation.results import Results
from embalign.verdicts.metrics import BY_DEPLOYMENT
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT

Answer = Literal["better", "worse", "not shown"]
# What maps are held against: the names of the cells.
NO_MAP, UNTRAINED, TEACHER, CHANCE, CONSTANT = "draft", "untrained", "teacher", "chance", "mean_vector"
REFERENCES = (CONSTANT, UNTRAINED, CHANCE, NO_MAP, TEACHER)


@dataclass(frozen=True)
class Use:
    """A map in one deployment beside its alternatives, all by nDCG@10 in [0, 1], means over seeds.

    `difference` is map minus no map, paired by seed and label group, and `retention` the share of the teacher's own
    nDCG@10 that the map keeps.
    """

    deployment: str
    value: float
    no_map: float
    untrained: float
    teacher: float
    chance: float
    difference: StudentT
    retention: StudentT

    @property
    def answer(self) -> Answer:
        """Whether the map beats no map."""
        return answer_of(self.difference)

    def as_record(self) -> dict[str, Any]:
        """Return the judgement as verdict.json has it."""
        return {
            "metric": BY_DEPLOYMENT[self.deployment],
            "map": self.value,
            "no_map": self.no_map,
            "untrained": self.untrained,
            "teacher": self.teacher,
            "chance": self.chance,
            "difference": self.difference.mean,
            "interval": self.difference.interval(),
            "lower_bound": self.difference.lower_bound(),
            "retention": self.retention.mean,
            "retention_interval": self.retention.interval(),
            "better_than_no_map": self.answer,
        }


def answer_of(difference: StudentT) -> Answer:
    """Return whether a difference to no map is shown: a one-sided 95 % bound of it excludes 0."""
    if difference.lower_bound() > 0:
        return "better"
    return "worse" if difference.upper_bound() < 0 else "not shown"


def judge_use(mapped: Results, references: Mapping[str, Results], deployment: str) -> Use:
    """Return what a map, given as its cells (one a seed), brings in a deployment.

    `references` holds the cells of the raw draft, the untrained map, the teacher and chance by name. Raises ValueError
    for fewer than two seeds, and for a reference or a value that is missing.
    """
    metric = BY_DEPLOYMENT[deployment]
    retention = f"{deployment}_retention_ndcg_at_10"
    if math.isnan(level(mapped, metric)) or math.isnan(level(mapped, retention)):
        raise ValueError("no map was measured on all of the data")
    levels = {name: level(references.get(name), metric) for name in (NO_MAP, UNTRAINED, TEACHER, CHANCE)}
    if missing := [name for name, value in levels.items() if math.isnan(value)]:
        raise ValueError(f"the reference {missing[0]} was not measured")
    difference = compare(mapped, references[NO_MAP], metric)
    return Use(
        deployment,
        value=float(mapped.frame[metric].mean()),
        no_map=levels[NO_MAP],
        untrained=levels[UNTRAINED],
        teacher=levels[TEACHER],
        chance=levels[CHANCE],
        difference=difference,
        retention=replicates(mapped.long(retention).assign(which=0), "which").contrast([1.0]),
    )


def judge_uses(mapped: Results, references: Mapping[str, Results]) -> tuple[dict[str, Use], dict[str, str]]:
    """Return what a map brings by deployment, and the reasons for the deployments that cannot be judged."""
    uses, unused = {}, {}
    for deployment in BY_DEPLOYMENT:
        try:
            uses[deployment] = judge_use(mapped, references, deployment)
        except ValueError as error:
            unused[deployment] = str(error)
    return uses, unused


def level(cells: Results | None, name: str) -> float:
    """Return the mean of a metric over cells, NaN where none has it."""
    if cells is None or name not in cells.frame or cells.frame[name].isna().all():
        return math.nan
    return float(cells.frame[name].mean())


def compare(mapped: Results, against: Results, metric: str) -> StudentT:
    """Return the mean difference of two sets of cells, paired by seed and label group.

    Raises ValueError where they do not pair, or for fewer than two seeds.
    """
    if set(mapped.frame["seed"]) != set(against.frame["seed"]):
        raise ValueError("the map and what it is held against were not measured with the same seeds")
    frames = [each.long(metric).assign(which=which) for which, each in enumerate((mapped, against))]
    pair = replicates(pd.concat(frames, ignore_index=True), "which")
    return pair.contrast(pair.difference(0, 1))

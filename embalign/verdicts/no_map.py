"""Does a map beat no map? The raw draft searches its own index without one, in every deployment.

A map beats no map if the one-sided 95 % lower bound of the difference in nDCG@10, paired by query, lies above 0, and
loses if the upper bound lies below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.verdicts.contrasts import over_draws
from embalign.verdicts.metrics import BY_DEPLOYMENT
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT

if TYPE_CHECKING:
    from embalign.evaluation.results import Results

ALPHA = 0.05  # one-sided

NoMapKind = Literal["beats", "loses", "not settled"]


@dataclass(frozen=True)
class AgainstNoMap:
    """nDCG@10 of a map in one deployment, of the raw draft's own search, and their difference (map minus draft)."""

    deployment: str
    of_map: float
    of_draft: float
    difference: StudentT

    @property
    def metric(self) -> str:
        """The column that is compared."""
        return BY_DEPLOYMENT[self.deployment]

    @property
    def label(self) -> str:
        """The deployment's name in texts."""
        return DEPLOYMENTS[self.deployment].label

    @property
    def lower_bound(self) -> float:
        """One-sided 95 % lower bound of the difference."""
        return self.difference.lower_bound(ALPHA)

    @property
    def kind(self) -> NoMapKind:
        """What is shown: that the map beats no map, that it loses to it, or neither."""
        if self.lower_bound > 0:
            return "beats"
        return "loses" if self.difference.upper_bound(ALPHA) < 0 else "not settled"

    def as_record(self) -> dict[str, Any]:
        """Return the comparison as verdict.json has it."""
        return {
            "deployment": self.deployment,
            "metric": self.metric,
            "map": self.of_map,
            "draft": self.of_draft,
            "difference": self.difference.mean,
            "interval": self.difference.interval(),
            "lower_bound": self.lower_bound,
            "kind": self.kind,
        }


def judge_no_map(of_map: Results, of_draft: Results) -> list[AgainstNoMap]:
    """Return the verdict on each deployment, given the cells of one map and of the raw draft, a cell a seed.

    Differences are paired by seed and label group. A deployment without such pairs is left out.
    """
    judged = []
    for deployment, metric in BY_DEPLOYMENT.items():
        sides = {"map": of_map, "draft": of_draft}
        if any(found.frame.empty or metric not in found.frame for found in sides.values()):
            continue
        frame = pd.concat([over_draws(found, metric).assign(side=side) for side, found in sides.items()])
        try:
            pair = replicates(frame, "side")
        except ValueError:
            continue
        map_mean, draft_mean = (float(found.frame[metric].mean()) for found in (of_map, of_draft))
        difference = pair.contrast(pair.difference("map", "draft"))
        judged.append(AgainstNoMap(deployment, map_mean, draft_mean, difference))
    return judged

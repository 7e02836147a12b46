"""Which items come first: policies of selection against random selection, and the claim about the densest items."""

import itertools
from dataclasses import dataclass
from typing import Literal

from embalign.evaluation.results import Results
from embalign.experiments.elbow.protocol import ALPHA, BUDGETS, POLICIES, PRIMARY, budget_names, origin_of
from embalign.verdicts.metrics import HEADLINES
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT, holm

CLAIMED, AGAINST = "density", "random"
Answer = Literal["supported", "refuted", "not settled"]


@dataclass(frozen=True)
class Comparison:
    """Gain share of a policy minus that of random selection at one ratio, and what is said of it after Holm."""

    metric: str
    ratio: float
    share: float
    difference: StudentT
    p_better: float
    p_worse: float

    @property
    def word(self) -> str:
        """What the test says."""
        return "better" if self.p_better <= ALPHA else "worse" if self.p_worse <= ALPHA else "not settled"


def claim_budget(measured: Results) -> str | None:
    """Return the recipe that density and random selection are compared by: the headline's, or else ridge.

    None where they were not measured side by side.
    """
    with_density = set(measured.where(policy=CLAIMED).frame["budget"])
    return next((budget for budget in (PRIMARY["budget"], *reversed(BUDGETS)) if budget in with_density), None)


def own_policies(measured: Results) -> list[str]:
    """Return the names of the policies that are functions of one's own, as they come in the grid."""
    return [name for name in dict.fromkeys(measured.frame["policy"]) if name not in POLICIES]


def compare_own(measured: Results, references: Results) -> dict[tuple[str, str], list[Comparison]]:
    """Return what `compare_policy` says of each policy of one's own, by its name and the budget, where there is any."""
    asked = itertools.product(own_policies(measured), budget_names(measured))
    found = {(policy, budget): compare_policy(measured, references, budget, policy) for policy, budget in asked}
    return {key: comparisons for key, comparisons in found.items() if comparisons}


def compare_policy(measured: Results, references: Results, budget: str, policy: str = CLAIMED) -> list[Comparison]:
    """Return a policy against random selection at every ratio below 1, Holm over ratios and metrics."""
    chosen = measured.where(budget=budget, policy=[policy, AGAINST])
    if not {policy, AGAINST} <= set(chosen.frame["policy"]):
        return []
    found = []
    for metric in HEADLINES:
        at_all = float(chosen.where(ratio=1).frame[metric].mean())
        try:
            gain = at_all - float(origin_of(references, metric)["value"].mean())
        except ValueError:
            continue
        if not gain > 0:
            continue
        for ratio in sorted(set(chosen.frame["ratio"]) - {1.0}):
            at_ratio = chosen.where(ratio=ratio)
            frame = at_ratio.long(metric, "policy")
            frame["value"] /= gain
            try:
                pair = replicates(frame, "policy")
                difference = pair.contrast(pair.difference(policy, AGAINST))
            except ValueError:
                continue
            share = 1 - (at_all - at_ratio.where(policy=policy).frame[metric].mean()) / gain
            found.append((metric, float(ratio), float(share), difference))
    better = holm([difference.p_greater() for *_, difference in found])
    worse = holm([(-difference).p_greater() for *_, difference in found])
    return [Comparison(*each, up, down) for each, up, down in zip(found, better, worse, strict=True)]


def claim_answer(comparisons: list[Comparison]) -> Answer:
    """Return what the comparisons of one metric say of "the densest items first are better than random ones".

    Supported if better at most of the ratios and worse at none, refuted if worse at most and better at none.
    """
    words = [comparison.word for comparison in comparisons]
    if words.count("better") > len(words) / 2 and "worse" not in words:
        return "supported"
    if words.count("worse") > len(words) / 2 and "better" not in words:
        return "refuted"
    return "not settled"

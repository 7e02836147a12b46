"""Has a metric become worse since its baseline? An effect that matters and that is not chance, or no alarm.

A metric has regressed if its mean paired change is worse than the larger of the smallest effect that matters and 2.8
times the measured repeatability (ISO 5725's limit for two runs of one thing), and its interval over seeds excludes zero
with Holm's correction over the checked metrics.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from embalign.verdicts.metrics import METRICS, smallest_effect
from embalign.verdicts.statistics import holm, student_t

RegressionKind = Literal["ok", "regressed", "improved", "inconclusive", "new", "missing", "incomparable"]
FAILURES: tuple[RegressionKind, ...] = ("regressed", "missing", "incomparable")
REPEATABILITY_FACTOR = 2.8
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class RegressionVerdict:
    """The verdict on one metric; `effect` is current minus baseline, in the metric's units."""

    metric: str
    kind: RegressionKind
    effect: float = 0.0
    interval: tuple[float, float] = (0.0, 0.0)
    p_holm: float = 1.0
    limit: float = 0.0
    seeds: int = 0
    detail: str = ""


def judge_regression(
    changes: Mapping[str, Mapping[int, float]], repeatability: Mapping[str, float], alpha: float = 0.05
) -> list[RegressionVerdict]:
    """Return one verdict a metric from its change (current minus baseline) by seed, means over the paired cells.

    `repeatability` is the standard deviation of a change between runs of the same code. With fewer than three seeds a
    change beyond the limit is `inconclusive`.
    """
    verdicts, tested = {}, {}
    for metric, by_seed in changes.items():
        limit = max(smallest_effect(metric), REPEATABILITY_FACTOR * repeatability.get(metric, 0.0))
        if len(by_seed) < 2:
            effect = next(iter(by_seed.values()))
            kind: RegressionKind = "inconclusive" if abs(effect) > limit else "ok"
            verdicts[metric] = RegressionVerdict(metric, kind, effect, (effect, effect), 1.0, limit, len(by_seed))
        else:
            tested[metric] = (student_t(list(by_seed.values())), limit, len(by_seed))
    adjusted = holm([found.p_two_sided() for found, _, _ in tested.values()])
    for (metric, (found, limit, seeds)), p in zip(tested.items(), adjusted, strict=True):
        kind = "ok"
        if abs(found.mean) > limit:
            worse = (found.mean < 0) == METRICS[metric].higher_is_better
            kind = "inconclusive"
            if p <= alpha and seeds >= FEWEST_SEEDS:
                kind = "regressed" if worse else "improved"
        verdicts[metric] = RegressionVerdict(metric, kind, found.mean, found.interval(1 - alpha), p, limit, seeds)
    return [verdicts[metric] for metric in changes]

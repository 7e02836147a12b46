"""Is there an elbow in a data-ratio curve, and which ratio is enough? A first, simple form of the rule.

1. Recommended ratio: from 100 % downwards, a ratio stays in while the one-sided upper bound of value(1) - value(ratio),
   paired by seed, is at most the margin; the first that fails ends the walk.
2. Elbow: at an inner ratio with two ratios on either side, the slope in log ratio falls to at most half; tested by a
   paired t over seeds, Holm over the inner ratios.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from embalign.verdicts.statistics import StudentT, holm, student_t

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["elbow", "gradual", "flat", "declining", "unidentifiable"]
FEWEST_RATIOS, FEWEST_SEEDS = 5, 3


@dataclass(frozen=True)
class ElbowVerdict:
    """The judgement of one curve.

    `recommended_interval` holds the ratios that may be the smallest sufficient one: below it a ratio is shown to be
    worse than the margin allows, from its upper end on every ratio is shown not to be. `loss` maps each ratio to the
    paired difference value(1) - value(ratio), positive where less data is worse.
    """

    kind: Kind
    elbow: float | None
    elbow_interval: tuple[float, float] | None
    recommended_ratio: float
    recommended_interval: tuple[float, float]
    saturated: bool
    margin: float
    minimum_detectable_effect: float
    loss: dict[float, StudentT]


def judge_elbow(
    curve: pd.DataFrame, *, margin: float, alpha: float = 0.05, higher_is_better: bool = True
) -> ElbowVerdict:
    """Return the verdict on `curve`, a frame with columns ratio, seed and value.

    `margin` is the absolute loss against 100 % that is acceptable, in the value's units, at least 0. Raises ValueError
    for duplicate or missing cells, values that are not finite, fewer than two seeds and a curve without ratio 1.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin must be a finite number of at least 0, found {margin!r}")
    table = _pivot(curve) * (1 if higher_is_better else -1)
    ratios = [float(ratio) for ratio in table.columns]
    values = table.to_numpy()
    full = values[:, -1]
    loss = {ratio: student_t(full - values[:, i]) for i, ratio in enumerate(ratios[:-1])}

    recommended = 1.0
    for ratio in reversed(ratios[:-1]):
        if loss[ratio].upper_bound(alpha) > margin:
            break
        recommended = ratio
    shown_worse = [ratio for ratio in ratios[:-1] if loss[ratio].lower_bound(alpha) > margin]
    above = [ratio for ratio in ratios if ratio > max(shown_worse, default=0.0)]

    kind, elbow, interval = _find_elbow(ratios, values, loss, alpha)
    return ElbowVerdict(
        kind=kind,
        elbow=elbow,
        elbow_interval=interval,
        recommended_ratio=recommended,
        recommended_interval=(min(above[0], recommended), recommended),
        saturated=recommended < 1,
        margin=margin,
        minimum_detectable_effect=max(found.minimum_detectable_effect(alpha) for found in loss.values()),
        loss=loss,
    )


def _pivot(curve: pd.DataFrame) -> pd.DataFrame:
    if missing := {"ratio", "seed", "value"} - set(curve.columns):
        raise ValueError(f"the curve lacks column(s) {', '.join(sorted(missing))}")
    if curve.duplicated(["ratio", "seed"]).any():
        ratio, seed = curve.loc[curve.duplicated(["ratio", "seed"]), ["ratio", "seed"]].iloc[0]
        raise ValueError(f"ratio {ratio:g} has more than one value for seed {seed:g}")
    table = curve.pivot(index="seed", columns="ratio", values="value").sort_index(axis=0).sort_index(axis=1)
    if not np.isfinite(table.to_numpy(dtype=np.float64)).all():
        raise ValueError("every seed needs a finite value at every ratio: the verdict is paired by seed")
    if len(table) < 2 or len(table.columns) < 2:
        raise ValueError(f"at least two seeds and two ratios are needed, found {len(table)} and {len(table.columns)}")
    if table.columns[-1] != 1 or table.columns[0] <= 0:
        raise ValueError(f"ratios must lie in (0, 1] and include 1, found {list(table.columns)}")
    return table


def _find_elbow(
    ratios: list[float], values: np.ndarray, loss: dict[float, StudentT], alpha: float
) -> tuple[Kind, float | None, tuple[float, float] | None]:
    if len(ratios) < FEWEST_RATIOS or len(values) < FEWEST_SEEDS:
        return "unidentifiable", None, None
    below_full = holm([(-found).p_greater() for found in loss.values()])
    if min(below_full) <= alpha:
        return "declining", None, None
    if loss[ratios[0]].p_greater() > alpha:
        return "flat", None, None
    log_ratio = np.log(ratios)
    inner = range(2, len(ratios) - 2)
    halved = []
    for k in inner:
        before = (values[:, k] - values[:, 0]) / (log_ratio[k] - log_ratio[0])
        after = (values[:, -1] - values[:, k]) / (log_ratio[-1] - log_ratio[k])
        halved.append(student_t(before / 2 - after))
    p_values = holm([t.p_greater() for t in halved])
    found = [ratios[k] for k, p in zip(inner, p_values, strict=True) if p <= alpha]
    if not found:
        return "gradual", None, None
    strongest = max(zip(inner, halved, strict=True), key=lambda pair: pair[1].mean)[0]
    elbow = ratios[strongest] if ratios[strongest] in found else found[0]
    return "elbow", elbow, (found[0], found[-1])

"""Does a treatment arm beat a control arm? Paired by seed, with equivalence as a possible answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from embalign.verdicts.statistics import student_t

if TYPE_CHECKING:
    import pandas as pd

ABKind = Literal["better", "worse", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class ABVerdict:
    """The judgement of one contrast; `difference` is treatment minus control."""

    kind: ABKind
    difference: float
    interval: tuple[float, float]
    p_value: float
    equivalence_p_value: float
    minimum_detectable_effect: float
    seeds: int


def judge_ab(
    treatment: pd.DataFrame,
    control: pd.DataFrame,
    *,
    margin: float,
    alpha: float = 0.05,
    higher_is_better: bool = True,
) -> ABVerdict:
    """Return the verdict on two frames with columns seed and value, paired by seed.

    A difference within `margin` on both sides by two one-sided tests at alpha (TOST) is `equivalent`, whether or not it
    differs from zero: the margin says what would matter. Else a two-sided p-value at most alpha makes `better` or
    `worse`; anything else is `inconclusive`. Raises ValueError for unpaired or repeated seeds and for a margin not
    above 0.
    """
    if not (math.isfinite(margin) and margin > 0):
        raise ValueError(f"margin must be a finite number above 0, found {margin!r}")
    left, right = (frame.set_index("seed")["value"].sort_index() for frame in (treatment, control))
    if left.index.has_duplicates or not left.index.equals(right.index):
        raise ValueError(f"seeds must pair one to one: treatment has {list(left.index)}, control {list(right.index)}")
    found = student_t((left - right).to_numpy())
    equivalence = max(found.p_greater(-margin), (-found).p_greater(-margin))
    p_value = found.p_two_sided()
    kind: ABKind = "inconclusive"
    if equivalence <= alpha:
        kind = "equivalent"
    elif p_value <= alpha:
        kind = "better" if (found.mean > 0) == higher_is_better else "worse"
    return ABVerdict(
        kind=kind,
        difference=found.mean,
        interval=found.interval(1 - alpha),
        p_value=p_value,
        equivalence_p_value=equivalence,
        minimum_detectable_effect=found.minimum_detectable_effect(alpha / 2),
        seeds=len(left),
    )

"""Does a treatment arm beat a control arm? Paired by seed (and item), with equivalence as a possible answer."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from embalign.alignment.arguments import described, whole_number
from embalign.counts import EXTREME
from embalign.verdicts.frames import check_flag, check_level, checked
from embalign.verdicts.replicates import replicates
from embalign.verdicts.statistics import StudentT

ABKind = Literal["better", "worse", "equivalent", "inconclusive"]
Direction = Literal["better", "worse"]


@dataclass(frozen=True)
class ABVerdict:
    """The judgement of one contrast; `difference` is treatment minus control, `items` 0 without items.

    `minimum_detectable_effect` is the smallest difference that is called better or worse with power 0.8.
    """

    kind: ABKind
    difference: float
    interval: tuple[float, float]
    p_value: float
    equivalence_p_value: float
    minimum_detectable_effect: float
    seeds: int
    items: int


def kind_of(
    difference: StudentT, margin: float | None, *, alpha: float = 0.05, higher_is_better: bool = True
) -> ABKind:
    """Return what is shown of a difference, treatment minus control; never `equivalent` without a margin."""
    if margin is not None and difference.p_within(margin) <= alpha:
        return "equivalent"
    if difference.p_two_sided() <= alpha:
        return "better" if (difference.mean > 0) == higher_is_better else "worse"
    return "inconclusive"


def after_holm(verdict: ABVerdict, p_holm: float, alpha: float = 0.05) -> ABKind:
    """Return a verdict's kind once its p-value is adjusted: an unadjusted difference alone does not count."""
    if verdict.kind in ("better", "worse") and p_holm > alpha:
        return "inconclusive"
    return verdict.kind


def below_margin(
    verdict: ABVerdict, p_holm: float, *, higher_is_better: bool = True, alpha: float = 0.05
) -> Direction | None:
    """Return the direction of a difference that is shown, after Holm, though it is `equivalent`; None for any other.

    Such a difference is there and too small to matter: "better, below the margin".
    """
    if verdict.kind != "equivalent" or p_holm > alpha:
        return None
    return "better" if (verdict.difference > 0) == higher_is_better else "worse"


def judge_ab(
    treatment: pd.DataFrame,
    control: pd.DataFrame,
    *,
    margin: float,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    family: int = 1,
) -> ABVerdict:
    """Return the verdict on two frames with columns seed and value, and optionally item, paired on seed (and item).

    A difference within `margin` on both sides by two one-sided tests at alpha (TOST, Schuirmann 1987) is `equivalent`,
    whether or not it differs from zero: :func:`below_margin` says whether it does. Else a two-sided p-value at most
    alpha makes `better` or `worse`; anything else is `inconclusive`. The standard error is over seeds, with items over
    seeds and items. `family` is the number of contrasts that the caller adjusts for, which the detectable effect takes
    into account. Raises ValueError for seeds or items that do not pair one to one, repeated or non-finite values, fewer
    than two seeds, a margin not above 0, and TypeError for what is no frame.

    >>> control = pd.DataFrame({"seed": [0, 1, 2], "value": [0.50, 0.52, 0.51]})
    >>> treatment = control.assign(value=[0.60, 0.63, 0.61])
    >>> found = judge_ab(treatment, control, margin=0.01)
    >>> found.kind, round(found.difference, 3), round(found.p_value, 3)
    ('better', 0.103, 0.001)
    """
    check_level(margin, "margin", 0, EXTREME, open_below=True)
    check_level(alpha, "alpha", 0, 0.5, open_below=True)
    check_flag(higher_is_better, "higher_is_better")
    family = whole_number(family, "family", 1)
    treatment, control = (
        checked(frame, name, ("seed", "value"), ("item",))
        for name, frame in (("treatment", treatment), ("control", control))
    )
    keys = ["seed", *(["item"] if "item" in treatment or "item" in control else [])]
    for name in keys:
        left, right = (set(frame[name]) if name in frame else None for frame in (treatment, control))
        if left != right:
            shown = ["none" if found is None else described(sorted(found, key=str)) for found in (left, right)]
            raise ValueError(f"{name}s must pair one to one: treatment has {shown[0]}, control {shown[1]}")
    arms = pd.concat([treatment.assign(arm="treatment"), control.assign(arm="control")])
    measured = replicates(arms[["arm", *keys, "value"]], "arm")
    found = measured.contrast(measured.difference("treatment", "control"))
    return ABVerdict(
        kind=kind_of(found, margin, alpha=alpha, higher_is_better=higher_is_better),
        difference=found.mean,
        interval=found.interval(1 - alpha),
        p_value=found.p_two_sided(),
        equivalence_p_value=found.p_within(margin),
        minimum_detectable_effect=max(margin, found.minimum_detectable_effect(alpha / (2 * family))),
        seeds=measured.seeds,
        items=measured.items,
    )

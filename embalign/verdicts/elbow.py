"""Is there an elbow in a data-ratio curve, which amount is enough, and what did the last doubling bring?

The kind is the first of these that holds:

- `no_gain`: with an origin, the value at 100 % is not shown to be above it, by paired t; nothing is recommended;
- `flat`: no ratio is shown to differ from 100 %, by paired t, Holm over the ratios, nor the last doubling to help;
- `declining`: a smaller ratio is shown to be above it, tested likewise;
- `elbow`: a corner is shown (:mod:`embalign.verdicts.shape`) after which the slope over log n is at most half of what
  it was, by its upper bound, with two ratios or more on each side of its whole interval;
- `saturated`: the last doubling is shown to bring at most the margin;
- `diminishing`: the curve is shown to be concave over log n, where it bends last;
- `rising`: the last doubling is shown to bring more than nothing;
- `unidentifiable`: none of it, or too few ratios or seeds to tell.

Rows with a column `item` give standard errors over seeds and items (:mod:`embalign.verdicts.replicates`), rows without
over seeds alone. `python benchmark/calibration/elbow.py` prints the error rates of all this in worlds of known truth.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.alignment.arguments import whole_number
from embalign.counts import EXTREME
from embalign.verdicts.curve import Curve, gain_over, read_curve
from embalign.verdicts.enough import find_enough
from embalign.verdicts.frames import check_flag, check_level, checked
from embalign.verdicts.last_doubling import LastDoubling, judge_last_doubling
from embalign.verdicts.next_doubling import NextDoubling, bracket_next_doubling
from embalign.verdicts.replicates import Array, Replicates
from embalign.verdicts.shape import BESIDE, Shape, judge_shape
from embalign.verdicts.statistics import StudentT, detectable, holm

Kind = Literal["no_gain", "flat", "declining", "elbow", "saturated", "diminishing", "rising", "unidentifiable"]
FEWEST_RATIOS, FEWEST_SEEDS = 5, 3
MOST_RATIOS = 40  # more take gigabytes
MOST_SEEDS = 1000
ROUNDING = 1e-6  # of a number of items


@dataclass(frozen=True)
class ElbowVerdict:
    """The judgement of one curve.

    `recommended_ratio` is the smallest measured ratio shown to be enough: it and every larger one lose at most `margin`
    against 100 %. `recommended_interval` is where the smallest ratio of all that is enough may lie, measured or not:
    below, it is shown to lose more; its upper end, which is at most the recommended ratio, is shown to be enough where
    the curve is concave between measured ratios. `recommended_items` is that upper end in training items, rounded up,
    and `recommended_items_interval` the whole, for curves with `n_train`. `loss` maps each ratio to the paired
    difference value(1) - value(ratio).

    `last_doubling` is what the last doubling of the data brought, and `next_doubling` between what one more is to be
    expected to bring. `minimum_detectable_effect` is the largest loss or gain that may pass unseen: what the tests for
    an effect find with power 0.8 at the noisiest ratio. `seeds_needed` settles every ratio that is neither shown to be
    within the margin nor outside, if the means stay as they are; None where no number up to 1000 does. `best_ratio` has
    the best mean, of a declining curve among the ratios shown to beat 100 %.

    `shape` says what describes a curve that is shown to be concave where it bends last, and `straight_line_p_value` how
    likely so much of a bend is on a straight line. `bend` is then where the slope changes most, and `slope_ratio` the
    slope after over before. `exponent` is b of the smooth law c - a n^-b, by its own interval. `gain` is value(1) minus
    the origin, None without one.
    """

    kind: Kind
    reason: str
    elbow: float | None
    elbow_interval: tuple[float, float] | None
    recommended_ratio: float | None
    recommended_interval: tuple[float, float] | None
    recommended_items: int | None
    recommended_items_interval: tuple[int, int] | None
    last_doubling: LastDoubling
    next_doubling: NextDoubling
    margin: float
    minimum_detectable_effect: float
    seeds: int
    items: int
    seeds_needed: int | None
    best_ratio: float
    straight_line_p_value: float | None
    shape: str | None
    bend: float | None
    bend_interval: tuple[float, float] | None
    slope_ratio: float | None
    slope_ratio_upper: float | None
    exponent: float | None
    exponent_interval: tuple[float, float] | None
    loss: dict[float, StudentT]
    gain: StudentT | None = None

    @property
    def open_ratios(self) -> list[float]:
        """The measured ratios below the recommended one that are not shown to lose more than the margin, at 5 %."""
        enough = self.recommended_ratio or 0.0
        return [ratio for ratio, loss in self.loss.items() if ratio < enough and loss.lower_bound() <= self.margin]


def judge_elbow(
    curve: pd.DataFrame,
    *,
    margin: float,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    origin: float | Mapping[Any, float] | pd.DataFrame | None = None,
    dimension: int | None = None,
) -> ElbowVerdict:
    """Return the verdict on `curve`, a frame with columns ratio, seed and value, and optionally n_train and item.

    `origin` is the value without any training: a number, one per seed, or a frame with columns seed and value and, if
    the curve has items, optionally item. `dimension` is that of the draft's vectors: with it and `n_train`, nothing is
    foreseen from few pairs a dimension.

    `margin` is the absolute loss against 100 % that is acceptable, in the value's units, at least 0. With `n_train` the
    curve is judged over log n_train, else over log ratio. Values are paired by seed (and item). Raises ValueError for
    repeated, missing or non-finite cells, fewer than two seeds or ratios, more than forty ratios, seeds that are copies
    of each other, ratios outside (0, 1] or without 1, counts that do not rise; TypeError for no frame.

    >>> rng, ratios = np.random.default_rng(0), [0.01, 0.03, 0.1, 0.3, 1.0]
    >>> rows = [(r, seed, 1 - 0.1 * r**-0.5 + rng.normal(0, 0.001)) for r in ratios for seed in range(3)]
    >>> found = judge_elbow(pd.DataFrame(rows, columns=["ratio", "seed", "value"]), margin=0.1)
    >>> found.kind, found.recommended_ratio, round(found.last_doubling.value, 2)
    ('saturated', 0.3, 0.05)
    """
    curve = _checked(curve, margin, alpha, higher_is_better, dimension)
    sign = 1 if higher_is_better else -1
    read = read_curve(curve, sign)
    measured, loss = read.measured, read.losses()
    gain = None if origin is None else gain_over(curve, origin, sign)
    beating = _significant({ratio: -found for ratio, found in loss.items()}, alpha)
    last = judge_last_doubling(measured, read.x, margin, alpha)
    few = len(read.x) < FEWEST_RATIOS or measured.seeds < FEWEST_SEEDS
    shape = None if few else judge_shape(measured, read.x, alpha)
    kind: Kind = "unidentifiable"
    reason = f"{len(read.x)} ratios and {measured.seeds} seeds; an elbow needs {FEWEST_RATIOS} and {FEWEST_SEEDS}"
    if gain is not None and gain.lower_bound(alpha) <= 0:
        kind, reason = "no_gain", "all of the data is not shown to be better than no training"
    elif shape is not None:
        kind, reason = _kind(beating, _significant(loss, alpha), shape, last)
    following = NextDoubling(None, reason)
    if kind not in ("no_gain", "declining"):
        following = bracket_next_doubling(measured, read.x, alpha=alpha, per_dimension=_per_dimension(read, dimension))
    return ElbowVerdict(
        kind=kind,
        reason=reason,
        **_recommended(read, margin, alpha, kind),
        last_doubling=last,
        next_doubling=following,
        margin=float(margin),
        minimum_detectable_effect=max(found.minimum_detectable_effect(alpha / len(loss)) for found in loss.values()),
        seeds=measured.seeds,
        items=measured.items,
        seeds_needed=_seeds_needed(measured, loss, margin, alpha),
        best_ratio=max(beating or read.ratios, key=lambda ratio: measured.mean[read.ratios.index(ratio)]),
        **_form(shape, read, kind),
        loss=loss,
        gain=gain,
    )


def _checked(
    curve: pd.DataFrame, margin: float, alpha: float, higher_is_better: bool, dimension: int | None
) -> pd.DataFrame:
    check_level(margin, "margin", 0, EXTREME)
    check_level(alpha, "alpha", 0, 0.5, open_below=True)
    check_flag(higher_is_better, "higher_is_better")
    if dimension is not None:
        whole_number(dimension, "dimension", 1)
    found = checked(curve, "curve", ("ratio", "seed", "value"), ("n_train", "item"))
    if (count := found["ratio"].nunique()) > MOST_RATIOS:
        raise ValueError(f"{count} ratios; the limit is {MOST_RATIOS}: leave some out, evenly over log n")
    return found


def _significant(differences: dict[float, StudentT], alpha: float) -> list[float]:
    """The ratios whose difference is shown to be above 0, Holm over the ratios."""
    adjusted = holm([found.p_greater() for found in differences.values()])
    return [ratio for ratio, p in zip(differences, adjusted, strict=True) if p <= alpha]


def _kind(beating: list[float], worse: list[float], shape: Shape, last: LastDoubling) -> tuple[Kind, str]:
    if not beating and not worse and last.kind != "rising":
        return "flat", "no ratio is shown to differ from 100 %"
    if beating:
        return "declining", "a smaller ratio beats 100 %"
    if shape.corner:
        return "elbow", "the slope halves at a corner, and no smooth law describes the curve"
    if last.kind == "saturated":
        return "saturated", _diminishing(shape)
    if shape.kink is not None:
        return "diminishing", _diminishing(shape)
    if last.kind == "rising":
        return "rising", _diminishing(shape)
    return "unidentifiable", f"{_diminishing(shape)}, and what the last doubling brought is not settled"


def _diminishing(shape: Shape) -> str:
    """What is shown of how returns diminish."""
    if shape.kink is None:
        return "no bend towards diminishing returns is shown"
    if shape.form == "corner":
        if not shape.halved:
            return "returns diminish at a corner, but are not shown to halve"
        return f"returns halve at a corner, but fewer than {BESIDE} ratios lie on one side of where it may be"
    return {
        "smooth": "returns diminish smoothly, without a corner",
        "either": "returns diminish, but a corner and a smooth law cannot be told apart",
        "neither": "returns diminish, but neither one corner nor a smooth law describes how",
    }[shape.form or "neither"]


def _form(shape: Shape | None, curve: Curve, kind: Kind) -> dict[str, Any]:
    """The fields of a verdict that say how a curve bends."""
    kink, law = (shape.kink, shape.law) if shape else (None, None)
    bend = kink and curve.ratio_at(kink.position)
    interval = kink and kink.interval and (curve.ratio_at(kink.interval[0]), curve.ratio_at(kink.interval[1]))
    return {
        "elbow": bend if kind == "elbow" else None,
        "elbow_interval": interval if kind == "elbow" else None,
        "straight_line_p_value": shape.bends.p_value if shape else None,
        "shape": shape.form if shape else None,
        "bend": bend,
        "bend_interval": interval,
        "slope_ratio": kink.slope_ratio if kink else None,
        "slope_ratio_upper": kink.slope_ratio_upper if kink else None,
        "exponent": law.exponent if law else None,
        "exponent_interval": law.interval if law else None,
    }


def _recommended(curve: Curve, margin: float, alpha: float, kind: Kind) -> dict[str, Any]:
    """The fields of a verdict that say how much is enough; all None where training brings nothing."""
    names = ("recommended_ratio", "recommended_interval", "recommended_items", "recommended_items_interval")
    if kind == "no_gain":
        return dict.fromkeys(names)
    found = find_enough(curve.measured, curve.x, margin, alpha)
    low, high = found.interval
    items: tuple[int, int] | None = None
    if curve.counted:
        items = math.floor(math.exp(low) + ROUNDING), math.ceil(math.exp(high) - ROUNDING)
    values = (curve.ratios[found.setting], (curve.ratio_at(low), curve.ratio_at(high)), items and items[1], items)
    return dict(zip(names, values, strict=True))


def _per_dimension(curve: Curve, dimension: int | None) -> float | None:
    """Training items at 100 % for each dimension of the draft, None where either is not known."""
    return math.exp(curve.x[-1]) / dimension if dimension and curve.counted else None


def _seeds_needed(
    measured: Replicates, loss: dict[float, StudentT], margin: float, alpha: float, power: float = 0.8
) -> int | None:
    """Seeds that settle every open ratio with that power, should the true losses be those measured."""
    seeds, quantiles = _quantiles(measured.seeds, alpha, power)
    needed = measured.seeds
    for ratio, found in loss.items():
        if found.upper_bound(alpha) <= margin or found.lower_bound(alpha) > margin:
            continue
        effects = quantiles * measured.standard_error_with(measured.difference(1.0, ratio), seeds)
        enough = seeds[effects <= abs(margin - found.mean)]
        if len(enough) == 0:
            return None
        needed = max(needed, int(enough[0]))
    return needed


@functools.lru_cache(maxsize=16)
def _quantiles(fewest: int, alpha: float, power: float) -> tuple[NDArray[np.int64], Array]:
    """Numbers of seeds, and the effect that each of them finds with that power, in standard errors."""
    seeds = np.arange(fewest, MOST_SEEDS + 1)
    return seeds, detectable(seeds - 1.0, alpha, power)

"""Is there an elbow in a data-ratio curve, and which ratio is enough?

0. Gain: with an origin, the value at 100 % is above it, by paired t. Not shown: `no_gain`, and nothing is recommended.
1. Effect: a ratio whose value is below that of 100 %, by paired t, Holm over the ratios. None: `flat`. A ratio whose
   value is above it, tested likewise: `declining`.
2. Elbow, in log n: a straight line is rejected for a concave broken stick; the slope after the kink is at most half
   the slope before, by its upper bound; and at least two ratios lie on each side of the whole interval of the kink.
   Rejected and halved, but too near the end of the grid: `unidentifiable`. Else `gradual`.
3. Recommended ratio: from 100 % downwards, a ratio stays in while the upper bound of value(1) - value(ratio) is at most
   the margin (fixed-sequence non-inferiority); the first that fails ends the walk.

Rows with a column `item` give standard errors over seeds and items (:mod:`embalign.verdicts.replicates`), rows without
over seeds alone. `python benchmark/calibration/elbow.py` prints the error rates of all this in worlds of known truth.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from embalign.verdicts.broken_stick import Kink, find_kink, straight_line_p_value
from embalign.verdicts.replicates import Array, Replicates, replicates
from embalign.verdicts.statistics import StudentT, holm

Kind = Literal["no_gain", "elbow", "gradual", "flat", "declining", "unidentifiable"]
FEWEST_RATIOS, FEWEST_SEEDS = 5, 3
LARGEST_SLOPE_RATIO = 0.5
BESIDE = 2  # ratios that must lie on each side of the whole interval of an elbow
MOST_SEEDS = 1000


@dataclass(frozen=True)
class ElbowVerdict:
    """The judgement of one curve.

    `recommended_interval` holds the ratios that may be the smallest sufficient one: below it a ratio is shown to be
    worse than the margin allows, from its upper end on every ratio is shown not to be. `loss` maps each ratio to the
    paired difference value(1) - value(ratio). `minimum_detectable_effect` is the largest loss or gain that may pass
    unseen: what the tests for an effect find with power 0.8 at the noisiest ratio. `seeds_needed` settles every ratio
    that is neither shown to be within the margin nor outside, if the means stay as they are; None where no number up to
    1000 does. `best_ratio` has the best mean, of a declining curve among the ratios shown to beat 100 %. `bend` is
    where the slope changes most, given if a straight line is rejected, and `slope_ratio` the slope after over before.
    `gain` is value(1) minus the origin, None without one; of kind `no_gain` nothing is recommended.
    """

    kind: Kind
    reason: str
    elbow: float | None
    elbow_interval: tuple[float, float] | None
    recommended_ratio: float | None
    recommended_interval: tuple[float, float] | None
    saturated: bool
    margin: float
    minimum_detectable_effect: float
    seeds: int
    items: int
    seeds_needed: int | None
    best_ratio: float
    straight_line_p_value: float | None
    bend: float | None
    bend_interval: tuple[float, float] | None
    slope_ratio: float | None
    slope_ratio_upper: float | None
    loss: dict[float, StudentT]
    gain: StudentT | None = None


def judge_elbow(
    curve: pd.DataFrame,
    *,
    margin: float,
    alpha: float = 0.05,
    higher_is_better: bool = True,
    origin: float | Mapping[Any, float] | pd.DataFrame | None = None,
) -> ElbowVerdict:
    """Return the verdict on `curve`, a frame with columns ratio, seed and value, and optionally n_train and item.

    `origin` is the value without any training: a number, one per seed, or a frame with columns seed and value and, if
    the curve has items, optionally item.

    `margin` is the absolute loss against 100 % that is acceptable, in the value's units, at least 0. With `n_train` the
    curve is judged over log n_train, else over log ratio. Values are paired by seed (and item). Raises ValueError for
    repeated, missing or non-finite cells, fewer than two seeds or ratios, ratios outside (0, 1] or without 1, and
    sample counts that do not rise with the ratio. Rows may come in any order.
    """
    _check(curve, margin, alpha)
    sign = 1 if higher_is_better else -1
    measured = replicates(curve.assign(value=sign * curve["value"]), "ratio")
    gain = None if origin is None else _gain(curve, origin, sign)
    ratios = [float(ratio) for ratio in measured.settings]
    x = _log_size(curve, ratios)

    loss = {ratio: measured.contrast(measured.difference(1.0, ratio)) for ratio in ratios[:-1]}
    recommended = smallest_sufficient(loss, margin, alpha)
    shown_worse = [ratio for ratio in ratios[:-1] if loss[ratio].lower_bound(alpha) > margin]
    lowest = min(ratio for ratio in ratios if ratio > max(shown_worse, default=0.0))

    beating = _significant({ratio: -found for ratio, found in loss.items()}, alpha)
    kind, reason, p_value, kink = _shape(measured, loss, beating, x, alpha)
    if no_gain := gain is not None and gain.lower_bound(alpha) <= 0:
        kind, reason = "no_gain", "all of the data is not shown to be better than no training"
    bend, bend_interval = _bend(kink, x, ratios)
    return ElbowVerdict(
        kind=kind,
        reason=reason,
        elbow=bend if kind == "elbow" else None,
        elbow_interval=bend_interval if kind == "elbow" else None,
        recommended_ratio=None if no_gain else recommended,
        recommended_interval=None if no_gain else (min(lowest, recommended), recommended),
        saturated=recommended < 1 and not no_gain,
        margin=margin,
        minimum_detectable_effect=max(found.minimum_detectable_effect(alpha / len(loss)) for found in loss.values()),
        seeds=measured.seeds,
        items=measured.items,
        seeds_needed=_seeds_needed(measured, loss, margin, alpha),
        best_ratio=max(beating or ratios, key=lambda ratio: measured.mean[ratios.index(ratio)]),
        straight_line_p_value=p_value,
        bend=bend,
        bend_interval=bend_interval,
        slope_ratio=kink.slope_ratio if kink else None,
        slope_ratio_upper=kink.slope_ratio_upper if kink else None,
        loss=loss,
        gain=gain,
    )


def _check(curve: pd.DataFrame, margin: float, alpha: float) -> None:
    if not (math.isfinite(margin) and margin >= 0):
        raise ValueError(f"margin must be a finite number of at least 0, found {margin!r}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha must lie between 0 and 0.5, found {alpha!r}")
    if missing := {"ratio", "seed", "value"} - set(curve.columns):
        raise ValueError(f"the curve lacks column(s) {', '.join(sorted(missing))}")


def _gain(curve: pd.DataFrame, origin: float | Mapping[Any, float] | pd.DataFrame, sign: int) -> StudentT:
    """Value at ratio 1 minus the origin, which stands beside it as a ratio of 0; raises ValueError if it does not."""
    whole = curve.loc[curve["ratio"] == 1, [name for name in ("seed", "item", "value") if name in curve.columns]]
    if isinstance(origin, pd.DataFrame):
        keys = [name for name in ("seed", "item") if name in origin.columns and name in whole.columns]
        if missing := {"seed", "value"} - set(origin.columns):
            raise ValueError(f"the origin lacks column(s) {', '.join(sorted(missing))}")
        start = whole.drop(columns="value").merge(origin[[*keys, "value"]], on=keys, how="left")
    else:
        values = whole["seed"].map(origin) if isinstance(origin, Mapping) else float(origin)
        start = whole.assign(value=values)
    if not np.isfinite(start["value"].to_numpy(dtype=np.float64)).all():
        seed = start.loc[~np.isfinite(start["value"].astype(float)), "seed"].iloc[0]
        raise ValueError(f"the origin has no finite value for seed {seed}")
    beside = pd.concat([whole.assign(ratio=1.0), start.assign(ratio=0.0)], ignore_index=True)
    pair = replicates(beside.assign(value=sign * beside["value"]), "ratio")
    return pair.contrast(pair.difference(1.0, 0.0))


def smallest_sufficient(loss: dict[float, StudentT], margin: float, alpha: float = 0.05) -> float:
    """Return the smallest ratio from which on every ratio is non-inferior to 100 %, 1.0 if none is.

    `loss` maps ratios below 1 to value(1) - value(ratio). Each is tested at alpha from the top down until one fails: a
    fixed sequence needs no correction (Maurer, Hothorn & Lehmacher 1995).
    """
    failed = max((ratio for ratio, found in loss.items() if found.upper_bound(alpha) > margin), default=0.0)
    return min((ratio for ratio in loss if ratio > failed), default=1.0)


def _significant(differences: dict[float, StudentT], alpha: float) -> list[float]:
    """The ratios whose difference is shown to be above 0, Holm over the ratios."""
    adjusted = holm([found.p_greater() for found in differences.values()])
    return [ratio for ratio, p in zip(differences, adjusted, strict=True) if p <= alpha]


def _shape(
    measured: Replicates, loss: dict[float, StudentT], beating: list[float], x: Array, alpha: float
) -> tuple[Kind, str, float | None, Kink | None]:
    """Kind and reason of a curve, the p-value of a straight line, and the kink where that is rejected."""
    if len(x) < FEWEST_RATIOS or measured.seeds < FEWEST_SEEDS:
        few = f"{len(x)} ratios and {measured.seeds} seeds"
        return "unidentifiable", f"{few}; an elbow needs {FEWEST_RATIOS} and {FEWEST_SEEDS}", None, None
    p_value = straight_line_p_value(measured, x)
    kink = find_kink(measured, x, alpha) if p_value <= alpha else None
    return *_kind(loss, beating, x, kink, alpha), p_value, kink


def _bend(kink: Kink | None, x: Array, ratios: Sequence[float]) -> tuple[float | None, tuple[float, float] | None]:
    """Where a kink lies as a ratio, with its interval."""
    if kink is None:
        return None, None
    bend, *ends = np.exp(np.interp((kink.position, *(kink.interval or ())), x, np.log(ratios))).tolist()
    return bend, (ends[0], ends[1]) if ends else None


def _kind(
    loss: dict[float, StudentT], beating: list[float], x: Array, kink: Kink | None, alpha: float
) -> tuple[Kind, str]:
    if beating:
        return "declining", "a smaller ratio beats 100 %"
    if not _significant(loss, alpha):
        return "flat", "no ratio is shown to be worse than 100 %"
    if kink is None:
        return "gradual", "no bend towards diminishing returns is shown"
    if kink.interval is None:
        return "gradual", "returns diminish, but no single break describes how"
    if kink.slope_ratio_upper > LARGEST_SLOPE_RATIO:
        return "gradual", "returns diminish, but are not shown to halve"
    low, high = kink.interval
    if (x < low).sum() < BESIDE or (x > high).sum() < BESIDE:
        return "unidentifiable", f"the slope halves, but fewer than {BESIDE} ratios lie on one side of where it may"
    return "elbow", "the slope halves, with ratios enough on either side to tell where"


def _log_size(curve: pd.DataFrame, ratios: list[float]) -> Array:
    """Log of the sample count at each ratio, or of the ratio itself; raises ValueError where they disagree."""
    if ratios[-1] != 1 or ratios[0] <= 0 or len(ratios) < 2:
        raise ValueError(f"at least two ratios in (0, 1] are needed, 1 among them, found {ratios}")
    if "n_train" not in curve.columns:
        return np.log(ratios)
    counts = curve.groupby("ratio")["n_train"].agg(["min", "max"])
    differing = counts.index[counts["min"] != counts["max"]]
    if len(differing):
        raise ValueError(f"n_train differs between the rows of ratio {differing[0]:g}")
    sizes = counts["min"].to_numpy(dtype=np.float64)
    if sizes[0] <= 0 or (np.diff(sizes) <= 0).any():
        raise ValueError(f"n_train must rise with the ratio, found {sizes.tolist()} for {ratios}")
    return np.asarray(np.log(sizes))


def _seeds_needed(
    measured: Replicates, loss: dict[float, StudentT], margin: float, alpha: float, power: float = 0.8
) -> int | None:
    """Seeds that settle every open ratio with that power, should the true losses be those measured."""
    seeds = np.arange(measured.seeds, MOST_SEEDS + 1)
    quantiles = stdtrit(seeds - 1, 1 - alpha) + stdtrit(seeds - 1, power)
    needed = measured.seeds
    for ratio, found in loss.items():
        if found.upper_bound(alpha) <= margin or found.lower_bound(alpha) > margin:
            continue
        detectable = quantiles * measured.standard_error_with(measured.difference(1.0, ratio), seeds)
        enough = seeds[detectable <= abs(margin - found.mean)]
        if len(enough) == 0:
            return None
        needed = max(needed, int(enough[0]))
    return needed

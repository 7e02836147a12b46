"""Between what would twice the data bring? A bracket of the next doubling's gain, and nothing beyond it.

From below: nothing, or what the last doubling may have cost where it is not shown to have brought anything. From above:
where a smooth law describes the curve, what that law foresees, by its upper bound; where returns diminish otherwise,
the last doubling again, times the share of the one before that it brought, for returns which diminish faster than any
smooth law do so in a ratio that falls; where no bend is shown, the straight line in log n through the last three
points. Each end moves out by as much as the same rule, applied to the data without their last doubling, misses what
that brought.

No bracket is given where the curve bends upwards last, where there are too few points, and where a quarter of the data
is hardly more pairs than the draft has dimensions: a least-squares map errs most at n = d (Belkin et al., 2019), and
for two doublings from there on each may bring more than the one before.
"""

import math
from dataclasses import dataclass

import numpy as np

from embalign.verdicts.bends import find_bends
from embalign.verdicts.last_doubling import TOLERANCE, doubling_to
from embalign.verdicts.replicates import Array, Replicates
from embalign.verdicts.smooth_law import FEWEST_SETTINGS, fit_smooth_law

FEWEST_PER_DIMENSION = 4.8  # pairs, so that a quarter of them is 1.2
LAST = 3  # points that a straight line is drawn through


@dataclass(frozen=True)
class NextDoubling:
    """Gains between which that of the next doubling is to be expected, or the reason why nothing is said."""

    bracket: tuple[float, float] | None
    reason: str = ""


def bracket_next_doubling(
    curve: Replicates, x: Array, *, alpha: float = 0.05, per_dimension: float | None = None
) -> NextDoubling:
    """Return the bracket of a curve at ascending log counts `x` (R,).

    `per_dimension` is the number of training pairs at the last setting over the draft's dimensions.
    """
    if per_dimension is not None and per_dimension < FEWEST_PER_DIMENSION:
        few = f"there are {per_dimension:.1f} pairs a dimension of the draft"
        return NextDoubling(None, f"{few}, and from less than {FEWEST_PER_DIMENSION:g} nothing can be foreseen")
    if len(x) < FEWEST_SETTINGS:
        return NextDoubling(None, f"{len(x)} ratios are too few; {FEWEST_SETTINGS} are needed")
    bracket = _bracket(curve, x, alpha)
    if bracket is None:
        return NextDoubling(None, "the curve bends upwards at its end")
    low, high = bracket
    earlier = int((x <= x[-1] - math.log(2) + TOLERANCE).sum())
    if earlier >= FEWEST_SETTINGS and (
        (before := _bracket(curve.subset(slice(None, earlier)), x[:earlier], alpha)) is not None
    ):
        came = float(doubling_to(x, x[earlier - 1] + math.log(2))[0] @ curve.mean)
        low -= max(0.0, before[0] - came)
        high += max(0.0, came - before[1])
    return NextDoubling((low, high))


def _bracket(curve: Replicates, x: Array, alpha: float) -> tuple[float, float] | None:
    """The bracket without its back-test, None where the last bend is convex."""
    bends = find_bends(curve, x, alpha)
    if bends.last == "convex":
        return None
    last = curve.contrast(doubling_to(x, float(x[-1]))[0])
    law = fit_smooth_law(curve, x, alpha)
    low = 0.0
    if bends.last is None:
        high = curve.contrast(_straight(x)).upper_bound(alpha)
    elif law.p_value > alpha:
        high = law.next_doubling.upper_bound(alpha)
    else:
        before = float(doubling_to(x, float(x[-1]) - math.log(2))[0] @ curve.mean)
        share = min(1.0, max(0.0, last.mean) / before) if before > 0 else 1.0
        low, high = -last.standard_error, share * max(0.0, last.mean) + last.standard_error
    if last.lower_bound(alpha / 2) > 0:
        return low, high
    return min(low, last.lower_bound(alpha)), max(high, last.upper_bound(alpha))


def _straight(x: Array) -> Array:
    """The gain of a doubling along the least-squares line in log n through the last points, as a contrast."""
    weights = np.zeros(len(x))
    centred = x[-LAST:] - x[-LAST:].mean()
    weights[-LAST:] = math.log(2) * centred / (centred @ centred)
    return weights

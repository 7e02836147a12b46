"""What shape has a curve of diminishing returns: one corner, or a smooth law?

A corner is an abrupt change of slope. It is shown where a broken stick describes the curve and no smooth law does, and
where that stays so without the smallest settings: where a grid of ratios starts must not decide it. With few seeds both
may describe a curve; then neither is shown.
"""

from dataclasses import dataclass
from typing import Literal

from embalign.verdicts import broken_stick, smooth_law
from embalign.verdicts.bends import Bends, find_bends
from embalign.verdicts.broken_stick import Kink, find_kink
from embalign.verdicts.replicates import Array, Replicates
from embalign.verdicts.smooth_law import SmoothLaw, fit_smooth_law

LARGEST_SLOPE_RATIO = 0.5
BESIDE = 2  # settings that must lie on each side of the whole interval of a corner
BELOW = 3  # settings below a corner that are left when the smallest are taken away, of which at most a third are

MISFIT = 0.2  # of alpha: a corner needs a smooth law to be excluded beyond doubt

Form = Literal["corner", "smooth", "either", "neither"]


@dataclass(frozen=True)
class Shape:
    """How a curve bends, given where its last bend is concave: its kink, the smooth law, and what describes it.

    `kink` is that of the longest run to the end that a stick describes, else of the shortest: what comes before is left
    out. `law` is that of the longest run which a smooth law describes, else of the whole. `halved`: the slope after the
    kink is shown to be at most half the slope before it. `enclosed`: at least two settings lie on each side of the
    kink's interval.
    """

    bends: Bends
    form: Form | None = None
    kink: Kink | None = None
    law: SmoothLaw | None = None
    halved: bool = False
    enclosed: bool = False

    @property
    def corner(self) -> bool:
        """Whether a corner is shown that halves the slope, with settings enough on either side to tell where."""
        return self.form == "corner" and self.halved and self.enclosed


def judge_shape(curve: Replicates, x: Array, alpha: float) -> Shape:
    """Return the shape of a curve at ascending log counts `x` (R,), R >= 5."""
    bends = find_bends(curve, x, alpha)
    if bends.last != "concave":
        return Shape(bends)
    start, kink = _last_kink(curve, x, alpha)
    one_corner = kink.fits and kink.interval is not None
    low, high = kink.interval or (x[0], x[-1])
    removable = min(int((x < low).sum()) - BELOW, len(x) // 3, len(x) - smooth_law.FEWEST_SETTINGS)
    laws = [
        fit_smooth_law(curve.subset(slice(first, None)), x[first:], alpha) for first in range(1 + max(start, removable))
    ]
    fitting = [law for law in laws if law.p_value > MISFIT * alpha]
    forms: dict[tuple[bool, bool], Form] = {
        (True, False): "corner",
        (False, True): "smooth",
        (True, True): "either",
        (False, False): "neither",
    }
    return Shape(
        bends,
        forms[one_corner, bool(fitting)],
        kink,
        (fitting or laws)[0],
        halved=kink.slope_ratio_upper <= LARGEST_SLOPE_RATIO,
        enclosed=bool(((x[start:] < low).sum() >= BESIDE) and ((x > high).sum() >= BESIDE)),
    )


def _last_kink(curve: Replicates, x: Array, alpha: float) -> tuple[int, Kink]:
    """The kink of the longest run to the end that one describes, else of the shortest; and where the run starts."""
    found = 0, find_kink(curve, x, alpha)
    for start in range(1, len(x) - broken_stick.FEWEST_SETTINGS + 1):
        if found[1].fits:
            return found
        kink = find_kink(curve.subset(slice(start, None)), x[start:], alpha)
        if kink.slope_ratio < 1:
            found = start, kink
    return found

"""Is a curve a smooth law of diminishing returns? A power law in n, the logarithm among them, fitted by contrasts.

The law is E[y] = c + a (1 - (n / N)^-b) / b over counts n up to N: c is the value at N, and b the exponent. A straight
line in log n has b = 0, a straight line in n has b = -1, and for b > 0 the curve rises towards an asymptote.

Fitted by least squares. Whether it fits: the squared residuals of the means against their covariance over seeds (and
items), by Box's (1954) approximation, with the law linearised at the fit.
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from embalign.verdicts.replicates import Array, Replicates
from embalign.verdicts.statistics import StudentT

EXPONENTS = np.linspace(-1.5, 6.0, 751)
FEWEST_SETTINGS = 5  # three parameters, and two degrees of freedom to see a misfit with


@dataclass(frozen=True)
class SmoothLaw:
    """The least-squares law of a curve: its exponent with a 1 - alpha interval, and the p-value of its misfit.

    `next_doubling` is the gain from n to 2 n that the law foresees, with the error of its parameters alone.
    """

    exponent: float
    interval: tuple[float, float]
    p_value: float
    next_doubling: StudentT


def fit_smooth_law(curve: Replicates, x: Array, alpha: float) -> SmoothLaw:
    """Return the smooth law of a curve over ascending log counts `x` (R,), R >= 5."""
    makers = _makers(tuple(x))
    residuals = makers @ curve.mean
    squares = np.einsum("br,br->b", residuals, residuals)
    best = int(squares.argmin())
    exponent = float(EXPONENTS[best])
    design = _design(exponent, x, x[-1])
    level_and_rise = np.linalg.lstsq(design, curve.mean, rcond=None)[0]

    def jacobian(at: Array) -> Array:
        step = EXPONENTS[1] - EXPONENTS[0]
        tangent = (_design(exponent + step, at, x[-1]) - _design(exponent - step, at, x[-1])) / (2 * step)
        return np.column_stack([_design(exponent, at, x[-1]), tangent @ level_and_rise])

    tangents = jacobian(x)
    inverse = np.linalg.pinv(tangents)
    maker = np.eye(len(x)) - tangents @ inverse
    around = curve.contrast(inverse[2])
    half = around.interval(1 - alpha)[1] - around.mean
    last, beyond = jacobian(np.array([x[-1], x[-1] + math.log(2)])) @ inverse
    gain = _design(exponent, x[-1:] + math.log(2), x[-1]) @ level_and_rise - level_and_rise[0]
    ahead = replace(curve.contrast(beyond - last), mean=float(gain[0]))
    p_value = curve.misfit_p_value(maker, float(squares[best]))
    return SmoothLaw(exponent, (exponent - half, exponent + half), p_value, ahead)


def _design(exponent: float, at: Array, end: float) -> Array:
    """The law's level at `end` and its rise from there on, as columns over log counts `at`."""
    back = at - end
    rise = back if abs(exponent) < 1e-9 else -np.expm1(-exponent * back) / exponent
    return np.column_stack([np.ones(len(at)), rise])


@functools.lru_cache(maxsize=64)
def _makers(x: tuple[float, ...]) -> Array:
    """The projections (B, R, R) off level and rise, for each exponent."""
    points = np.array(x)
    designs = np.array([_design(exponent, points, points[-1]) for exponent in EXPONENTS])
    designs[:, :, 1] /= np.abs(designs[:, :, 1]).max(axis=1, keepdims=True)
    return np.asarray(np.eye(len(x)) - designs @ np.linalg.pinv(designs))

"""Is a curve a smooth law of diminishing returns? A power law in n, the logarithm among them, fitted by contrasts.

The law is E[y] = c + a (1 - (n / N)^-b) / b over counts n up to N: c is the value at N, and b the exponent. A straight
line in log n has b = 0, a straight line in n has b = -1, and for b > 0 the curve rises towards an asymptote.

Fitted by least squares. Whether it fits: the squared residuals of the means against their covariance over seeds (and
items), by Box's (1954) approximation, with the law linearised at the fit.
"""

import functools
from dataclasses import dataclass

import numpy as np

from embalign.verdicts.replicates import Array, Replicates

EXPONENTS = np.linspace(-1.5, 6.0, 751)
FEWEST_SETTINGS = 5  # three parameters, and two degrees of freedom to see a misfit with


@dataclass(frozen=True)
class SmoothLaw:
    """The least-squares law of a curve: its exponent with a 1 - alpha interval, and the p-value of its misfit."""

    exponent: float
    interval: tuple[float, float]
    p_value: float


def fit_smooth_law(curve: Replicates, x: Array, alpha: float) -> SmoothLaw:
    """Return the smooth law of a curve over ascending log counts `x` (R,), R >= 5."""
    bases, makers = _grid(tuple(x))
    residuals = makers @ curve.mean
    squares = np.einsum("br,br->b", residuals, residuals)
    best = int(squares.argmin())
    exponent, basis = float(EXPONENTS[best]), bases[best]
    design = np.column_stack([np.ones(len(x)), basis])
    slope = float(np.linalg.lstsq(design, curve.mean, rcond=None)[0][1])
    tangent = np.gradient(bases, EXPONENTS, axis=0)[best]
    jacobian = np.column_stack([design, tangent * slope])
    inverse = np.linalg.pinv(jacobian)
    maker = np.eye(len(x)) - jacobian @ inverse
    around = curve.contrasts(inverse[2])
    half = float(around.quantile(1 - alpha / 2) * around.standard_error)
    return SmoothLaw(exponent, (exponent - half, exponent + half), curve.misfit_p_value(maker, float(squares[best])))


@functools.lru_cache(maxsize=64)
def _grid(x: tuple[float, ...]) -> tuple[Array, Array]:
    """The rising part of the law for each exponent (B, R), and the projections off level and rise (B, R, R)."""
    back = np.array(x) - x[-1]
    b = EXPONENTS[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        bases = np.where(np.abs(b) < 1e-9, back, -np.expm1(-b * back) / b)
    bases /= np.abs(bases).max(axis=1, keepdims=True)
    designs = np.stack(np.broadcast_arrays(1.0, bases), axis=2)
    makers = np.eye(len(x)) - designs @ np.linalg.pinv(designs)
    return bases, makers

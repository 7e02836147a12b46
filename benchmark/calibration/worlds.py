"""Simulated curves whose truth is known: what the elbow verdict's error rates are measured on.

A world's curve gains 1 from the smallest ratio to the best one. Noise is a share of that gain, one draw a ratio and
seed, on top of an offset that a seed gives its whole curve (common random numbers make real curves so).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Noise = Callable[[np.random.Generator, int, int], Array]

SIX_RATIOS = (0.01, 0.05, 0.10, 0.20, 0.50, 1.00)
TEN_RATIOS = (0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 0.70, 1.00)
NOISE = 0.025
MARGIN = 0.05
SEED_OFFSET = 0.05


@dataclass(frozen=True)
class World:
    """A true curve over log ratio scaled to [0, 1], the noise around it, and the elbow it has, if any."""

    name: str
    curve: Callable[[Array], Array]
    noise: Noise
    elbow: float | None = None


def simulate(
    world: World, ratios: Sequence[float], seeds: int, rng: np.random.Generator, scale: float = NOISE
) -> pd.DataFrame:
    """Return one simulated curve with columns ratio, seed and value."""
    means = world.curve(scaled_log(ratios))
    values = means[:, None] + SEED_OFFSET * rng.standard_normal(seeds) + scale * world.noise(rng, len(means), seeds)
    return pd.DataFrame(
        {"ratio": np.repeat(ratios, seeds), "seed": np.tile(np.arange(seeds), len(means)), "value": values.ravel()}
    )


def scaled_log(ratios: Sequence[float] | float) -> Array:
    """Return log ratio scaled so that 1 % is 0 and 100 % is 1."""
    return np.asarray(1 + np.log(ratios) / np.log(100))


def normal(rng: np.random.Generator, ratios: int, seeds: int) -> Array:
    """Independent normal noise of one size."""
    return rng.standard_normal((ratios, seeds))


def unequal(rng: np.random.Generator, ratios: int, seeds: int) -> Array:
    """Normal noise, four times as large at the smallest ratio and a quarter as large at 100 %."""
    return np.asarray(np.geomspace(4, 0.25, ratios)[:, None] * normal(rng, ratios, seeds))


def heavy_tailed(rng: np.random.Generator, ratios: int, seeds: int) -> Array:
    """Student's t noise with 3 degrees of freedom, of unit variance."""
    return np.asarray(rng.standard_t(3, (ratios, seeds)) / np.sqrt(3))


def along_the_curve(rng: np.random.Generator, ratios: int, seeds: int) -> Array:
    """Noise that neighbouring ratios of a seed share (AR(1), 0.8), and a slope of its own for each seed."""
    steps = normal(rng, ratios, seeds)
    for i in range(1, ratios):
        steps[i] = 0.8 * steps[i - 1] + 0.6 * steps[i]
    return np.asarray(steps + 2 * rng.standard_normal(seeds) * np.linspace(0, 1, ratios)[:, None])


def broken_stick(elbow: float, slope_ratio: float = 0.0) -> Callable[[Array], Array]:
    """Return a curve that rises straight in log ratio to its elbow, then goes on at a share of that slope."""
    kink = float(scaled_log(elbow))

    def curve(u: Array) -> Array:
        shape = np.minimum(u, kink) + slope_ratio * np.maximum(u - kink, 0)
        return np.asarray(shape / (kink + slope_ratio * (1 - kink)))

    return curve


STRAIGHT_WORLDS = (
    World("flat", np.zeros_like, normal),
    World("straight in log ratio", lambda u: u, normal),
    World("straight in ratio", lambda u: (100**u - 1) / 99, normal),
    World("accelerating", np.square, normal),
    World("unequal noise", lambda u: u, unequal),
    World("heavy-tailed noise", lambda u: u, heavy_tailed),
    World("noise along a seed's curve", lambda u: u, along_the_curve),
)
ELBOW_WORLDS = tuple(
    World(f"broken stick at {100 * elbow:g} %", broken_stick(elbow), normal, elbow)
    for elbow in (0.05, 0.10, 0.20, 0.30, 0.50)
)

AT_MARGIN = World("loss exactly at the margin", lambda u: np.where(u < 1, 1 - MARGIN, 1.0), normal)
DECLINE = World("decline of 10 % after 20 %", lambda u: broken_stick(0.2)(u) - 0.1 * _after(0.2, u), normal)
PLATEAU = World("plateau from 5 %", broken_stick(0.05), normal)


def power_law(exponent: float) -> Callable[[Array], Array]:
    """Return c - a n^-exponent, from 0 at 1 % of the data to 1 at all of it."""
    return lambda u: np.asarray((1 - (100**u) ** -exponent) / (1 - 100**-exponent))


def sigmoid(middle: float, steepness: float) -> Callable[[Array], Array]:
    """Return a logistic curve over log ratio, steepest at a ratio; `steepness` is its exponent in n."""

    def logistic(u: Array) -> Array:
        return np.asarray(1 / (1 + (100 ** (u - scaled_log(middle))) ** -steepness))

    ends = logistic(np.array([0.0, 1.0]))
    return lambda u: np.asarray((logistic(u) - ends[0]) / (ends[1] - ends[0]))


def pieces(*points: tuple[float, float]) -> Callable[[Array], Array]:
    """Return straight pieces over log ratio through points (ratio, value)."""
    ratios, values = zip(*points, strict=True)
    at = scaled_log(ratios)
    return lambda u: np.interp(u, at, values)


# Smooth laws of diminishing returns, and the grids of ratios that must not decide what is said of them.
POWER_LAWS = tuple(World(f"power law, exponent {b:g}", power_law(b), normal) for b in (0.1, 0.3, 0.5, 0.7, 1.0))
GRIDS = {
    "ten ratios": TEN_RATIOS,
    "six ratios": SIX_RATIOS,
    "from 5 % on": (0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 0.70, 1.00),
    "halves": tuple(0.5**k for k in range(7, -1, -1)),
}
EARLY, LATE = (World(f"sigmoid, steepest at {100 * m:g} %", sigmoid(m, 1.5), normal) for m in (0.03, 0.30))
RISE_THEN_FLAT = World("flat to 5 %, rising to 30 %, then flat", pieces((0.01, 0), (0.05, 0), (0.3, 1), (1, 1)), normal)
STAIRCASE = World(
    "staircase: rises to 5 %, flat to 30 %, rises", pieces((0.01, 0), (0.05, 0.5), (0.3, 0.5), (1, 1)), normal
)
DIP = World(
    "power law with a dip at 20 %", lambda u: power_law(0.5)(u) - 0.3 * np.exp(-(((u - 0.65) / 0.06) ** 2)), normal
)
SHAPES = (EARLY, LATE, RISE_THEN_FLAT, STAIRCASE, DIP)
# Slopes that nearly halve: what is called a corner must halve them.
ALMOST = tuple(
    World(f"slope falls to {share:g} at {100 * at:g} %", broken_stick(at, share), normal)
    for share in (0.503, 0.51, 0.55)
    for at in (0.05, 0.10, 0.20, 0.30)
)


def _after(ratio: float, u: Array) -> Array:
    """0 up to a ratio, then straight in log ratio to 1."""
    kink = float(scaled_log(ratio))
    return np.asarray(np.maximum(u - kink, 0) / (1 - kink))


def simulate_items(
    world: World, ratios: Sequence[float], seeds: int, items: int, rng: np.random.Generator
) -> pd.DataFrame:
    """Return one simulated curve with columns ratio, seed, item and value.

    Every item has a level and a curve of its own, every seed and ratio an error, every value noise: the world's curve
    is the mean over all items there could be, and a run sees only some of them.
    """
    means = world.curve(scaled_log(ratios))[:, None, None]
    shape = (len(ratios), seeds, items)
    values = (
        means
        + 0.3 * rng.standard_normal((1, 1, items))
        + 0.1 * rng.standard_normal((len(ratios), 1, items))
        + 0.01 * rng.standard_normal((len(ratios), seeds, 1))
        + 0.2 * rng.standard_normal(shape)
    )
    ratio, seed, item = (axis.ravel() for axis in np.meshgrid(ratios, range(seeds), range(items), indexing="ij"))
    return pd.DataFrame({"ratio": ratio, "seed": seed, "item": item, "value": values.ravel()})

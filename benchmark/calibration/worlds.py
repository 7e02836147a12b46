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
SMOOTH = World("saturating power law", lambda u: (1 - (100**u) ** -0.5) / 0.9, normal)


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

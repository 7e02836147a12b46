"""Measure how often a bake-off of maps names the wrong family, where the best one is known.

    pip install -c constraints.txt -e .
    python benchmark/calibration/maps.py [--runs 1000] [--draws 100] [--out FOLDER]

Two kinds of worlds: vectors on which the families of `embalign.maps` are fitted (`map_worlds.py`), and values drawn
with known means, for the verdict alone. Writes maps.md and maps.csv; takes about 20 minutes of two cores.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np
import pandas as pd
from map_worlds import WORLDS, Drawn, draw_world
from scipy.stats import norm
from texts import publish, share
from texts_maps import AHEAD, EQUAL, ONCE, SINGLE, THREE, TWICE, maps_tables

from embalign.verdicts.best_set import best_of
from embalign.verdicts.replicates import from_array
from embalign.verdicts.statistics import StudentT

ALPHA = 0.05
NOISES = ("normal", "unequal groups", "lognormal", "lognormal, negative", "right or wrong")
SHAPES = ((2, 3, 20), (5, 3, 50), (10, 3, 20), (10, 5, 50), (20, 3, 20), (20, 5, 100))  # systems, seeds, groups
SEEDED = ((10, 3, 50), (10, 5, 50), (20, 3, 20))
LOUD = "normal, seeds of three systems"  # three systems that vary by seed as much as MUCH says
LITTLE, ALIKE, MUCH = 0.1, 1.0, 9.0  # variance that a seed adds to a mean, of what the groups add
NEAR, FAR = 0.8, 0.4  # correlations of systems in threes, and across
RESIDUAL = 0.5  # of a group and seed, in standard deviations of a group
SKEWED = 1.0  # standard deviation of the logarithm
OFTEN, HIGHEST = 0.7, 0.98  # how often a group is right
PILOT = 400  # draws that tell standard error and degrees of freedom

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class World:
    """A bake-off whose values are drawn: systems, seeds, groups, their noise, and how much seeds vary."""

    noise: str
    systems: int
    seeds: int
    groups: int
    of_seeds: float

    def draw(self, rng: np.random.Generator, means: Array) -> Array:
        """Return values (systems, seeds, groups) of these true means."""
        shape = (self.systems, self.seeds, self.groups)
        group = self._effects(rng, self.groups)
        of_seeds = np.full((self.systems, 1), self.of_seeds)
        of_seeds[: 3 if self.noise == LOUD else 0] = MUCH
        seed = np.sqrt(of_seeds / self.groups) * self._effects(rng, self.seeds)
        rest = RESIDUAL * rng.standard_normal(shape)
        if self.noise == "right or wrong":
            latent = group[:, None] + seed[:, :, None] + 0.3 * rest
            spread = np.sqrt(1 + self.of_seeds / self.groups + (0.3 * RESIDUAL) ** 2)
            return np.asarray(latent + spread * norm.ppf(means)[:, None, None] > 0, np.float64)
        if self.noise == "unequal groups":
            weights = np.geomspace(8, 1, self.groups)
            group = group * weights / np.sqrt(np.square(weights).mean())
        return np.asarray(means[:, None, None] + group[:, None] + seed[:, :, None] + rest)

    def means(self, gap: float, best: int) -> Array:
        """Return true means of which the first `best` are higher by a gap."""
        low, high = (OFTEN, OFTEN) if self.noise == "right or wrong" else (0.0, 0.0)
        if gap and self.noise == "right or wrong":
            high = min(HIGHEST, OFTEN + gap / 2)
            low = max(1 - HIGHEST, high - gap)
        elif gap:
            high = gap
        return np.where(np.arange(self.systems) < best, high, low)

    def _effects(self, rng: np.random.Generator, count: int) -> Array:
        """Effects (systems, count) of variance 1; those of related systems are correlated."""
        trio = np.arange(self.systems) // 3
        related = np.where(trio[:, None] == trio[None], NEAR, FAR)
        np.fill_diagonal(related, 1.0)
        drawn = rng.standard_normal((self.systems, count))
        if self.noise.startswith("lognormal"):
            middle, variance = np.exp(SKEWED**2 / 2), (np.exp(SKEWED**2) - 1) * np.exp(SKEWED**2)
            drawn = (np.exp(SKEWED * drawn) - middle) / np.sqrt(variance)
            drawn = -drawn if self.noise.endswith("negative") else drawn
        return np.asarray(np.linalg.cholesky(related) @ drawn)

    def detectable(self, rng: np.random.Generator, tests: int) -> float:
        """Return the difference of two unrelated systems that one of so many tests finds with power 0.8."""
        other = min(3, self.systems - 1)
        found = [from_array(self.draw(rng, self.means(0.0, 0))[[0, other]], [0, 1]) for _ in range(PILOT)]
        contrasts = [each.contrast([1.0, -1.0]) for each in found]
        error = float(np.std([each.mean for each in contrasts]))
        df = float(np.median([each.df for each in contrasts]))
        return StudentT(0.0, error, df).minimum_detectable_effect(ALPHA / tests)


@dataclass
class Counts:
    """How often a set of the best was what, over runs."""

    runs: int = 0
    wrong: int = 0
    alone: int = 0
    there: int = 0
    every: int = 0
    few: int = 0
    size: int = 0

    def add(self, named: Sequence[object], right: Sequence[object]) -> None:
        """Count one set, given what is right."""
        there = [each in named for each in right]
        self.runs += 1
        self.alone += len(named) == 1
        self.wrong += len(named) == 1 and not any(there)
        self.there += any(there)
        self.every += all(there)
        self.few += len(named) <= 2
        self.size += len(named)

    def line(self) -> dict[str, float]:
        """Return shares with their intervals, as columns."""
        shares = {
            "wrong one alone": self.wrong,
            "one alone": self.alone,
            "right one in the set": self.there,
            "every right one in the set": self.every,
            "at most two": self.few,
        }
        line: dict[str, float] = {"runs": self.runs}
        for name, count in shares.items():
            line |= share(name, count, self.runs)
        return line | {"mean size": self.size / self.runs}


def run(task: tuple[World, int]) -> list[dict[str, object]]:
    """Return a line for each situation of a world of values."""
    world, runs = task
    rng = np.random.default_rng([24, world.systems, world.seeds, world.groups, *world.noise.encode()])
    effect, single = (world.detectable(rng, tests) for tests in (world.systems - 1, 1))
    situations = {EQUAL: (0.0, world.systems), ONCE: (effect, 1), TWICE: (2 * effect, 1)}
    if world.systems > 3:
        situations |= {SINGLE: (2 * single, 1), THREE: (2 * effect, 3)}
    lines = []
    for situation, (gap, best) in situations.items():
        counts, means = Counts(), world.means(gap, best)
        for _ in range(runs):
            found = best_of(from_array(world.draw(rng, means), range(world.systems)), alpha=ALPHA)
            counts.add(found.systems, range(best))
        of_world = {"kind": "values", "world": world.noise, "situation": situation, "systems": world.systems}
        sizes = {"seeds": world.seeds, "groups": world.groups, "of seeds": world.of_seeds}
        lines.append({**of_world, **sizes, **counts.line()})
    return lines


def of_families(name: str, drawn: Sequence[Drawn]) -> list[dict[str, object]]:
    """Return a line for each deployment of a world of vectors.

    What is right in a draw is measured on all others: the family with the highest mean nDCG@10, and those less than two
    standard errors of the difference below. `distinct` says whether all but two families are below the best of all
    draws by twice the detectable effect or more.
    """
    lines = []
    for deployment in drawn[0].values:
        families = drawn[0].families
        means = np.array([each.values[deployment].mean(axis=(1, 2)) for each in drawn])
        best, counts, effects, ahead = int(means.mean(axis=0).argmax()), Counts(), [], 0
        for place, each in enumerate(drawn):
            named = best_of(from_array(each.values[deployment], families), alpha=ALPHA).systems
            counts.add(named, _right(families, np.delete(means, place, axis=0)))
            effects.append(_effects(each.values[deployment], best))
            ahead += "deshrunk" in named and "ridge" not in named
        far = means.mean(axis=0)[best] - means.mean(axis=0) >= 2 * np.mean(effects, axis=0)
        line = {"kind": "families", "world": name, "situation": deployment, "systems": len(families)}
        sizes = {"seeds": drawn[0].seeds, "groups": drawn[0].groups, "right": ", ".join(_right(families, means))}
        levels = {"distinct": bool(far.sum() >= len(families) - 2), "means": _named(families, means.mean(axis=0))}
        lines.append({**line, **sizes, **levels, **counts.line(), **share(AHEAD, ahead, len(drawn))})
    return lines


def _right(families: Sequence[str], means: Array) -> list[str]:
    """The families that are the best by their means (draws, families), as far as these tell."""
    below = means[:, [means.mean(axis=0).argmax()]] - means
    errors = below.std(axis=0, ddof=1) / np.sqrt(len(means))
    return [family for family, gap, e in zip(families, below.mean(axis=0), errors, strict=True) if gap <= 2 * e]


def _effects(values: Array, best: int) -> list[float]:
    """The detectable difference of each family to the best; none of itself."""
    found = from_array(values, range(len(values)))
    differences = [found.contrast(found.difference(best, other)) for other in range(len(values))]
    level = ALPHA / (len(values) - 1)
    return [each.minimum_detectable_effect(level) if each.standard_error else 0.0 for each in differences]


def _named(families: Sequence[str], means: Array) -> str:
    order = np.argsort(-means)
    return ", ".join(f"{families[place]} {means[place]:.3f}" for place in order)


def main() -> None:
    """Run every world on all cores, write table and text, and print the text."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="bake-offs of each world of values (default 1000)")
    parser.add_argument("--draws", type=int, default=100, help="bake-offs of each world of vectors (default 100)")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "calibration")
    arguments = parser.parse_args()
    worlds = [World(noise, *shape, LITTLE) for shape in SHAPES for noise in NOISES]
    worlds += [World("normal", *shape, much) for shape in SEEDED for much in (ALIKE, MUCH)]
    worlds += [World(LOUD, *shape, LITTLE) for shape in SEEDED]
    lines: list[dict[str, object]] = []
    with ProcessPoolExecutor(arguments.workers, multiprocessing.get_context("spawn")) as pool:
        for name in WORLDS:
            lines += of_families(name, list(pool.map(functools.partial(draw_world, name), range(arguments.draws))))
            print(name, flush=True)
        tasks = zip(worlds, itertools.repeat(arguments.runs))
        for world, of_world in zip(worlds, pool.map(run, tasks), strict=True):
            lines += of_world
            print(world, flush=True)
    table = pd.DataFrame(lines)
    publish(table, maps_tables(table), arguments.out, "maps")


if __name__ == "__main__":
    main()

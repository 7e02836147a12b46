"""Worlds of vectors in which it is known which family of maps is best, or can be measured on fresh draws of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embalign.evaluation.deployment import task_of
from embalign.evaluation.scorecard import label_values, search_task
from embalign.maps.choose import choose
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS
from embalign.pairs.corpus import Item
from embalign.pairs.holdout import Holdout
from embalign.pairs.pair import Pair

DIMENSION = 24
SEEDS = 3
ASKING = 30  # held-out groups, where a world does not say otherwise
CLOSED = ("ridge", "affine", "procrustes", "deshrunk", "reversed", "lowrank", "kernel")  # those fitted in milliseconds
LARGEST = 3.0  # group, in sizes of the smallest

Array = np.ndarray[Any, np.dtype[np.float64]]
Sides = tuple[Array, Array]  # what draft and teacher see of latent rows, without noise


@dataclass(frozen=True)
class VectorWorld:
    """A law that makes draft and teacher of latent rows, and how much of them there is.

    `within` is the spread of a group's items, in that of the groups' centres; the noise of each side is in lengths of
    what it sees; `groups` of about `items` each are for training, of whose items each seed has a share;
    `asking` groups are held out.
    """

    law: Callable[[np.random.Generator, Array], Sides]
    draft_noise: float
    teacher_noise: float
    within: float
    groups: int
    items: int
    share: float
    asking: int = ASKING


@dataclass(frozen=True)
class Drawn:
    """Values (families, seeds, groups) of one draw of a world, by deployment."""

    families: tuple[str, ...]
    values: dict[str, Array]
    seeds: int
    groups: int


def rotation(rng: np.random.Generator, latent: Array) -> Sides:
    """The teacher is the draft, turned."""
    return latent, latent @ _turned(rng)


def linear(rng: np.random.Generator, latent: Array) -> Sides:
    """The draft sees some directions ten times as long as others, the teacher all alike."""
    return latent @ _stretched(rng, 0.1), latent @ _turned(rng)


def shrunk(rng: np.random.Generator, latent: Array) -> Sides:
    """The same, less stretched: beside much noise, least squares shrinks what is short in the draft."""
    return latent @ _stretched(rng, 0.3), latent @ _turned(rng)


def piecewise(rng: np.random.Generator, latent: Array) -> Sides:
    """The draft is turned in one way on one side of a plane, in another on the other."""
    side = latent @ rng.standard_normal(DIMENSION) > 0
    return latent, np.where(side[:, None], latent @ _turned(rng), latent @ _turned(rng))


def folded(rng: np.random.Generator, latent: Array) -> Sides:
    """The same with two planes: the draft is turned in four ways."""
    sides = [latent @ rng.standard_normal(DIMENSION) > 0 for _ in range(2)]
    turned = [latent @ _turned(rng) for _ in range(4)]
    return latent, np.where(
        sides[0][:, None],
        np.where(sides[1][:, None], turned[0], turned[1]),
        np.where(sides[1][:, None], turned[2], turned[3]),
    )


def low_rank(rng: np.random.Generator, latent: Array) -> Sides:
    """The teacher sees a quarter of the draft's dimensions."""
    rank = DIMENSION // 4
    return latent, latent @ _turned(rng)[:, :rank] @ _turned(rng)[:rank]


WORLDS = {
    "rotation": VectorWorld(rotation, 0.6, 0.2, 0.7, 40, 8, 0.25),
    "anisotropic linear": VectorWorld(linear, 0.05, 0.2, 0.7, 60, 9, 0.8),
    "piecewise rotation": VectorWorld(piecewise, 0.1, 0.1, 0.4, 80, 9, 0.8),
    "four rotations": VectorWorld(folded, 0.05, 0.05, 0.3, 100, 9, 0.8, 90),
    "shrinkage": VectorWorld(shrunk, 0.5, 0.2, 0.7, 60, 8, 0.8),
    "low rank": VectorWorld(low_rank, 0.1, 0.3, 0.3, 40, 8, 0.3),
}


def draw_world(name: str, number: int) -> Drawn:
    """Return nDCG@10 by group of each family, chosen and fitted as in a bake-off, on draw `number` of a world."""
    world = WORLDS[name]
    rng = np.random.default_rng([24, number, *name.encode()])
    pair = draw_pair(rng, world)
    task, pool = task_of(pair), pair.holdout.train
    found: dict[str, list[list[Array]]] = {deployment: [] for deployment in DEPLOYMENTS}
    for family in CLOSED:
        of_seeds: dict[str, list[Array]] = {deployment: [] for deployment in DEPLOYMENTS}
        for seed in range(SEEDS):
            order = np.random.default_rng([seed, number]).permutation(pool)
            rows = np.sort(order[: round(world.share * len(pool))])
            for deployment, chosen in choose(FAMILIES[family], pair, rows, DEPLOYMENTS, seed).items():
                searched = search_task(task, chosen.map.embedded(task, deployment))
                of_seeds[deployment].append(label_values(searched.ndcg, task.blocks))
        for deployment, values in of_seeds.items():
            found[deployment].append(values)
    return Drawn(CLOSED, {name: np.array(values) for name, values in found.items()}, SEEDS, world.asking)


def draw_pair(rng: np.random.Generator, world: VectorWorld) -> Pair:
    """Return a pair of a world: groups of unequal size, of which the last are held out, and no files."""
    count = world.groups + world.asking
    sizes = np.geomspace(LARGEST, 1, count)
    sizes = rng.permutation(np.maximum(3, np.round(sizes / sizes.mean() * world.items).astype(int)))
    group = np.repeat(np.arange(count), sizes)
    centres = rng.standard_normal((count, DIMENSION))
    latent = centres[group] + world.within * rng.standard_normal((len(group), DIMENSION))
    seen = world.law(rng, latent)
    draft, teacher = (
        _noisy(rng, side, noise) for side, noise in zip(seen, (world.draft_noise, world.teacher_noise), strict=True)
    )
    labels = np.array([f"{number:03d}" for number in group.tolist()])
    train, test = np.flatnonzero(group < world.groups), np.flatnonzero(group >= world.groups)
    none = np.empty((0, 0), np.float32)
    pair = Pair(Path("world"))
    vars(pair).update(
        items=tuple(Item(id=f"{row}", text=f"{row}", label=label) for row, label in enumerate(labels.tolist())),
        draft=draft,
        teacher=teacher,
        styled=(),
        styled_draft=none,
        queries=(),
        query_draft=none,
        query_teacher=none,
        judgements=None,
        holdout=Holdout(train, test, test[:0], train, test),
    )
    return pair


def _noisy(rng: np.random.Generator, side: Array, noise: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows with noise of so much of their usual length, as unit vectors."""
    usual = np.sqrt(np.square(side).sum(axis=1).mean())
    rows = side / usual + noise * rng.standard_normal(side.shape) / np.sqrt(side.shape[1])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def _turned(rng: np.random.Generator) -> Array:
    return np.asarray(np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))[0])


def _stretched(rng: np.random.Generator, shortest: float) -> Array:
    return (_turned(rng) * np.geomspace(1, shortest, DIMENSION)[:, None]) @ _turned(rng)

"""How long to train: the number of steps that does best on label groups held out of the training items.

Each length is a training of its own, since the learning rate falls to zero at its end: the checkpoints of one long
training say little of a short one. Lengths double until the held-out cosine falls, and a parabola through the best
three in the logarithm of the length gives the number.
"""

import numpy as np

from embalign.alignment.config import DEFAULT, TrainingConfig
from embalign.alignment.inner import inner_split
from embalign.alignment.training import apply_map, train_map
from embalign.pairs import Vectors
from embalign.pairs.holdout import Names, Rows
from embalign.pairs.picked import BLOCK, Picked, blocks, pick, unit

FEWEST = 50  # steps
DIMENSIONS = 384  # of the teacher, that lengths are compared in


def tune_steps(
    draft: Vectors, teacher: Vectors, groups: Names, *, seed: int, most: int, config: TrainingConfig = DEFAULT
) -> int:
    """Return the number of steps, from 50 to `most`, with the highest mean cosine on held-out groups.

    `draft` (n, d_draft), `teacher` (n, d_teacher) and `groups` (n,) are those of the items to train on. Lengths are
    compared in at most 384 dimensions of the teacher, one of each of as many classes of equal size by mean square: each
    row of W is fitted to its own dimension, so a sample of them over-fits when all do, and a step costs less. Where
    nothing can be held out, it is `most`.
    """
    inner = inner_split(groups)
    if inner is None or most <= FEWEST:
        return most
    seen = _sample_of_dimensions(teacher)
    targets = teacher.along(seen) if isinstance(teacher, Picked) else unit(teacher[:, seen])
    fit = pick(draft, inner.fit), pick(targets, inner.fit)
    found: list[tuple[int, float]] = []
    steps = FEWEST
    while True:
        trained = train_map(*fit, seed=seed, config=config, steps=steps)
        found.append((steps, _mean_cosine(trained.weights, draft, targets, inner.check)))
        if steps == most or (len(found) > 1 and found[-1][1] < found[-2][1]):
            return _peak(found)
        steps = min(2 * steps, most)


def _mean_cosine(weights: Vectors, draft: Vectors, targets: Vectors, rows: Rows) -> float:
    """The mean cosine of some items as a map makes them to their targets."""
    cosines = []
    for start in range(0, len(rows), BLOCK):
        some = rows[start : start + BLOCK]
        cosines.append((unit(apply_map(weights, draft[some])) * targets[some]).sum(axis=1))
    return float(np.concatenate(cosines).mean())


def _peak(found: list[tuple[int, float]]) -> int:
    """The length with the highest value, by a parabola in its logarithm where it lies inside."""
    at = max(range(len(found)), key=lambda i: found[i][1])
    if not 0 < at < len(found) - 1:
        return found[at][0]
    steps, values = np.array(found[at - 1 : at + 2]).T
    curvature, slope, _ = np.polyfit(np.log2(steps / steps[1]), values, 2)
    if not curvature < 0:
        return found[at][0]
    return round(float(np.clip(steps[1] * 2.0 ** (-slope / (2 * curvature)), steps[0], steps[2])))


def _sample_of_dimensions(teacher: Vectors) -> np.ndarray:
    """The middle one of each of `DIMENSIONS` classes of dimensions of like mean square, in their order."""
    d = teacher.shape[1]
    if d <= DIMENSIONS:
        return np.arange(d)
    squares = sum((np.square(block, dtype=np.float64).sum(axis=0) for block in blocks(teacher)), np.zeros(d))
    by_size = np.argsort(-squares, kind="stable")
    return np.sort(by_size[((np.arange(DIMENSIONS) + 0.5) * d / DIMENSIONS).astype(np.int64)])

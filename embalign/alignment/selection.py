"""Which training samples: nested subsets of a seed's pool under a selection policy.

"Density" is the mean cosine to the 10 nearest training items in draft space, computed on the pool alone. A policy
orders the whole pool once; the subset at a ratio is the head of that order, so smaller subsets lie inside larger ones.

    random     uniformly
    density    densest first: the claim under test
    sparse     least dense first: its opposite
    coverage   one item from each k-means cluster in turn
    kcenter    greedy k-center, the item farthest from all picked ones (Gonzalez 1985)
    facility   greedy facility location, the item that most raises the pool's similarity to its nearest picked one

A policy of one's own is a function of the pool's draft vectors and a seed that returns such an order:
docs/own-policy-or-map.md.

No policy holds the similarities of all pairs of a large pool. Only `facility` approximates for that: above `SAMPLE`
items it sees them in random samples.
"""

import heapq
import numbers
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embalign.alignment.arguments import described, name_of, takes, unit_vectors, whole_number
from embalign.alignment.seeds import Stream, generator
from embalign.errors import SelectionError
from embalign.lazy import lazy

torch = lazy("torch")  # reports import this module too
KMeans = lazy("sklearn.cluster").KMeans

NEIGHBOURS = 10
POOL_SHARE = 0.9
SAMPLE = 4000  # items that `facility` sees at once; all of them in a pool of that size
PICKS = 250  # items that it picks before it draws another sample
# Hoeffding's bound on the mean coverage of a sample against the pool's, by given picks, at 95 %; coverage is in [0, 1].
SAMPLE_ERROR = float(np.sqrt(np.log(2 / 0.05) / (2 * SAMPLE)))
WINDOW = 4000  # items that `kcenter` keeps up to date
BLOCK = 4096  # rows whose similarities are computed at once
SIMILARITIES = 2**23  # of some items to all, that are held at once

Rows = NDArray[np.int64]
Draft = NDArray[np.float32]
Policy = Callable[[Draft, int], Rows]


def draw_pool(train: Rows, seed: int) -> Rows:
    """Return the seed's training pool: a random nine tenths of the training rows, ascending.

    Dropping a tenth gives policies without randomness of their own a sampling variance.
    """
    size = round(POOL_SHARE * len(train))
    return np.sort(generator(seed, Stream.POOL).choice(train, size=size, replace=False))


def select(policy: str | Policy, draft: Draft, ratio: float, *, seed: int = 0) -> Rows:
    """Return which rows of `draft` (n, d) a policy picks at a ratio in (0, 1]: round(ratio * n) of them, ascending.

    `policy` is one of the names above or a function of one's own. Raises SelectionError, which is a ValueError, for an
    unknown policy, a ratio that selects nothing, and a function that returns no order of the rows; ValueError for
    vectors that are not finite or of length 0.

    >>> import numpy as np
    >>> draft = np.random.default_rng(0).standard_normal((10, 4))
    >>> select("random", draft, 0.3)
    array([0, 5, 9])
    >>> select(lambda draft, seed: np.argsort(draft[:, 0]), draft, 0.3)
    array([2, 3, 4])
    """
    return head(selection_order(policy, unit_vectors(draft, "draft"), whole_number(seed, "seed")), ratio)


def selection_order(policy: str | Policy, draft: Draft, seed: int) -> Rows:
    """Return the positions of the pool's items (rows of `draft`, unit length) in the order `policy` picks them."""
    if callable(policy):
        return _order_of(policy, draft, seed)
    if not isinstance(policy, str) or policy not in POLICIES:
        raise SelectionError(
            f"policy {policy!r} is unknown: choose one of {', '.join(POLICIES)}, or give a function of your own"
        )
    return POLICIES[policy](draft, seed)


def _order_of(policy: Policy, draft: Draft, seed: int) -> Rows:
    """What a policy of one's own returns, if it is an order of all items."""
    if not takes(policy, 2):
        raise SelectionError(f"policy {name_of(policy)} must take two arguments, the pool's draft vectors and a seed")
    found = np.asarray(policy(draft, seed))
    right = found.shape == (len(draft),) and found.dtype.kind in "iu"
    if not right or not np.array_equal(np.sort(found), np.arange(len(draft))):
        raise SelectionError(
            f"policy {name_of(policy)} returned {described(found)}, which is no order of the {len(draft)} items: "
            f"return each position from 0 to {len(draft) - 1} once, first what to pick first, as numpy.argsort does"
        )
    return found.astype(np.int64)


def head(order: Rows, ratio: float) -> Rows:
    """Return the first round(ratio * n) of an order, ascending."""
    if not (isinstance(ratio, numbers.Real) and 0 < ratio <= 1):
        raise SelectionError(f"ratio {ratio!r} is outside (0, 1]")
    count = round(ratio * len(order))
    if count == 0:
        raise SelectionError(f"ratio {ratio!r} of {len(order)} items rounds to no samples; use a larger ratio")
    return np.sort(order[:count])


def density(draft: Draft, neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Return the mean cosine of each row (n, d), of length 1, to its nearest other rows, in [-1, 1]."""
    count = min(neighbours, len(draft) - 1)
    if count < 1:
        return np.zeros(len(draft))
    step = max(1, SIMILARITIES // len(draft))
    found = []
    for start in range(0, len(draft), step):
        similarity = draft[start : start + step] @ draft.T
        similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = -np.inf  # no neighbour of its own
        nearest = torch.topk(torch.from_numpy(similarity), count, dim=1).values
        found.append(nearest.numpy().mean(axis=1, dtype=np.float64))
    return np.concatenate(found).clip(-1, 1)


def _round_robin(draft: Draft, seed: int) -> Rows:
    """One item from each of sqrt(n) k-means clusters in turn, each cluster's most central first."""
    clusters = max(1, round(len(draft) ** 0.5))
    fitted = KMeans(n_clusters=clusters, n_init=1, random_state=seed).fit(draft)
    to_centre = np.linalg.norm(draft - fitted.cluster_centers_[fitted.labels_], axis=1)
    by_cluster = np.lexsort((to_centre, fitted.labels_))
    sizes = np.bincount(fitted.labels_, minlength=clusters)
    turn = np.concatenate([np.arange(size) for size in sizes])
    return by_cluster[np.lexsort((fitted.labels_[by_cluster], turn))]


def _farthest_first(draft: Draft) -> Rows:
    """Greedy k-center by cosine distance, starting from the item nearest to the pool's mean.

    Similarity to the nearest picked item only rises, so the next pick is among the items where it was lowest until one
    of them passes all others. Only those are brought up to date with each pick, the others in one product after many.
    """
    order = [int(np.argmax(draft @ draft.mean(axis=0)))]
    nearest = draft @ draft[order[0]]
    nearest[order[0]] = np.inf
    while len(order) < len(draft):
        window = np.sort(np.argpartition(nearest, min(WINDOW, len(draft)) - 1)[:WINDOW])
        outside = np.setdiff1d(np.arange(len(draft)), window)
        vectors, near, bound = draft[window], nearest[window], nearest[outside].min(initial=np.inf)
        picked = []
        while near[best := int(near.argmin())] <= bound and near[best] < np.inf:
            picked.append(best)
            near[best] = np.inf
            np.maximum(near, vectors @ vectors[best], out=near)
        nearest[window] = near
        order.extend(window[picked].tolist())
        _raise_to_nearest(nearest, draft, outside, vectors[picked])
    return np.array(order, dtype=np.int64)


def _facility_location(draft: Draft, seed: int) -> Rows:
    """Greedy maximum of sum_i max_{j picked} (1 + cos(i, j)) / 2.

    Above SAMPLE items it is stochastic: each PICKS picks are those of a fresh random sample of the items not yet
    picked, which stands for the pool as candidates (Mirzasoleiman et al. 2015) and as what is to be covered. The mean
    coverage of a sample by given picks is within SAMPLE_ERROR = 0.0215 of the pool's with probability 95 % (Hoeffding
    1963). Measured with samples of a tenth of the pool, every head of the order covered it within 0.007 of what the
    exact greedy algorithm's head covers: on clustered vectors that is 75 % or more of its lead over chance, on vectors
    without structure 28 %. Memory is SAMPLE^2, time n * SAMPLE^2 / PICKS + n^2.
    """
    rng = generator(seed, Stream.FACILITY_SAMPLES)
    left = np.arange(len(draft))
    nearest = np.full(len(draft), -1, dtype=np.float32)
    order = []
    while len(left):
        whole = len(left) <= SAMPLE
        rows = left if whole else np.sort(rng.choice(left, SAMPLE, replace=False))
        vectors = draft[rows]
        picked = _cover(vectors, nearest[rows], len(rows) if whole else PICKS)
        order.append(rows[picked])
        left = np.setdiff1d(left, rows[picked])
        _raise_to_nearest(nearest, draft, left, vectors[picked])
    return np.concatenate(order)


def _cover(vectors: Draft, nearest: NDArray[np.float32], count: int) -> list[int]:
    """The first `count` picks of greedy facility location, evaluated lazily (Minoux 1978)."""
    similarity = vectors @ vectors.T
    similarity += 1
    similarity /= 2
    covered = (1 + nearest) / 2
    # An item's gain only falls as others are picked, so an old gain bounds the new one from above.
    gains = np.maximum(similarity - covered[:, None], 0).sum(axis=0, dtype=np.float64)
    bounds = [(-float(gain), item) for item, gain in enumerate(gains)]
    heapq.heapify(bounds)
    order: list[int] = []
    while len(order) < count:
        _, item = bounds[0]
        gain = float(np.maximum(similarity[item] - covered, 0).sum(dtype=np.float64))
        heapq.heapreplace(bounds, (-gain, item))
        if bounds[0][1] == item:
            heapq.heappop(bounds)
            order.append(item)
            np.maximum(covered, similarity[item], out=covered)
    return order


def _raise_to_nearest(nearest: NDArray[np.float32], draft: Draft, rows: Rows, picked: Draft) -> None:
    """Bring the similarity of these rows to their nearest picked item up to date, in place."""
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        nearest[block] = np.maximum(nearest[block], (draft[block] @ picked.T).max(axis=1))


POLICIES: dict[str, Policy] = {
    "random": lambda draft, seed: generator(seed, Stream.RANDOM_ORDER).permutation(len(draft)),
    "density": lambda draft, _: np.argsort(-density(draft), kind="stable"),
    "sparse": lambda draft, _: np.argsort(density(draft), kind="stable"),
    "coverage": _round_robin,
    "kcenter": lambda draft, _: _farthest_first(draft),
    "facility": _facility_location,
}

"""Which training samples: nested subsets of a seed's pool under a selection policy.

"Density" is the mean cosine to the 10 nearest training items in draft space, computed on the pool alone. A policy
orders the whole pool once; the subset at a ratio is the head of that order, so smaller subsets lie inside larger ones.

    random     uniformly
    density    densest first: the claim under test
    sparse     least dense first: its opposite
    coverage   one item from each k-means cluster in turn
    kcenter    greedy k-center, the item farthest from all picked ones (Gonzalez 1985)
    facility   greedy facility location, the item that most raises the pool's similarity to its nearest picked one
"""

import heapq
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from embalign.alignment.seeds import Stream, generator
from embalign.errors import SelectionError

NEIGHBOURS = 10
POOL_SHARE = 0.9

Rows = NDArray[np.int64]


def draw_pool(train: Rows, seed: int) -> Rows:
    """Return the seed's training pool: a random nine tenths of the training rows, ascending.

    Dropping a tenth gives policies without randomness of their own a sampling variance.
    """
    size = round(POOL_SHARE * len(train))
    return np.sort(generator(seed, Stream.POOL).choice(train, size=size, replace=False))


def selection_order(policy: str, draft: NDArray[np.float32], seed: int) -> Rows:
    """Return the positions of the pool's items (rows of `draft`, unit length) in the order `policy` picks them."""
    if policy not in POLICIES:
        raise SelectionError(f"policy {policy!r} is unknown: choose one of {', '.join(POLICIES)}")
    return POLICIES[policy](draft, seed)


def head(order: Rows, ratio: float) -> Rows:
    """Return the first round(ratio * n) of an order, ascending."""
    if not 0 < ratio <= 1:
        raise SelectionError(f"ratio {ratio!r} is outside (0, 1]")
    count = round(ratio * len(order))
    if count == 0:
        raise SelectionError(f"ratio {ratio!r} of {len(order)} items rounds to no samples; use a larger ratio")
    return np.sort(order[:count])


def density(draft: NDArray[np.float32], neighbours: int = NEIGHBOURS) -> NDArray[np.float64]:
    """Return the mean cosine of each row to its nearest other rows, in [-1, 1]."""
    count = min(neighbours, len(draft) - 1)
    if count < 1:
        return np.zeros(len(draft))
    search = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(draft)
    distances, _ = search.kneighbors()
    return np.asarray(1 - distances.mean(axis=1), dtype=np.float64)


def _round_robin(draft: NDArray[np.float32], seed: int) -> Rows:
    """One item from each of sqrt(n) k-means clusters in turn, each cluster's most central first."""
    clusters = max(1, round(len(draft) ** 0.5))
    fitted = KMeans(n_clusters=clusters, n_init=1, random_state=seed).fit(draft)
    to_centre = np.linalg.norm(draft - fitted.cluster_centers_[fitted.labels_], axis=1)
    by_cluster = np.lexsort((to_centre, fitted.labels_))
    sizes = np.bincount(fitted.labels_, minlength=clusters)
    turn = np.concatenate([np.arange(size) for size in sizes])
    return by_cluster[np.lexsort((fitted.labels_[by_cluster], turn))]


def _farthest_first(draft: NDArray[np.float32]) -> Rows:
    """Greedy k-center by cosine distance, starting from the item nearest to the pool's mean."""
    order = np.empty(len(draft), dtype=np.int64)
    order[0] = np.argmax(draft @ draft.mean(axis=0))
    nearest = draft @ draft[order[0]]
    for i in range(1, len(draft)):
        nearest[order[i - 1]] = np.inf
        order[i] = np.argmin(nearest)
        np.maximum(nearest, draft @ draft[order[i]], out=nearest)
    return order


def _facility_location(draft: NDArray[np.float32]) -> Rows:
    """Greedy maximum of sum_i max_{j picked} cos(i, j), evaluated lazily (Minoux 1978)."""
    similarity = (1 + draft @ draft.T) / 2
    covered = np.zeros(len(draft), dtype=np.float32)
    # An item's gain only falls as others are picked, so an old gain bounds the new one from above.
    bounds = [(-float(gain), item) for item, gain in enumerate(similarity.sum(axis=0, dtype=np.float64))]
    heapq.heapify(bounds)
    order = []
    while bounds:
        _, item = bounds[0]
        gain = float(np.maximum(similarity[item] - covered, 0).sum(dtype=np.float64))
        heapq.heapreplace(bounds, (-gain, item))
        if bounds[0][1] == item:
            heapq.heappop(bounds)
            order.append(item)
            np.maximum(covered, similarity[item], out=covered)
    return np.array(order, dtype=np.int64)


POLICIES: dict[str, Callable[[NDArray[np.float32], int], Rows]] = {
    "random": lambda draft, seed: generator(seed, Stream.RANDOM_ORDER).permutation(len(draft)),
    "density": lambda draft, _: np.argsort(-density(draft), kind="stable"),
    "sparse": lambda draft, _: np.argsort(density(draft), kind="stable"),
    "coverage": _round_robin,
    "kcenter": lambda draft, _: _farthest_first(draft),
    "facility": lambda draft, _: _facility_location(draft),
}

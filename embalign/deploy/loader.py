"""An exported map in use, in one deployment: map draft vectors, search, and decide which answers to accept.

Needs no torch. Similarities are held a block at a time: nothing grows with queries times index, and the index may be a
memory-mapped file.
"""

import hashlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embalign.deploy import RISK_TARGETS, MapWarning
from embalign.deploy.card import Card, Use
from embalign.errors import MapError
from embalign.evaluation.deployment import DEPLOYMENTS, QUERY_ADAPTER
from embalign.evaluation.ties import TIED
from embalign.readers import MEBI, as_array, read_bytes

LARGEST_MAP = 1024 * MEBI
_AGAIN = "export the map again"
BLOCK = 2**22  # similarities, or numbers of the index, that are held at once
TIE = TIED * float(np.finfo(np.float32).eps)

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class Answers(NamedTuple):
    """What each of Q queries finds, (Q,) each: the nearest row of the index, its score, and whether to accept it.

    An answer that is not accepted is a query to embed with the teacher.
    """

    nearest: Rows
    score: Floats
    accepted: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DeployedMap:
    """A map `weights` (d_teacher, d_draft) in one deployment, with its threshold for one risk (None: none certified).

    `card` is all that W.json says, `use` the part of this deployment.
    """

    weights: Floats
    deployment: str
    risk: float
    threshold: float | None
    card: Card

    @property
    def use(self) -> Use:
        """Quality, thresholds and index size in this deployment."""
        return self.card.deployments[self.deployment]

    def map(self, draft: NDArray[np.floating]) -> Floats:
        """Return the draft's vectors (n, d_draft), of any length, as unit-length vectors (n, d_teacher).

        Raises MapError for another shape, values that are not finite, and vectors of length 0.
        """
        vectors = self._checked(draft, self.weights.shape[1], "draft vectors")
        mapped = np.empty((len(vectors), len(self.weights)), np.float32)
        for rows in _blocks(len(vectors), len(self.weights)):
            with np.errstate(over="ignore", invalid="ignore"):  # of a map with values near the largest float32
                products = _unit(vectors[rows], rows.start) @ self.weights.T
            mapped[rows] = _unit(products, rows.start)
        return mapped

    def accept(self, queries: NDArray[np.floating], index: NDArray[np.floating], *, own: Rows | None = None) -> Answers:
        """Return the nearest row of the index for each query, and which of them to accept.

        `queries` are what this deployment's encoder gives, (n, d_draft) from the draft or, for `index_migration`,
        (n, d_teacher) from the teacher; the draft's are mapped here. `index` (N, d_teacher) is in the teacher's space:
        the teacher's vectors, or for the other two deployments `map(drafts)`, computed once. `own` (n,) names the row
        that is the query itself, -1 for none, to be left out. Vectors may have any length. Warns where no threshold is
        certified, and then accepts nothing, and where the index is not of the size that it was certified on. Raises
        MapError for other shapes, an index of fewer than two rows, and values that are not finite.
        """
        size = self.weights.shape[0]
        if DEPLOYMENTS[self.deployment].queries == "mapped":
            asked = self.map(queries)
        else:
            asked = _unit(self._checked(queries, size, "queries of the teacher"), 0)
        held = self._checked(index, size, "index vectors")
        _check_rows(len(asked), len(held), own)
        self._warn(len(held))
        nearest, first, second = _two_nearest(asked, held, own)
        margin = np.where(first - second > TIE, first - second, np.float32(0))
        score = first if self.use.score == "top1" else margin
        accepted = np.zeros(len(asked), bool) if self.threshold is None else score >= self.threshold
        return Answers(nearest, score, accepted)

    def _checked(self, vectors: NDArray[np.floating], width: int, what: str) -> NDArray[np.floating]:
        found = np.asanyarray(vectors)
        if found.ndim == 2 and found.shape[1] == width and found.dtype.kind == "f":
            return found
        message = f"{what} of shape {found.shape} and type {found.dtype} do not fit the map in {self.deployment}"
        hint = f"give floats of shape (n, {width})"
        if found.ndim == 1 and len(found) == width:
            hint += ": vector[None] is a list of one"
        elif what == "index vectors" and found.ndim == 2 and found.shape[1] == self.weights.shape[1]:
            hint += ", vectors in the teacher's space"
            if DEPLOYMENTS[self.deployment].index == "mapped":
                hint += ": map the draft's once with .map(drafts)"
        raise MapError(f"{message}; {hint}")

    def _warn(self, size: int) -> None:
        name, risk = DEPLOYMENTS[self.deployment].label, f"{100 * self.risk:g} %"
        if self.threshold is None:
            _say(
                f"no threshold is certified for a risk of {risk} as {name}, so nothing is accepted: embed every query "
                "with the teacher, or certify on more held-out items",
                3,
            )
        elif size != (certified := self.use.thresholds[_key(self.risk)].index_size):
            _say(
                f"the index has {size} items, and the threshold for a risk of {risk} as {name} was certified on "
                f"{certified}: the risk among accepted answers grows with the index, so the promise does not hold; "
                "certify on an index of this size",
                3,
            )


def load(path: str | Path, deployment: str = QUERY_ADAPTER, risk: float = 0.2) -> DeployedMap:
    """Return an exported map for use in a deployment at a risk, checked against its description.

    `path` is W.npy, W.json or their folder. `deployment` is one of query_adapter, index_migration and draft_only, and
    `risk` the highest share of wrong answers among the accepted: 0.05, 0.1 or 0.2. Warns where the map is not shown to
    beat the raw draft's own search. Raises MapError for anything else.

    >>> from embalign import load_deployed
    >>> load_deployed("maps", "reranker")
    Traceback (most recent call last):
    embalign.errors.MapError: no deployment 'reranker': use query_adapter, index_migration or draft_only
    """
    if not isinstance(deployment, str) or deployment not in DEPLOYMENTS:
        *others, last = DEPLOYMENTS
        raise MapError(f"no deployment {deployment!r}: use {', '.join(others)} or {last}")
    known = isinstance(risk, int | float) and 0 < risk < 1
    if not known or not any(math.isclose(risk, target) for target in RISK_TARGETS):
        *others, last = (f"{target:g}" for target in RISK_TARGETS)
        raise MapError(f"no threshold was certified for a risk of {risk!r}: use {', '.join(others)} or {last}")
    given = Path(path)
    matrix = given / "W.npy" if given.is_dir() else given.with_suffix(".npy")
    described = matrix.with_suffix(".json")
    card = Card.from_disk(described)
    weights = _read(matrix, described, card)
    try:
        use = card.deployments[deployment]
        threshold = use.thresholds[_key(risk)].threshold
    except KeyError as error:
        raise MapError(f"{described}: says nothing of {error}; export the map again") from None
    if not use.beats_no_map:
        _say(_no_better(use, DEPLOYMENTS[deployment].label), 2)
    return DeployedMap(weights, deployment, risk, threshold, card)


def _no_better(use: Use, label: str) -> str:
    over = use.over_no_map
    bound = "" if over.lower_bound is None else f", 95 % lower bound {over.lower_bound:+.3f}"
    return (
        f"as {label}, this map is not shown to beat no map: its nDCG@10 minus that of the raw draft's own search is "
        f"{over.difference:+.3f}{bound}; search with the raw draft, or train on more pairs"
    )


def _read(path: Path, described: Path, card: Card) -> Floats:
    content = read_bytes(path, MapError, _AGAIN, LARGEST_MAP)
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise MapError(f"{path}: not the map that {described.name} describes (SHA-256 differs); export both again")
    weights = as_array(content, path, MapError, _AGAIN)
    if not isinstance(weights, np.ndarray) or weights.shape != card.shape or weights.dtype.kind != "f":
        found = getattr(weights, "shape", None)
        raise MapError(f"{path}: shape {found}, but {described.name} says floats of {card.shape}; export both again")
    with np.errstate(over="ignore"):
        matrix = np.ascontiguousarray(weights, np.float32)
    if not np.isfinite(matrix).all():
        raise MapError(f"{path}: the map holds NaN or infinite values; export it again")
    return matrix


def _check_rows(queries: int, size: int, own: Rows | None) -> None:
    if own is not None and (len(own) != queries or (queries and not -1 <= own.min() <= own.max() < size)):
        raise MapError(f"own needs a row of the index, or -1, for each of {queries} queries in an index of {size}")
    if size < (2 if own is None else 3):
        raise MapError(f"an index of {size} rows is too small: a score needs the two nearest")


def _two_nearest(queries: Floats, index: NDArray[np.floating], own: Rows | None) -> tuple[Rows, Floats, Floats]:
    """The nearest row, its similarity and that of the second nearest, for unit-length queries."""
    nearest = np.zeros(len(queries), np.int64)
    first, second = (np.full(len(queries), -np.inf, np.float32) for _ in range(2))
    for rows in _blocks(len(index), index.shape[1]):
        part = _unit(index[rows], rows.start, of_index=True)
        for asked in _blocks(len(queries), len(part)):
            similarity = queries[asked] @ part.T
            if own is not None:
                here = np.flatnonzero((own[asked] >= rows.start) & (own[asked] < rows.stop))
                similarity[here, own[asked][here] - rows.start] = -np.inf
            best = similarity.argmax(axis=1)
            each = np.arange(len(best))
            top = similarity[each, best]
            similarity[each, best] = -np.inf
            better = top > first[asked]
            second[asked] = np.maximum(np.minimum(top, first[asked]), np.maximum(second[asked], similarity.max(axis=1)))
            nearest[asked] = np.where(better, best + rows.start, nearest[asked])
            first[asked] = np.maximum(top, first[asked])
    return nearest, first, second


def _unit(vectors: NDArray[np.floating], start: int, *, of_index: bool = False) -> Floats:
    """Vectors of length 1; a row of the index may be of length 0, which is similar to nothing."""
    with np.errstate(over="ignore"):  # what is too long has an infinite length
        wide = np.asarray(vectors, np.float32)
        lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    what = "index vector" if of_index else "vector"
    if len(wrong := np.flatnonzero(~np.isfinite(lengths))):
        raise MapError(f"{what} {start + wrong[0]} holds NaN or infinite values, or is too long for float32; fix it")
    if not of_index and len(wrong := np.flatnonzero(lengths == 0)):
        raise MapError(f"{what} {start + wrong[0]} has length 0, so it has no direction; leave it out")
    return np.asarray(wide / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _blocks(count: int, width: int) -> Iterator[slice]:
    size = max(1, BLOCK // max(1, width))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _key(risk: float) -> str:
    return f"{risk:.2f}"


def _say(message: str, level: int) -> None:
    """Warn at the line of the caller that is `level` calls up."""
    warnings.warn(message, MapWarning, stacklevel=level + 1)

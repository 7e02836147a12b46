"""An exported map in use, in one deployment: map draft vectors, search, and decide which answers to accept.

Needs no torch. Similarities are held a block at a time: nothing grows with queries times index, and the index may be a
memory-mapped file.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embalign.deploy import CSLS, PLAIN, RISK_TARGETS, SEARCHES, MapWarning
from embalign.deploy.card import Card, Use
from embalign.deploy.files import find_file, read_sides, width_of
from embalign.deploy.search import MOST_SAMPLED, TIE, Floats, PreparedIndex, Rows, hub_penalty, through, two_nearest
from embalign.errors import MapError
from embalign.evaluation.deployment import DEPLOYMENTS, DRAFT_ONLY, QUERY_ADAPTER
from embalign.maps.transforms import Affine, Transform
from embalign.readers import quoted

Vectors = NDArray[np.floating]


class Answers(NamedTuple):
    """What each of Q queries finds, (Q,) each: the nearest row of the index, its score, and whether to accept it.

    An answer that is not accepted is a query to embed with the teacher.
    """

    nearest: Rows
    score: Floats
    accepted: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class DeployedMap:
    """A map in one deployment, with its threshold for one risk (None: none is certified).

    `of_queries` and `of_index` are what is done to each side's vectors, and `search` is how they are searched: "plain",
    by cosine, or "csls". `card` is all that W.json or map.json says, `use` the part of this deployment.
    """

    of_queries: Transform
    of_index: Transform
    search: str
    deployment: str
    risk: float
    threshold: float | None
    card: Card

    @property
    def use(self) -> Use:
        """Quality, thresholds and index size in this deployment."""
        return self.card.deployments[self.deployment]

    @property
    def weights(self) -> Floats:
        """The matrix (d_teacher, d_draft) of a linear map of the draft's vectors. Raises MapError for another map."""
        of_draft = self._of_draft
        if isinstance(of_draft, Affine) and not of_draft.offset.any():
            return of_draft.weights
        raise MapError(f"a map of kind {of_draft.kind} with an offset is no matrix; use .map(vectors)")

    @property
    def needs_preparation(self) -> bool:
        """Whether `accept` takes only what `prepare` returns: the map changes the teacher's index, or takes hubs."""
        return self.search == CSLS or self._changes_index

    def map(self, draft: Vectors) -> Floats:
        """Return the draft's vectors (n, d_draft), of any length, as unit-length vectors (n, d) to search with or in.

        Raises MapError for another shape, values that are not finite, and vectors of length 0.
        """
        return through(self._of_draft, self._checked(draft, self.card.shape[1], "draft vectors"))

    def prepare(self, index: Vectors, sample: Vectors | None = None, *, own: Rows | None = None) -> PreparedIndex:
        """Return an index as `accept` searches it: once for an index, for every map, and at once for a plain one.

        `index` is what `accept` takes for a plain map. A search by CSLS needs a `sample` (S, d) of queries like those
        that will ask, as `accept` takes them, of which at most 2,000 are used, at even steps; `own` (S,) names the row
        of the index that is the sampled query itself, -1 for none. Warns of a sample that is much smaller than that of
        the certificate. Raises MapError for what `accept` refuses, and for a sample that is missing.
        """
        held = self._checked(index, self._index_width, "index vectors")
        of = (self.card.sha256, self.deployment)
        if self._changes_index:
            held = through(self.of_index, held, of_index=True)
        if self.search != CSLS:
            return PreparedIndex(held, None, of)
        if sample is None or len(sample) == 0:
            raise MapError(
                "this map is searched by CSLS, which takes from each row of the index what makes it near to every "
                f"query: give a sample of queries, .prepare(index, queries); {MOST_SAMPLED:,} are enough"
            )
        _check_rows(len(sample), len(held), own)
        kept = np.unique(np.linspace(0, len(sample) - 1, min(len(sample), MOST_SAMPLED)).round().astype(np.int64))
        asked = self._asked(np.asanyarray(sample)[kept])
        if len(asked) < (certified := self.card.maps[self.deployment].sample) / 2:
            _say(
                f"the sample has {len(asked)} queries, and the thresholds were certified with {certified}: hubs are "
                "seen less well, so the promise does not hold; give more queries",
                2,
            )
        return PreparedIndex(held, hub_penalty(held, asked, None if own is None else np.asarray(own)[kept]), of)

    def for_inner_product(self, queries: Vectors) -> Floats:
        """Return queries for a database that holds `PreparedIndex.for_inner_product`: (Q, d), with CSLS (Q, d + 1).

        `queries` are those that `accept` takes. Raises MapError as it does.
        """
        asked = self._asked(queries)
        return np.hstack([asked, np.ones((len(asked), 1), np.float32)]) if self.search == CSLS else asked

    def accept(self, queries: Vectors, index: Vectors | PreparedIndex, *, own: Rows | None = None) -> Answers:
        """Return the nearest row of the index for each query, and which of them to accept.

        `queries` are what this deployment's encoder gives, (n, d_draft) from the draft or, for `index_migration`,
        (n, d_teacher) from the teacher; the draft's are mapped here. `index` is what `prepare` returns; a map that
        needs no preparation also takes the vectors (N, d) themselves: the teacher's, or for the other two deployments
        `map(drafts)`, computed once. `own` (n,) names the row that is the query itself, -1 for none, to be left out.
        Vectors may have any length. Warns where no threshold is certified, and then accepts nothing, and where the
        index is not of the size that it was certified on. Raises MapError for other shapes, an index that is not
        prepared as this map needs it or has fewer than two rows, and values that are not finite.
        """
        asked = self._asked(queries)
        held, penalty = self._held(index)
        _check_rows(len(asked), len(held), own)
        if len(held) < (2 if own is None else 3):
            raise MapError(f"an index of {len(held)} rows is too small: a score needs the two nearest")
        self._warn(len(held))
        nearest, first, second = two_nearest(asked, held, penalty, own)
        margin = np.where(first - second > TIE, first - second, np.float32(0))
        score = first if self.use.score == "top1" else margin
        with np.errstate(over="ignore"):  # of a threshold beyond float32: nothing reaches it
            least = np.float32(np.inf if self.threshold is None else self.threshold)
        return Answers(nearest, score, score >= least)

    @property
    def _of_draft(self) -> Transform:
        return self.of_queries if DEPLOYMENTS[self.deployment].queries == "mapped" else self.of_index

    @property
    def _changes_index(self) -> bool:
        """Whether the teacher's index is mapped, which a user does not do by `map`."""
        return DEPLOYMENTS[self.deployment].index == "teacher" and self.of_index.kind != "unchanged"

    @property
    def _index_width(self) -> int:
        """Dimensions of an index as it is given: the teacher's, or those that the map makes."""
        of_teacher, of_draft = self.card.shape
        return of_teacher if DEPLOYMENTS[self.deployment].index == "teacher" else width_of(self.of_index, of_draft)

    def _asked(self, queries: Vectors) -> Floats:
        if DEPLOYMENTS[self.deployment].queries == "mapped":
            return self.map(queries)
        return through(self.of_queries, self._checked(queries, self.card.shape[0], "queries of the teacher"))

    def _held(self, index: Vectors | PreparedIndex) -> tuple[Vectors, Floats | None]:
        """The vectors that are searched, and the penalty of each."""
        if isinstance(index, PreparedIndex):
            if index.of != (self.card.sha256, self.deployment):
                raise MapError("the index was prepared by another map or for another deployment; prepare it with this")
            return index.vectors, index.penalty
        if self.needs_preparation:
            why = "takes hubs from the index" if self.search == CSLS else "changes the teacher's index"
            raise MapError(
                f"this map {why}: prepare it once, index = adapter.prepare(index, queries), and give accept that"
            )
        return self._checked(index, self._index_width, "index vectors"), None

    def _checked(self, vectors: Vectors, width: int, what: str) -> Vectors:
        found = np.asanyarray(vectors)
        if found.ndim == 2 and found.shape[1] == width and found.dtype.kind == "f":
            return found
        message = f"{what} of shape {found.shape} and type {found.dtype} do not fit the map in {self.deployment}"
        hint = f"give floats of shape (n, {width})"
        if found.ndim == 1 and len(found) == width:
            hint += ": vector[None] is a list of one"
        elif what == "index vectors" and found.ndim == 2 and found.shape[1] == self.card.shape[1]:
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

    `path` is the map's file, its card or their folder. `deployment` is one of query_adapter, index_migration and, for
    W.npy, draft_only; `risk` is the highest share of wrong answers among the accepted: 0.05, 0.1 or 0.2. Warns where
    the map is not shown to beat the raw draft's own search. Raises MapError for anything else.

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
    file = find_file(Path(path))
    described = file.with_suffix(".json")
    card = Card.from_disk(described)
    if deployment not in card.deployments:
        raise MapError(_not_exported(described, card, deployment))
    of_queries, of_index = read_sides(file, card, deployment)
    use = card.deployments[deployment]
    try:
        threshold = use.thresholds[_key(risk)].threshold
    except KeyError as error:
        raise MapError(f"{described}: says nothing of {error}; export the map again") from None
    search = card.maps[deployment].search if deployment in card.maps else PLAIN
    if search not in SEARCHES:
        raise MapError(f"{described}: no search {quoted(search)}: {' or '.join(SEARCHES)}; export the map again")
    if not use.beats_no_map:
        _say(_no_better(use, DEPLOYMENTS[deployment].label), 2)
    return DeployedMap(of_queries, of_index, search, deployment, risk, threshold, card)


def _no_better(use: Use, label: str) -> str:
    over = use.over_no_map
    bound = "" if over.lower_bound is None else f", 95 % lower bound {over.lower_bound:+.3f}"
    alike = " by CSLS" if use.no_map_search == CSLS else ""
    return (
        f"as {label}, this map is not shown to beat no map: its nDCG@10 minus that of the raw draft's own search"
        f"{alike} is {over.difference:+.3f}{bound}; search with the raw draft{alike}, or train on more pairs"
    )


def _not_exported(described: Path, card: Card, deployment: str) -> str:
    held = f"{described}: this map was exported for {' and '.join(card.deployments) or 'nothing'}, not {deployment}"
    if deployment == DRAFT_ONLY:
        return f"{held}; for that, one matrix maps both sides: export it with --family matrix, ridge or cosine"
    return f"{held}; export it again with --deployment {deployment}"


def _check_rows(queries: int, size: int, own: Rows | None) -> None:
    if own is not None and (len(own) != queries or (queries and not -1 <= own.min() <= own.max() < size)):
        raise MapError(f"own needs a row of the index, or -1, for each of {queries} queries in an index of {size}")


def _key(risk: float) -> str:
    return f"{risk:.2f}"


def _say(message: str, level: int) -> None:
    """Warn at the line of the caller that is `level` calls up."""
    warnings.warn(message, MapWarning, stacklevel=level + 1)

"""W.json or map.json: what an exported map is, how good it is in each deployment, and when to trust it."""

import json
from pathlib import Path
from typing import Any

import msgspec

from embalign.deploy import PLAIN
from embalign.errors import MapError
from embalign.readers import read_json


class Estimate(msgspec.Struct, frozen=True):
    """A mean over the held-out queries with its 95 % interval over label groups; no interval for a single group."""

    value: float
    interval: tuple[float, float] | None


class Difference(msgspec.Struct, frozen=True):
    """What a map has over the raw draft's own search, searched alike and paired by query.

    `lower_bound` is one-sided over label groups.
    """

    difference: float
    lower_bound: float | None
    confidence: float


class Threshold(msgspec.Struct, frozen=True):
    """The lowest certified threshold of the score for a risk, or None and how many more accepts it would take.

    `coverage` is the share of held-out queries accepted. `lacking_accepts` is None where no number would do.
    """

    threshold: float | None
    coverage: float
    risk_bound: float | None
    lacking_accepts: int | None
    index_size: int
    promise: str | None


class Use(msgspec.Struct, frozen=True):
    """A map in one deployment. Metrics are by the names of their columns, thresholds by risk: "0.05", "0.10", ...

    `no_map` is the raw draft's own search, by the way of `no_map_search`: that of the map, and plain in older cards.
    """

    queries: str
    index: str
    index_size: int
    quality: dict[str, Estimate]
    retention: dict[str, Estimate]
    teacher: dict[str, Estimate]
    no_map: dict[str, Estimate]
    beats_no_map: bool
    over_no_map: Difference
    score: str
    score_is: str
    confidence: float
    thresholds: dict[str, Threshold]
    no_map_search: str = PLAIN


class Fitted(msgspec.Struct, frozen=True):
    """The map of one deployment: its family, the hyperparameters, how it is searched, and what the choice rests on.

    `queries` and `index` are the kinds of the transforms of both sides. `inner` has, by family and search, the nDCG@10
    on label groups held out of the training items; what could not be measured is left out. `sample` is the number of
    queries that a search by CSLS was measured with, 0 for a plain search.
    """

    family: str
    setting: dict[str, float]
    search: str
    queries: str
    index: str
    inner: dict[str, dict[str, float]] = {}
    sample: int = 0


class Card(msgspec.Struct, frozen=True):
    """The content of W.json, and of map.json beside map.safetensors.

    `maps` holds, by deployment, which family the map is of. For the better of two recipes it is empty, and `recipe` is
    how it was fitted, and what the choice rests on: :class:`embalign.deploy.recipe.Recipe`. `relevance` is what said
    which texts are relevant: "labels", "judgements", or "teacher", its own ranking; empty in
    cards that are older.
    """

    pair: str
    draft: dict[str, Any]
    teacher: dict[str, Any]
    shape: tuple[int, int]
    rows: str
    trained_on: str
    measured_on: str
    seed: int
    config: dict[str, Any]
    deployments: dict[str, Use]
    pair_sha256: str
    sha256: str
    recipe: dict[str, Any] = {}
    relevance: str = ""
    maps: dict[str, Fitted] = {}

    def to_disk(self, path: Path) -> None:
        """Write the card as plain JSON."""
        text = json.dumps(msgspec.to_builtins(self), indent=2, allow_nan=False)
        path.write_text(text + "\n", encoding="ascii")

    @classmethod
    def from_disk(cls, path: Path) -> "Card":
        """Return the card in a file. Raises MapError."""
        remedy = "`embalign export` of this version writes it: export the map again"
        return read_json(path, MapError, remedy, cls, what="not the description of a map")

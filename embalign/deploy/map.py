"""The map of a pair as files: the map, and a card with what it is, how good it is and when to trust it."""

import dataclasses
import functools
import hashlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from embalign.alignment.arguments import described
from embalign.alignment.config import DEFAULT
from embalign.deploy import NAMES, PLAIN, SEARCHES, TWO_RECIPES
from embalign.deploy.card import Card, Fitted, Use
from embalign.deploy.choice import search_taken, take_best
from embalign.deploy.files import ARRAYS, LARGEST_MAP, MATRIX, as_arrays
from embalign.deploy.meaning import refuse_meaningless
from embalign.deploy.quality import uses_of
from embalign.deploy.recipe import fit_better
from embalign.deploy.thresholds import MOST_ASKED, search_all
from embalign.durable import check_can_be_written, move_all, sweep, writing
from embalign.errors import MapError
from embalign.evaluation import deployment as ways
from embalign.maps.choose import fitted_texts
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS
from embalign.maps.searches import MOST_SAMPLED
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair, load_pair, pair_digest
from embalign.pairs.place import refuse_pair
from embalign.readers import as_array, quoted, read_bytes
from embalign.verdicts.basis import BY_TEACHER

OTHER, BUILDING = "name another folder with --out", ".embalign-export-"
ONE_MATRIX = (TWO_RECIPES, "ridge", "cosine")  # linear, without offset, and on the draft's side alone
OF_MATRIX = "teacher dimensions: mapped = draft @ W.T for unit-length draft vectors"
OF_ARRAYS = (
    "a tensor for each deployment, side and array; affine is vectors @ weights.T + offset, of unit-length vectors"
)


@dataclass(frozen=True)
class Wanted:
    """What to export: a family of maps by name, or `matrix`, a way of searching, and the deployments that it is for.

    None stands for the best family, the best search, and every deployment that the map can be exported for.
    """

    family: str | None = None
    search: str | None = None
    deployments: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Raise MapError for what is not there to export."""
        named = [("deployment", name, DEPLOYMENTS) for name in self.deployments or ()]
        for what, name, names in (("family", self.family, NAMES), ("search", self.search, SEARCHES), *named):
            if name is not None and name not in names:
                raise MapError(f"no {what} {quoted(name)} can be exported: use {', '.join(names)}")
        if self.family == TWO_RECIPES and self.search not in (None, PLAIN):
            raise MapError(f"{TWO_RECIPES} is searched plainly: leave --search out, or name a family such as ridge")

    @property
    def searches(self) -> Sequence[str]:
        """The ways of searching to choose from: a family that is named is searched plainly unless another is asked."""
        if self.search is None:
            return SEARCHES if self.family is None else (PLAIN,)
        return (self.search,)

    @property
    def is_matrix(self) -> bool:
        """Whether the map is one matrix, the same in every deployment."""
        return self.family in ONE_MATRIX and self.searches == (PLAIN,)


BEST = Wanted()


def load_map(path: str | Path, pair: Pair) -> Vectors:
    """Return the map in an .npy file, checked against the pair's dimensions.

    Raises MapError, which is a ValueError, for a file that holds no such map.

    >>> import tempfile
    >>> pair = load_pair("benchmark/smollm2-mpnet")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/W.npy", np.eye(768, 576))
    ...     load_map(f"{folder}/W.npy", pair).shape
    (768, 576)
    """
    if not isinstance(pair, Pair):
        raise TypeError(f"pair must be what load_pair returns, found {described(pair)}")
    path = Path(path)
    shape = (pair.teacher.shape[1], pair.draft.shape[1])
    remedy = "embalign export --family matrix writes one"
    weights = as_array(read_bytes(path, MapError, remedy, LARGEST_MAP), path, MapError, remedy)
    if weights.shape != shape:
        hint = "; it is transposed: save W.T" if weights.shape == shape[::-1] else ""
        raise MapError(
            f"{path}: shape {weights.shape} does not fit {pair.name}, which needs floats of shape {shape}, one row a "
            f"teacher dimension{hint}"
        )
    if weights.dtype.kind != "f":
        raise MapError(f"{path}: numbers of type {weights.dtype.name}, and a map is of floats: W.astype('float32')")
    with np.errstate(over="ignore"):
        matrix: Vectors = weights.astype(np.float32)
    if not np.isfinite(matrix).all():
        raise MapError(f"{path}: the map holds NaN or infinite values")
    return matrix


def export_map(folder: Path, out: Path, seed: int = 0, wanted: Wanted = BEST) -> Path:
    """Fit the map of the pair in `folder`, write its file and its card into `out` and return the file's path.

    Without a family, each deployment gets the map and the search that find most inside the training items: they are in
    map.safetensors, described by map.json. `matrix`, `ridge` and `cosine`, searched plainly, give one matrix for every
    deployment, W.npy and W.json. Raises PairError for vectors that mean nothing, CorpusError for a corpus that nothing
    can be measured on, and MapError where `out` holds a map of the other format or a pair, or cannot be written.
    """
    name, other = (MATRIX, ARRAYS) if wanted.is_matrix else (ARRAYS, MATRIX)
    if (out / other).exists():
        raise MapError(f"{out / other}: a map of another format is there; remove it, or choose another folder by --out")
    refuse_pair(out, MapError)
    check_can_be_written(out, BUILDING, MapError, OTHER)
    pair = load_pair(folder).asked_by(MOST_ASKED)
    refuse_meaningless(pair)
    made = (_make_matrix if wanted.is_matrix else _make_arrays)(pair, seed, wanted)
    rows, groups = pair.holdout, len(set(pair.groups[pair.holdout.test].tolist()))
    of_groups = "groups" if pair.own_queries else "label groups"
    of_groups = "clusters" if pair.relevance == BY_TEACHER else of_groups
    card = Card(
        pair=pair.name,
        draft=msgspec.structs.asdict(pair.config.draft),
        teacher=msgspec.structs.asdict(pair.config.teacher),
        shape=(pair.teacher.shape[1], pair.draft.shape[1]),
        rows=made.rows,
        trained_on=_trained_on(pair, made.fitted_for),
        measured_on=f"{len(rows.test)} held-out queries of {groups} {of_groups}, index of the whole corpus",
        seed=seed,
        config=dataclasses.asdict(DEFAULT),
        recipe=made.recipe,
        deployments=made.uses,
        pair_sha256=pair_digest(folder),
        sha256=hashlib.sha256(made.content).hexdigest(),
        relevance=pair.relevance,
        maps=made.maps,
    )
    return _write(out / name, made.content, card)


def _write(path: Path, content: bytes, card: Card) -> Path:
    """Write a map and its card, both or neither; after a fault between two moves, the card names another digest."""
    described = path.with_suffix(".json").name
    with writing(path.parent, MapError, OTHER):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, BUILDING)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=BUILDING) as building:
            (Path(building) / path.name).write_bytes(content)
            card.to_disk(Path(building) / described)
            move_all(Path(building), path.parent, first=described)
    return path


@dataclass(frozen=True)
class _Made:
    """What is written, as the card has it; `fitted_for` are the deployments whose texts maps were fitted on."""

    content: bytes
    uses: dict[str, Use]
    maps: dict[str, Fitted]
    recipe: dict[str, Any]
    rows: str
    fitted_for: Sequence[str]


def _make_matrix(pair: Pair, seed: int, wanted: Wanted) -> _Made:
    """Make one matrix: by the better of two recipes, or of a family by its best try in the first deployment."""
    first = (wanted.deployments or DEPLOYMENTS)[0]
    names = list(wanted.deployments or ways.DEPLOYMENTS)
    if wanted.family == TWO_RECIPES:
        weights, fitted = fit_better(pair, seed)
        recipe, maps = dataclasses.asdict(fitted), {}
        first = ways.QUERY_ADAPTER
    else:
        taken = take_best(pair, [first], [FAMILIES[str(wanted.family)]], (PLAIN,), seed)[first]
        weights, recipe = taken.map.sides(first)[first != ways.QUERY_ADAPTER].arrays()["weights"], {}
        kinds = {"mapped": "affine", "teacher": "unchanged"}
        maps = {
            name: msgspec.structs.replace(taken.described(first, 0), queries=kinds[use.queries], index=kinds[use.index])
            for name, use in ways.DEPLOYMENTS.items()
            if name in names
        }
    uses = uses_of(pair, lambda task, sample: {name: search_all(weights, task)[name] for name in names})
    content = io.BytesIO()
    np.save(content, weights, allow_pickle=False)
    return _Made(content.getvalue(), uses, maps, recipe, OF_MATRIX, [first])


def _make_arrays(pair: Pair, seed: int, wanted: Wanted) -> _Made:
    """Make the best map of each deployment."""
    names = list(wanted.deployments or DEPLOYMENTS)
    families = list(FAMILIES.values()) if wanted.family is None else [FAMILIES[wanted.family]]
    taken = take_best(pair, names, families, wanted.searches, seed)
    uses = uses_of(pair, functools.partial(search_taken, taken), {name: own.search for name, own in taken.items()})
    content = as_arrays({name: own.map for name, own in taken.items()})
    maps = {name: own.described(name, min(len(pair.asking), MOST_SAMPLED)) for name, own in taken.items()}
    return _Made(
        content, {name: _in_words(use, name, maps[name]) for name, use in uses.items()}, maps, {}, OF_ARRAYS, names
    )


def _in_words(use: Use, name: str, fitted: Fitted) -> Use:
    """A use that says which of the teacher's vectors are mapped too."""
    way = ways.DEPLOYMENTS[name]
    queries = ", mapped" if way.queries == "teacher" and fitted.queries != "unchanged" else ""
    index = ", mapped" if way.index == "teacher" and fitted.index != "unchanged" else ""
    return msgspec.structs.replace(use, queries=use.queries + queries, index=use.index + index)


def _trained_on(pair: Pair, deployments: Sequence[str]) -> str:
    counts = {kind: len(pair.fitted_on(kind).train) for kind in (fitted_texts(pair, name) for name in deployments)}
    kinds = {kind: kind if pair.own_queries else "items" for kind in counts}
    seen = " and ".join(f"{count} training {kinds[kind]}" for kind, count in counts.items())
    return f"{seen}; the held-out test {' and '.join(kinds.values())} were not seen"

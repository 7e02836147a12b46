"""Which pair and which map a cutover is judged on, and which queries ask: those that the map was not fitted on."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embalign.deploy import TWO_RECIPES
from embalign.deploy.card import Card
from embalign.deploy.choice import Taken, take_best
from embalign.deploy.files import find_file, read_sides
from embalign.deploy.map import Wanted, load_map
from embalign.deploy.meaning import refuse_meaningless
from embalign.deploy.recipe import fit_better
from embalign.deploy.summary import map_line, recipe_lines
from embalign.deploy.thresholds import MOST_ASKED
from embalign.errors import MapError
from embalign.evaluation.deployment import QUERY_ADAPTER, Embedded, SearchTask, vectors_of
from embalign.evaluation.retrieval import Search
from embalign.evaluation.scorecard import map_task, search_task
from embalign.imports.build import Request, import_pair
from embalign.maps.families import FAMILIES
from embalign.maps.map import DEPLOYMENTS, Map
from embalign.maps.searches import CSLS, PLAIN, Sample, find, find_without_map, sample_of
from embalign.maps.transforms import Transform
from embalign.pairs import Vectors
from embalign.pairs.holdout import Rows
from embalign.pairs.pair import Pair, load_pair, pair_digest

NO_ROOM = "set TMPDIR to a folder with more room"
AS_IT_IS = "That it was not fitted on these rows is your word: if it was, it keeps less than this says."


@dataclass(frozen=True)
class Question:
    """What is asked: the deployment, the share of the teacher's nDCG@10 to keep, and the map.

    That is the one in a file or a folder, or, where `map` is None, the one that `embalign export` fits with this family
    and search.
    """

    deployment: str
    keep: float
    map: Path | None = None
    seed: int = 0
    family: str | None = None
    search: str | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """A map of a pair: what a task's queries find with it, what is said of it, and the rows (Q,) that ask.

    `held_out` says that they were held out of its training by this package, and `search` how the map is searched.
    """

    pair: Pair
    find: Callable[[SearchTask], Search]
    about: Sequence[str]
    asking: Rows
    held_out: bool
    search: str = PLAIN

    def find_without_map(self, task: SearchTask) -> Search:
        """Return what the raw draft's own search finds, searched as the map is."""
        return find_without_map(task, _sample(self.pair), self.search)


@contextlib.contextmanager
def opened(brought: Path | Request) -> Iterator[tuple[Path, list[str]]]:
    """Give the folder of a pair that is there, or of one made of files for as long as it is asked; and notes on it.

    Raises what an import raises. Nothing is left behind, and nothing is written beside the files.
    """
    if isinstance(brought, Path):
        yield brought, []
        return
    with tempfile.TemporaryDirectory(prefix="embalign-cutover-", ignore_cleanup_errors=True) as folder:
        made = import_pair(dataclasses.replace(brought, out=Path(folder) / "vectors", otherwise=NO_ROOM))
        yield made.out, [*made.notes, *(f"not checked: {what}" for what in made.not_checked)]


def judged_map(folder: Path, asked: Question) -> Judged:
    """Return the map of a pair as `embalign export` fits it, or the one in a file or a folder, as it is.

    Raises PairError for vectors that mean nothing, CorpusError for texts that nothing can be measured on, and MapError
    for a file that is no map of this pair.
    """
    pair = load_pair(folder).asked_by(MOST_ASKED)
    refuse_meaningless(pair)
    return _fitted(pair, asked) if asked.map is None else _given(pair, folder, asked.map, asked.deployment)


def _fitted(pair: Pair, asked: Question) -> Judged:
    name = asked.deployment
    family = asked.family or (None if name in DEPLOYMENTS else TWO_RECIPES)  # where both sides are mapped
    wanted = Wanted(family, asked.search)
    if family == TWO_RECIPES:
        weights, recipe = fit_better(pair, asked.seed)
        about = recipe_lines(dataclasses.asdict(recipe))
        return Judged(pair, _by_matrix(weights, name), about, pair.holdout.test, held_out=True)
    if name not in DEPLOYMENTS:
        raise MapError(
            f"--family {family}: in {name} both sides are mapped by one matrix; leave --family out, or name another "
            "--deployment"
        )
    families = list(FAMILIES.values()) if family is None else [FAMILIES[family]]
    taken = take_best(pair, [name], families, wanted.searches, asked.seed)[name]
    sample = _sample(pair)
    about = [map_line(taken.described(name, len(sample.draft)))]
    found = functools.partial(_by_map, taken, name, sample)
    return Judged(pair, found, about, pair.holdout.test, held_out=True, search=taken.search)


def _given(pair: Pair, folder: Path, given: Path, deployment: str) -> Judged:
    path = find_file(given) if given.is_dir() or given.suffix == ".json" else given
    described = path.with_suffix(".json")
    if path.suffix != ".safetensors" and not described.is_file():
        words = [f"map: {path.name}, as it is. {AS_IT_IS}"]
        return Judged(pair, _by_matrix(load_map(path, pair), deployment), words, _all_rows(pair), held_out=False)
    if path.suffix == ".npy":
        load_map(path, pair)  # says what does not fit the pair
    card = Card.from_disk(described)
    if card.shape != (shape := (pair.teacher.shape[1], pair.draft.shape[1])):
        raise MapError(f"{path}: made for vectors of {card.shape[::-1]} dimensions, and this pair has {shape[::-1]}")
    of_queries, of_index = read_sides(path, card, deployment)
    search = card.maps[deployment].search if deployment in card.maps else PLAIN
    found = functools.partial(_by_sides, of_queries, of_index, deployment, _sample(pair), search)
    by = " by CSLS" if search == CSLS else ""
    if card.pair_sha256 == pair_digest(folder):
        words = [f"map: {path.name}{by}, exported from this pair: what its training did not see asks"]
        return Judged(pair, found, words, pair.holdout.test, held_out=True, search=search)
    words = [f"map: {path.name}{by}, exported from other texts or vectors ({card.pair}). {AS_IT_IS}"]
    return Judged(pair, found, words, _all_rows(pair), held_out=False, search=search)


def _by_matrix(weights: Vectors, deployment: str) -> Callable[[SearchTask], Search]:
    return lambda task: search_task(task, vectors_of(deployment, map_task(weights, task), task.teacher))


def _by_map(taken: Taken, deployment: str, sample: Sample, task: SearchTask) -> Search:
    return find(taken.map, task, deployment, sample, taken.search)


def _by_sides(
    of_queries: Transform, of_index: Transform, deployment: str, sample: Sample, search: str, task: SearchTask
) -> Search:
    """What a map that was exported finds; both sides of `draft_only` are those of one matrix."""
    if deployment not in DEPLOYMENTS:
        return search_task(task, Embedded(of_queries(task.draft.queries), of_index(task.draft.index)))
    sides = (
        {"query": of_queries, "teacher_index": of_index}
        if deployment == QUERY_ADAPTER
        else {"teacher_query": of_queries, "index": of_index}
    )
    return find(Map(**sides), task, deployment, sample, search)


def _sample(pair: Pair) -> Sample:
    return sample_of(pair, np.arange(len(pair.asking)))


def _all_rows(pair: Pair) -> Rows:
    """Every row that can ask, at most as many as an export asks, in whole groups."""
    every = np.arange(len(pair.asking)) if pair.judgements is None else np.unique(pair.judgements.queries)
    texts = [text.text for text in pair.asking]
    return dataclasses.replace(pair.holdout, test=every).asked_by(MOST_ASKED, pair.groups, texts).test

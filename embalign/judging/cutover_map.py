"""Which pair and which map a cutover is judged on, and which queries ask: those that the map was not fitted on."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embalign.deploy.card import Card
from embalign.deploy.map import load_map, refuse_meaningless
from embalign.deploy.recipe import fit_better
from embalign.deploy.summary import recipe_lines
from embalign.deploy.thresholds import MOST_ASKED
from embalign.errors import MapError
from embalign.imports.build import Request, import_pair
from embalign.pairs import Vectors
from embalign.pairs.holdout import Rows
from embalign.pairs.pair import Pair, load_pair, pair_digest
from embalign.pairs.provenance import file_digest

AS_IT_IS = "That it was not fitted on these rows is your word: if it was, it keeps less than this says."


@dataclass(frozen=True, eq=False)
class Judged:
    """A map `weights` (d_teacher, d_draft) of a pair, what is said of it, and the rows (Q,) that ask.

    `held_out` says that they were held out of its training by this package.
    """

    pair: Pair
    weights: Vectors
    about: Sequence[str]
    asking: Rows
    held_out: bool


@contextlib.contextmanager
def opened(brought: Path | Request) -> Iterator[tuple[Path, list[str]]]:
    """Give the folder of a pair that is there, or of one made of files for as long as it is asked; and notes on it.

    Raises what an import raises. Nothing is left behind, and nothing is written beside the files.
    """
    if isinstance(brought, Path):
        yield brought, []
        return
    with tempfile.TemporaryDirectory(prefix="embalign-cutover-", ignore_cleanup_errors=True) as folder:
        made = import_pair(dataclasses.replace(brought, out=Path(folder) / "vectors"))
        yield made.out, [*made.notes, *(f"not checked: {what}" for what in made.not_checked)]


def judged_map(folder: Path, given: Path | None, seed: int) -> Judged:
    """Return the map of a pair as `embalign export` fits it, or the one in a file or a folder, as it is.

    Raises PairError for vectors that mean nothing, CorpusError for texts that nothing can be measured on, and MapError
    for a file that is no map of this pair.
    """
    pair = load_pair(folder).asked_by(MOST_ASKED)
    refuse_meaningless(pair)
    if given is not None:
        return _given(pair, folder, given)
    weights, recipe = fit_better(pair, seed)
    about = recipe_lines(dataclasses.asdict(recipe))
    return Judged(pair, weights, about, pair.holdout.test, held_out=True)


def _given(pair: Pair, folder: Path, given: Path) -> Judged:
    path = given / "W.npy" if given.is_dir() else given
    weights = load_map(path, pair)
    described = path.with_suffix(".json")
    if not described.is_file():
        return Judged(pair, weights, [f"map: {path.name}, as it is. {AS_IT_IS}"], _all_rows(pair), held_out=False)
    card = Card.from_disk(described)
    if card.sha256 != file_digest(path):
        raise MapError(
            f"{path}: not the map that {described.name} describes (SHA-256 differs); export both again, or move "
            f"{described.name} away to judge the map as it is"
        )
    if card.pair_sha256 == pair_digest(folder):
        words = [f"map: {path.name}, exported from this pair: what its training did not see asks"]
        return Judged(pair, weights, words, pair.holdout.test, held_out=True)
    words = [f"map: {path.name}, exported from other texts or vectors ({card.pair}). {AS_IT_IS}"]
    return Judged(pair, weights, words, _all_rows(pair), held_out=False)


def _all_rows(pair: Pair) -> Rows:
    """Every row that can ask, at most as many as an export asks, in whole groups."""
    every = np.arange(len(pair.asking)) if pair.judgements is None else np.unique(pair.judgements.queries)
    texts = [text.text for text in pair.asking]
    return dataclasses.replace(pair.holdout, test=every).asked_by(MOST_ASKED, pair.groups, texts).test

"""Vectors and texts that people bring, made into a pair: everything is checked first, and the pair is there or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embalign.errors import VectorsError
from embalign.imports.checks import (
    Seen,
    check_rows_agree,
    examine,
    labels_fit,
    refuse_equal_texts_apart,
    refuse_the_same_vectors,
)
from embalign.imports.formats import open_vectors
from embalign.imports.matching import Side, match_rows
from embalign.imports.records import write_records
from embalign.imports.stored import Stored
from embalign.imports.texts import Gathered, Named, gather, write_texts
from embalign.imports.writing import OTHER, new_folder, staging_beside
from embalign.pairs.texts import OF_QUERIES, ROLES, Texts
from embalign.readers import quoted
from embalign.verdicts.sanity import FEWEST_ROWS

MISSING = {"nan", "NaN", "<NA>", "NaT", "null", "NULL", "#N/A"}  # what libraries and sheets write for no label
UNRELATED_LABELS = 3.0  # standard deviations above labels at random


@dataclass(frozen=True)
class Request:
    """What a user brings: `vectors` by part (draft, teacher, draft_queries, teacher_queries), texts, models' names.

    `otherwise` is what to do if nothing can be written at `out`.
    """

    vectors: Mapping[str, str]
    out: Path
    named: Named = field(default_factory=Named)
    models: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = OTHER


@dataclass(frozen=True, eq=False)
class Imported:
    """A pair that was made: its texts, the vectors of each part, what was seen of them, and what was not checked.

    `agreement` says by how many standard deviations rows of draft and teacher agree better than at random.
    """

    out: Path
    gathered: Gathered
    texts: Texts
    sides: Mapping[str, Side]
    seen: Mapping[str, Seen]
    agreement: float
    not_checked: Sequence[str]
    notes: Sequence[str]


def import_pair(asked: Request) -> Imported:
    """Make a pair of vectors that are there already, in a folder that is not.

    Raises PairError, VectorsError or CorpusError, and then nothing is left behind.
    """
    with new_folder(asked.out, asked.otherwise) as building, staging_beside(building) as staging:
        stored = {part: open_vectors(given, staging) for part, given in asked.vectors.items()}
        _refuse_the_same(stored)
        gathered = gather(asked.named, stored)
        sides = _of_items(stored, gathered)
        texts = write_texts(building, asked.named, gathered)
        if asked.named.queries is not None:
            sides |= _of_queries(stored, texts, str(asked.named.queries))
        seen = {part: examine(side, _ids(texts, part), texts.embedded(part)) for part, side in sides.items()}
        if gathered.written:
            for part, side in sides.items():
                refuse_equal_texts_apart(side, _ids(texts, part), texts.embedded(part))
        refuse_the_same_vectors(sides["draft"], sides["teacher"])
        agreement, not_checked = _check_agreement(sides, texts, gathered)
        notes = [*gathered.notes, *_about_labels(sides["teacher"], texts)]
        if not gathered.written:
            not_checked.append("near-duplicates on both sides of the split: the items are ids, without texts")
        write_records(building, sides, seen, asked.models)
    return Imported(asked.out, gathered, texts, sides, seen, agreement, not_checked, notes)


def _of_items(stored: Mapping[str, Stored], gathered: Gathered) -> dict[str, Side]:
    """Return the vectors of both sides in the order of the items; the teacher has none of style variants."""
    every = [item.id for item in gathered.items]
    plain = [item.id for item in gathered.items if item.style is None]
    return {
        "draft": match_rows(stored["draft"], gathered.rows["draft"], every, gathered.whose),
        "teacher": match_rows(stored["teacher"], gathered.rows["teacher"], plain, gathered.whose),
    }


def _of_queries(stored: Mapping[str, Stored], texts: Texts, whose: str) -> dict[str, Side]:
    ids = [query.id for query in texts.queries]
    sides = {}
    for role in ROLES:
        part = role + OF_QUERIES
        if stored[part].dimension != stored[role].dimension:
            raise VectorsError(
                f"{stored[part].shown}: queries of dimension {stored[part].dimension}, and {stored[role].shown} has "
                f"{stored[role].dimension}; embed both with one model"
            )
        sides[part] = match_rows(stored[part], stored[part].ids, ids, whose)
    return sides


def _ids(texts: Texts, part: str) -> list[str]:
    if part.endswith(OF_QUERIES):
        return [query.id for query in texts.queries]
    return [item.id for item in (texts.items if part == "draft" else texts.plain)]


def _check_agreement(sides: Mapping[str, Side], texts: Texts, gathered: Gathered) -> tuple[float, list[str]]:
    """Return how well rows of draft and teacher agree, and what of it could not be told. Raises VectorsError."""
    remedy = "embed both from one file of texts, or name the ids of each side's rows with --draft-ids and --teacher-ids"
    if all(gathered.rows.values()):
        remedy = "check that the ids are those of the rows, in the order of the rows"
    plain = np.flatnonzero([item.style is None for item in texts.items])
    draft = sides["draft"] if len(plain) == len(texts.items) else sides["draft"].of(plain)
    found = check_rows_agree(draft, sides["teacher"], remedy)
    not_checked = []
    if "draft_queries" in sides:
        if len(texts.queries) < FEWEST_ROWS:
            not_checked.append(f"whether the rows of both sides' queries belong together: fewer than {FEWEST_ROWS}")
        else:
            check_rows_agree(sides["draft_queries"], sides["teacher_queries"], "embed both from one file of queries")
    return found["z"], not_checked


def _about_labels(teacher: Side, texts: Texts) -> Iterator[str]:
    labels = [item.label for item in texts.plain]
    if missing := [label for label in labels if label in MISSING]:
        yield (
            f"{len(missing):,} text(s) have the label {quoted(missing[0])}, as if it were missing, and would find each "
            "other; if it is, correct it and import again"
        )
    if not texts.queries and any(labels) and labels_fit(teacher, labels) < UNRELATED_LABELS:
        yield (
            "texts of one label are no more alike for the teacher than texts at random: labels and rows may be in "
            "different orders; check them"
        )


def _refuse_the_same(stored: Mapping[str, Stored]) -> None:
    for suffix in ("", OF_QUERIES):
        sides = [stored[role + suffix] for role in ROLES if role + suffix in stored]
        if len(sides) == 2 and sides[0].path.samefile(sides[1].path) and sides[0].name == sides[1].name:
            raise VectorsError(
                f"{sides[0].shown}: named for draft and teacher; name the vectors of another model for one"
            )

"""Which row belongs to which text: by id where both say so, by position only where nothing does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.errors import CorpusError, VectorsError
from embalign.imports.entries import Entries, Entry
from embalign.imports.names import Labels, row_numbers
from embalign.imports.stored import Floats, Stored
from embalign.readers import quoted

EXAMPLES = 3
Order = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Side:
    """Vectors of one file in the order of the texts: text i has row `order[i]`, or row i where `order` is None."""

    stored: Stored
    order: Order | None

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.stored) if self.order is None else len(self.order)

    def read(self, start: int, stop: int) -> Floats:
        """Return the vectors of the texts from `start` to before `stop`, as the file has them."""
        return self.stored.read(slice(start, stop) if self.order is None else self.order[start:stop])

    def row(self, text: int) -> int:
        """Return the row of a text in the file."""
        return text if self.order is None else int(self.order[text])

    def of(self, texts: Order) -> Side:
        """Return the side of these texts alone."""
        return Side(self.stored, texts if self.order is None else self.order[texts])


def match_rows(stored: Stored, ids: Sequence[str] | None, wanted: Sequence[str], whose: str) -> Side:
    """Return the vectors in the order of the `wanted` ids, those `whose` says.

    Without `ids` of the rows their order is taken for that of the texts. Raises VectorsError for another number of
    rows, and for ids that are missing, used twice or too many.
    """
    if ids is None:
        if len(stored) != len(wanted):
            transposed = "; it seems to be transposed, save array.T" if stored.dimension == len(wanted) else ""
            raise VectorsError(
                f"{stored.shown}: {len(stored):,} rows, and {whose} {len(wanted):,}{transposed or '; ' + _BY_ID}"
            )
        return Side(stored, None)
    if len(ids) != len(stored):
        raise VectorsError(
            f"{stored.shown}: {len(stored):,} rows, and {len(ids):,} ids are given for them; name one per row"
        )
    if list(ids) == list(wanted):
        return Side(stored, None)
    return Side(stored, places(ids, wanted, f"the rows of {stored.shown}", whose))


_BY_ID = "each text needs one row in each file; embed the same texts with both models"


def places(ids: Sequence[str], wanted: Sequence[str], there: str, whose: str) -> Order:
    """Return the place in `ids` of each of the `wanted` ids. Raises VectorsError unless both are the same set."""
    check_differ(ids, there)
    place = {name: row for row, name in enumerate(ids)}
    missing = [name for name in wanted if name not in place]
    if missing:
        raise VectorsError(
            f"{len(missing):,} of {len(wanted):,} ids of {whose} are not among {there}, as {examples(missing)}"
            f"{_no_common(missing, wanted, ids)}; each text needs its row"
        )
    if len(place) > len(wanted):
        known = set(wanted)
        more = [name for name in ids if name not in known]
        raise VectorsError(
            f"{len(more):,} of {len(ids):,} ids of {there} are not among those of {whose}, as {examples(more)}; remove "
            "these rows"
        )
    return np.fromiter((place[name] for name in wanted), np.int64, len(wanted))


def check_differ(ids: Sequence[str], there: str) -> None:
    """Raise VectorsError for ids that are used twice."""
    if len(set(ids)) < len(ids):
        twice = [name for name, times in Counter(ids).items() if times > 1]
        raise VectorsError(
            f"{len(twice):,} id(s) of {there} used more than once, as {examples(twice)}; each row needs an id of its "
            "own"
        )


def label_each(labels: Labels, ids: Sequence[str], entries: Sequence[Entry]) -> Sequence[str]:
    """Return the label of each text; a style variant, known by its entry, may have that of its base.

    Raises CorpusError for ids without a label and for labels of ids that are not there.
    """
    if labels.ids is None:
        return labels.values
    if list(ids) == list(labels.ids):
        return labels.values
    try:
        check_differ(labels.ids, str(labels.path))
    except VectorsError as error:
        raise CorpusError(str(error)) from None
    of = dict(zip(labels.ids, labels.values, strict=True))
    of |= {entry.id: of[entry.base] for entry in entries if entry.base in of and entry.id not in of}
    missing = [name for name in ids if name not in of]
    if missing:
        raise CorpusError(
            f"{labels.path}: no label for {len(missing):,} of {len(ids):,} ids, as {examples(missing)}"
            f"{_no_common(missing, ids, labels.ids)}; label each, or none"
        )
    if len(of) > len(ids) or not of.keys() <= set(ids):
        known = set(ids)
        more = [name for name in of if name not in known]
        raise CorpusError(
            f"{labels.path}: {len(more):,} of {len(of):,} ids are not among the texts, as {examples(more)}; remove "
            "these lines"
        )
    return [of[name] for name in ids]


def ids_of_texts(
    corpus: Entries | None,
    shared: Sequence[str] | None,
    sides: Sequence[Sequence[str] | None],
    labels: Labels | None,
    count: int,
) -> list[str]:
    """Return the ids of the texts in their order: the corpus' own, the rows' own, the labels', or row numbers.

    `shared` are ids for both sides, `sides` those of draft and teacher. Raises CorpusError or VectorsError where they
    do not say which row is which text.
    """
    if corpus is not None and corpus.ids is not None:
        return corpus.ids
    if corpus is None and shared is None and any(sides):
        if any(ids is None for ids in sides):
            raise VectorsError(
                "the rows of one side have ids and those of the other have none; name them with --draft-ids and "
                "--teacher-ids, or with --ids for both"
            )
        shared = sides[0]
    elif corpus is not None and shared is None and any(sides):
        raise CorpusError(
            f"{corpus.path}: its texts have no ids, so rows cannot be matched by id; give each line its id"
        )
    size = count if corpus is None else len(corpus.all)
    if shared is not None:
        if corpus is not None and len(shared) != size:
            raise CorpusError(
                f"{corpus.path}: {size:,} texts without ids, and {len(shared):,} ids; give each line its id"
            )
        return list(shared)
    if labels is not None and labels.ids is not None:
        check_differ(labels.ids, str(labels.path))
        if len(labels.ids) != size:
            raise CorpusError(
                f"{labels.path}: {len(labels.ids):,} labels by id, and there are {size:,} texts, without ids; label "
                "each, and name the ids of the rows with --ids"
            )
        if found := row_numbers(labels.ids):
            return found
        if corpus is None:
            return list(labels.ids)
    return [str(number) for number in range(size)]


def examples(names: Sequence[str]) -> str:
    """Return the first of some ids for a message."""
    return ", ".join(map(quoted, names[:EXAMPLES])) + (", ..." if len(names) > EXAMPLES else "")


def _no_common(missing: Sequence[str], wanted: Sequence[str], ids: Sequence[str]) -> str:
    return f" (there are {examples(ids)})" if len(missing) == len(wanted) and ids else ""

"""Do the vectors mean anything? Values row by row, in blocks, then whether the rows of both sides belong together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embalign.errors import VectorsError
from embalign.evaluation.mantel import PAIRINGS, measure
from embalign.imports.matching import Order, Side
from embalign.imports.stored import Floats
from embalign.pairs import Vectors
from embalign.pairs.equal_vectors import equal_vectors
from embalign.pairs.meaning import LARGEST_READ, MOST_SHARED
from embalign.readers import quoted
from embalign.verdicts.sanity import FEWEST_ROWS, suspect_vectors

BLOCK_VALUES = 2**20  # that are held at once
SAMPLED = 2**22  # values that are looked through for equal vectors, of files that a run does not look through either
NOT_FINITE, ZERO = "values that are not finite (NaN or infinite)", "zeros alone"
COPIES, COPY = 1000, 0.98  # copies of texts that are compared, and the cosine that servers give a text in any company
LABELS, LABEL_ROWS = 200, 10  # that are compared
UNIT = 1e-3  # from 1: within the rounding of float16


@dataclass(frozen=True)
class Seen:
    """What was seen of one side's vectors: the shortest and longest, and how many of `texts` share their vector."""

    least: float
    most: float
    shared: int
    texts: int

    @property
    def normalised(self) -> bool:
        """Whether the vectors are of length 1 as they are."""
        return abs(self.least - 1) <= UNIT and abs(self.most - 1) <= UNIT


def examine(side: Side, ids: Sequence[str], texts: Sequence[str]) -> Seen:
    """Return what was seen of a side's vectors after a look at every value; `ids` and `texts` are those of its texts.

    Raises VectorsError for rows that are not finite or zero, and where most texts share their vector with another text.
    Of large files that is looked for in evenly spaced rows.
    """
    first: dict[str, int] = {}
    counts = dict.fromkeys((NOT_FINITE, ZERO), 0)
    least, most = np.inf, 0.0
    for start, block in blocks(side):
        finite = np.asarray(np.isfinite(block).all(axis=1, keepdims=True))
        lengths = lengths_of(np.where(finite, block, 1))
        for kind, rows in ((NOT_FINITE, ~finite[:, 0]), (ZERO, lengths == 0)):
            if rows.any():
                first.setdefault(kind, start + int(rows.argmax()))
                counts[kind] += int(rows.sum())
        least, most = min(least, float(lengths.min())), max(most, float(lengths.max()))
    for kind, text in first.items():
        raise VectorsError(
            f"{side.stored.shown}: row {side.row(text)} (from 0, id {quoted(ids[text])}) has {kind}; {counts[kind]:,} "
            f"of {len(side):,} rows have; embed these texts again, or remove them on both sides"
        )
    values = len(side) * side.stored.dimension
    size = len(side) if values <= LARGEST_READ // 2 else max(1, SAMPLED // side.stored.dimension)
    some = np.unique(np.linspace(0, len(side) - 1, size).astype(np.int64))
    equal = equal_vectors([texts[text] for text in some.tolist()], OfLength1(side)[some])
    if equal.affected > MOST_SHARED * equal.texts:
        one, other = equal.different[0][:2]
        raise VectorsError(
            f"{side.stored.shown}: {equal.affected:,} of {equal.texts:,} texts share their vector with another text, "
            f"as {quoted(one)} and {quoted(other)}; check the model, its pooling and where it cuts texts"
        )
    return Seen(least, most, equal.affected, equal.texts)


def refuse_equal_texts_apart(side: Side, ids: Sequence[str], texts: Sequence[str]) -> None:
    """Raise VectorsError where most texts that are there twice have two vectors: then the texts are of other rows."""
    first: dict[str, int] = {}
    pairs = [(first[text], place) for place, text in enumerate(texts) if first.setdefault(text, place) != place]
    if not pairs:
        return
    one, other = np.array(pairs[:: len(pairs) // COPIES + 1], np.int64).T
    alike = np.einsum("nd,nd->n", OfLength1(side)[one], OfLength1(side)[other])
    apart = alike < COPY
    if apart.sum() > len(apart) / 2:
        place = int(apart.argmax())
        both = f"{quoted(ids[one[place]])} and {quoted(ids[other[place]])}"
        raise VectorsError(
            f"{side.stored.shown}: {both} have the same text and other vectors (cosine {alike[place]:.2f}), as have "
            f"{int(apart.sum())} of {len(apart)} copies of a text; bring texts and rows into one order"
        )


def check_rows_agree(draft: Side, teacher: Side, remedy: str) -> dict[str, float]:
    """Return how well the rows of both sides agree on which texts are alike, as Mantel's test says of a thousand.

    Raises VectorsError where they do not seem to belong to the same texts, in a part or at all, or are too few to tell.
    """
    found = measure(OfLength1(draft), OfLength1(teacher))
    if not (suspicions := suspect_vectors({}, found)):
        return found
    first = suspicions[0]
    rows = f"{draft.stored.shown} and {teacher.stored.shown}"
    if not first.fatal:
        raise VectorsError(
            f"{rows}: {len(draft)} rows are too few to tell whether they belong to the same texts; import at "
            f"least {FEWEST_ROWS}"
        )
    order = "one side seems to be in another order"
    if found["shift"]:
        order = (
            f"from some row on one side seems to be shifted by {abs(int(found['shift']))}, as if a line were missing"
        )
    raise VectorsError(f"{rows}: {first.words.partition('. ')[0]}; {order}; {remedy}")


def labels_fit(teacher: Side, labels: Sequence[str | None]) -> float:
    """Return how much more alike texts of one label are for the teacher than texts at random: standard deviations.

    At most ten texts of each of two hundred labels are looked at; infinite where no label has two texts.
    """
    rows_of: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        if label is not None and len(found := rows_of.setdefault(label, [])) < LABEL_ROWS:
            found.append(row)
    several = [rows for rows in rows_of.values() if len(rows) > 1]
    some = [several[i] for i in np.unique(np.linspace(0, len(several) - 1, min(len(several), LABELS)).astype(int))]
    if len(some) < 2:
        return np.inf
    starts = np.cumsum([0, *(len(rows) for rows in some[:-1])])
    vectors = OfLength1(teacher)[np.concatenate([np.array(rows, np.int64) for rows in some])].astype(np.float64)
    vectors -= vectors.mean(axis=0)

    def alike(order: Order) -> float:
        return float((np.add.reduceat(vectors[order], starts) ** 2).sum())

    rng = np.random.default_rng(0)
    chance = [alike(rng.permutation(len(vectors))) for _ in range(PAIRINGS)]
    return float((alike(np.arange(len(vectors))) - np.mean(chance)) / max(float(np.std(chance)), 1e-12))


def refuse_the_same_vectors(draft: Side, teacher: Side) -> None:
    """Raise VectorsError where both sides have one vector for each text, but for its length, of a hundred texts."""
    if draft.stored.dimension != teacher.stored.dimension or len(draft) != len(teacher):
        return
    some = np.linspace(0, len(draft) - 1, min(len(draft), 100)).astype(np.int64)
    if np.allclose(OfLength1(draft)[some], OfLength1(teacher)[some], atol=UNIT):
        both = f"{draft.stored.shown} and {teacher.stored.shown}"
        raise VectorsError(f"{both} hold the same vectors; name those of another model for one side")


def blocks(side: Side) -> Iterator[tuple[int, Floats]]:
    """Yield the vectors of a side in blocks, each with the number of its first text."""
    size = max(1, BLOCK_VALUES // side.stored.dimension)
    for start in range(0, len(side), size):
        yield start, side.read(start, min(start + size, len(side)))


def lengths_of(block: Floats) -> NDArray[np.float64]:
    """Return the lengths of vectors (n,), without overflow."""
    largest = np.abs(block).max(axis=1, keepdims=True)
    scaled = block / np.where(largest > 0, largest, 1)
    lengths: NDArray[np.float64] = largest[:, 0].astype(np.float64) * np.sqrt(
        np.einsum("nd,nd->n", scaled, scaled, dtype=np.float64)
    )
    return lengths


def of_length_1(block: Floats) -> Vectors:
    """Return vectors, none of them zero, at length 1, float32."""
    largest = np.abs(block).max(axis=1, keepdims=True)
    scaled = block / largest
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    vectors: Vectors = scaled.astype(np.float32, copy=False)
    return vectors


@dataclass(frozen=True)
class OfLength1:
    """A side's vectors at length 1, read by rows."""

    side: Side

    def __len__(self) -> int:
        return len(self.side)

    def __getitem__(self, rows: Order) -> Vectors:
        order = self.side.order
        return of_length_1(self.side.stored.read(rows if order is None else order[rows]))

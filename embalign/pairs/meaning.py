"""Data that can be read and mean nothing: vectors that are all alike, one text under several labels."""

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embalign.errors import CorpusError, PairError
from embalign.pairs.corpus import Item, Unwritten
from embalign.pairs.equal_vectors import equal_vectors
from embalign.pairs.provenance import vectors_path
from embalign.pairs.queries import Query
from embalign.pairs.texts import Texts
from embalign.pairs.vectors import check_vectors_file, read_vectors

LARGEST_READ = 64 * 2**20  # bytes of a vectors file whose values are checked before the first cell
MOST_SHARED = 0.5  # of the texts, whose vector is another text's too
MOST_CONFLICTS = 0.05  # of the texts, that have several labels
SHOWN = 60

Values = dict[str, set[str]]  # of each text, but for its spelling


def check_part(folder: Path, part: str, texts: Sequence[str], provenance: Mapping[str, Any]) -> None:
    """Raise PairError for a vectors file that cannot be used or whose vectors do not tell its texts apart.

    The values of a file of more than 64 MiB are checked when it is loaded, by :func:`read_vectors`.
    """
    path = vectors_path(folder, part)
    if path.is_file() and path.stat().st_size > LARGEST_READ:
        check_vectors_file(folder, part, len(texts), provenance)
        return
    equal = equal_vectors(texts, read_vectors(folder, part, len(texts), provenance))
    if equal.affected > MOST_SHARED * equal.texts:
        raise PairError(
            f"{path}: {equal.affected} of {equal.texts} texts share their vector with another text, as "
            f"{_shown(equal.different[0][0])} and {_shown(equal.different[0][1])}, so they mean nothing; check how "
            "the vectors were made, or move them and provenance.json away and rerun to embed the pair"
        )


def check_labels_agree(texts: Texts) -> None:
    """Raise CorpusError if more than 5 % of the texts stand under several labels."""
    conflicts, count = _conflicts(texts)
    if len(conflicts) > MOST_CONFLICTS * count:
        text, labels = next(iter(conflicts.items()))
        raise CorpusError(
            f"{len(conflicts)} of {count} texts stand under several labels, as {_shown(text)} under "
            f"{' and '.join(map(repr, sorted(labels)[:2]))}; give each text one label"
        )


def remarks(texts: Texts) -> list[str]:
    """Return a line for each thing that is odd about the texts and no error."""
    lines = []
    labels, spellings = _labels_and_spellings(texts)
    conflicts, twins = _more_than_one(labels), _more_than_one(spellings)
    if conflicts:
        text, names = next(iter(conflicts.items()))
        lines.append(
            f"{len(conflicts)} text(s) stand under several labels, as {_shown(text)} under "
            f"{' and '.join(map(repr, sorted(names)[:2]))}: a text that is right for one is wrong for the other"
        )
    if found := [sorted(group) for group in twins.values()]:
        lines.append(
            f"{len(found)} text(s) are there in several spellings that look alike (Unicode NFC and NFD, or spaces), as "
            f"{found[0][0][:SHOWN]!a} and {found[0][1][:SHOWN]!a}: each is embedded; normalise the corpus"
        )
    return lines


def _conflicts(texts: Texts) -> tuple[Values, int]:
    """Return the labels of each text that has several, and the number of distinct texts."""

    def labelled() -> Iterator[tuple[str, str]]:
        return ((_normal(item.text), label) for item in texts.plain if (label := _label_of(item)) is not None)

    twice, count = _twice(key for key, _ in labelled())
    found: Values = {}
    for key, label in labelled() if twice else ():
        if hash(key) in twice:
            found.setdefault(key, set()).add(label)
    return _more_than_one(found), count


def _labels_and_spellings(texts: Texts) -> tuple[Values, Values]:
    """Return labels, and spellings, of the texts that are there more than once but for their spelling."""

    def every() -> Iterator[Item | Query]:
        return itertools.chain(texts.items, texts.queries)

    twice, _ = _twice(_normal(each.text) for each in every())
    labels: Values = {}
    spellings: Values = {}
    for each in every() if twice else ():
        key = _normal(each.text)
        if hash(key) in twice:
            spellings.setdefault(key, set()).add(each.text)
            if isinstance(each, Item) and each.style is None and (label := _label_of(each)) is not None:
                labels.setdefault(key, set()).add(label)
    return labels, spellings


def _label_of(item: Item) -> str | None:
    """The label that a text stands under; an id in place of one stands under none."""
    return None if isinstance(item.text, Unwritten) else item.label


def _twice(keys: Iterable[str]) -> tuple[set[int], int]:
    """Return the 64-bit hashes that occur twice among those of the keys, and the number of different ones.

    So keys need not be held: nearly all of many texts are there once.
    """
    hashes, counts = np.unique(np.fromiter(map(hash, keys), np.int64), return_counts=True)
    return set(hashes[counts > 1].tolist()), len(hashes)


def _more_than_one(values: Values) -> Values:
    return {key: found for key, found in values.items() if len(found) > 1}


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")

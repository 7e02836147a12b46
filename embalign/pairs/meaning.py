"""Data that can be read and mean nothing: vectors that are all alike, one text under several labels."""

import itertools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embalign.errors import CorpusError, PairError
from embalign.pairs.corpus import Unwritten
from embalign.pairs.equal_vectors import equal_vectors
from embalign.pairs.provenance import vectors_path
from embalign.pairs.texts import Texts
from embalign.pairs.vectors import check_vectors_file, read_vectors

LARGEST_READ = 64 * 2**20  # bytes of a vectors file whose values are checked before the first cell
MOST_SHARED = 0.5  # of the texts, whose vector is another text's too
MOST_CONFLICTS = 0.05  # of the texts, that have several labels
SHOWN = 60


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
    conflicts, _ = _conflicts(texts)
    if conflicts:
        text, labels = next(iter(conflicts.items()))
        lines.append(
            f"{len(conflicts)} text(s) stand under several labels, as {_shown(text)} under "
            f"{' and '.join(map(repr, sorted(labels)[:2]))}: a text that is right for one is wrong for the other"
        )
    twins, _ = _several(
        lambda: (
            (_normal(text), text)
            for text in itertools.chain((item.text for item in texts.items), (query.text for query in texts.queries))
        )
    )
    if found := [sorted(group) for group in twins.values()]:
        lines.append(
            f"{len(found)} text(s) are there in several spellings that look alike (Unicode NFC and NFD, or spaces), as "
            f"{found[0][0][:SHOWN]!a} and {found[0][1][:SHOWN]!a}: each is embedded; normalise the corpus"
        )
    return lines


def _conflicts(texts: Texts) -> tuple[dict[str, set[str]], int]:
    """Return the labels of each text that has several, and the number of distinct texts."""
    return _several(
        lambda: (
            (_normal(item.text), item.label)
            for item in texts.plain
            if item.label is not None and not isinstance(item.text, Unwritten)
        )
    )


def _several(pairs: Callable[[], Iterable[tuple[str, str]]]) -> tuple[dict[str, set[str]], int]:
    """Return the values of each key that has several, in the order of their first, and the number of keys.

    Keys are held only if their 64-bit hash occurs twice: nearly all of many texts are there once.
    """
    hashes, counts = np.unique(np.fromiter((hash(key) for key, _ in pairs()), np.int64), return_counts=True)
    twice = set(hashes[counts > 1].tolist())
    found: dict[str, set[str]] = {}
    for key, value in pairs() if twice else ():
        if hash(key) in twice:
            found.setdefault(key, set()).add(value)
    return {key: values for key, values in found.items() if len(values) > 1}, len(hashes)


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")

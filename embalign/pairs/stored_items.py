"""The items of a corpus that has too many to hold: each is read from its line when it is asked for.

They are checked once, line by line, and nothing of a text is kept but where it begins, in a temporary file.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from embalign.errors import CorpusError
from embalign.pairs.corpus import LONGEST_LINE, Item, opened_texts, parse_document, parse_item
from embalign.pairs.picked import MANY
from embalign.pairs.stored_arrays import stored
from embalign.readers import MEBI

SHORTEST = len('{"id":"1","text":"a"}\n')  # bytes of a line

Rows = NDArray[np.int64]


class StoredItems(Sequence[Item]):
    """Items of a corpus file, in its order: plain ones with a text each, all with a label or none of them.

    A slice is a tuple of items. It is pickled as a tuple of all.
    """

    def __init__(self, path: Path, starts: Rows, parse: Callable[[str, str], Item], *, labelled: bool) -> None:
        self.labelled = labelled
        self._path, self._starts, self._parse = path, starts, parse
        with opened_texts(path) as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        """Number of items."""
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        """Return the item at a place, or those of a slice."""
        if isinstance(place, slice):
            return tuple(self._at(start) for start in self._starts[place].tolist())
        return self._at(int(self._starts[place]))

    def __iter__(self) -> Iterator[Item]:
        """Yield the items."""
        for start in range(0, len(self), MEBI):
            yield from (self._at(place) for place in self._starts[start : start + MEBI].tolist())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the items, not their place: the folder may not be where they are read."""
        return tuple, (tuple(self),)

    def _at(self, start: int) -> Item:
        end = self._lines.find(b"\n", start)
        line = self._lines[start : end if end >= 0 else len(self._lines)]
        return self._parse(line.decode().removesuffix("\r"), str(self._path))


class StoredTexts(Sequence[str]):
    """The texts of stored items, or of some of them; a slice is a list."""

    def __init__(self, items: StoredItems, rows: Rows | None = None) -> None:
        self._items = items
        self._rows = np.arange(len(items)) if rows is None else rows

    def __len__(self) -> int:
        """Number of texts."""
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        """Return the text at a place, or those of a slice."""
        if isinstance(place, slice):
            return [self._items[row].text for row in self._rows[place].tolist()]
        return self._items[int(self._rows[place])].text

    def pick(self, rows: Rows) -> StoredTexts:
        """Return some of the texts."""
        return StoredTexts(self._items, self._rows[rows])


def some(texts: Sequence[str], rows: Rows) -> Sequence[str]:
    """Return some of the texts, given by their places."""
    return texts.pick(rows) if isinstance(texts, StoredTexts) else [texts[row] for row in rows.tolist()]


def stored_items(path: Path, *, searched: bool) -> StoredItems | None:
    """Return the items of a corpus of more than 65,536 lines; None for a smaller one, or one that cannot be so stored.

    That is one with style variants, with ids alone, with faults: :func:`embalign.pairs.corpus.read_corpus` reads it, or
    says what is wrong.
    """
    if not os.path.isfile(path) or os.path.getsize(path) <= MANY * SHORTEST:
        return None
    parse = parse_document if searched else parse_item
    starts, ids, labelled, place = array("q"), array("q"), 0, 0
    with opened_texts(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                return None
            if line.strip():
                try:
                    item = parse(line.decode().removesuffix("\n").removesuffix("\r"), "")
                except (CorpusError, UnicodeDecodeError):  # also of a byte order mark
                    return None
                if item.style is not None or not item.text:
                    return None
                starts.append(place)
                ids.append(hash(item.id))
                labelled += item.label is not None
            place += len(line)
    count = len(starts)
    if count <= MANY or _some_equal(ids) or (not searched and labelled not in (0, count)):
        return None
    return StoredItems(path, stored(np.frombuffer(starts, np.int64)), parse, labelled=labelled > 0)


def _some_equal(numbers: array[int]) -> bool:
    """Whether a number occurs twice. Sorts them in place."""
    ordered = np.frombuffer(numbers, np.int64)
    ordered.sort()
    return bool((ordered[1:] == ordered[:-1]).any())

"""The texts of the new pair: ids, labels and queries put together from what was brought, checked as a run does."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from embalign.errors import CorpusError
from embalign.imports.entries import Entries, Entry, read_entries
from embalign.imports.matching import check_differ, ids_of_texts, label_each
from embalign.imports.names import Labels, read_ids, read_labels, row_numbers
from embalign.imports.stored import Stored
from embalign.imports.writing import write_bytes, write_lines
from embalign.pairs.corpus import Item, Unwritten
from embalign.pairs.holdout import check_texts
from embalign.pairs.meaning import check_labels_agree
from embalign.pairs.queries import Judgements, Query, read_queries
from embalign.pairs.texts import ROLES, Texts
from embalign.readers import quoted, read_bytes

CORPUS, QUERIES, QRELS = "corpus.jsonl", "queries.jsonl", "qrels.tsv"
LARGEST_QRELS = 1024 * 2**20


@dataclass(frozen=True)
class Named:
    """The files of texts that a user names; None for those that are not there. `ids` hold for both sides."""

    corpus: Path | None = None
    labels: Path | None = None
    ids: Path | None = None
    side_ids: dict[str, Path] = field(default_factory=dict)
    queries: Path | None = None
    qrels: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All of them that are named."""
        named = (self.corpus, self.labels, self.ids, *self.side_ids.values(), self.queries, self.qrels)
        return [path for path in named if path is not None]


@dataclass(frozen=True)
class Gathered:
    """The items of a pair in their order, and by side the ids of its rows, None where rows are in that order.

    `whose` names the file that the items are from, `written` says whether they have texts.
    """

    items: Sequence[Item]
    rows: dict[str, Sequence[str] | None]
    whose: str
    written: bool
    notes: Sequence[str] = ()

    @property
    def labels(self) -> int:
        """The number of different labels, 0 without."""
        return len({item.label for item in self.items} - {None})

    @property
    def alone(self) -> int:
        """The number of plain items whose label no other one has."""
        sizes = Counter(item.label for item in self.items if item.style is None and item.label is not None)
        return sum(size == 1 for size in sizes.values())


def gather(named: Named, stored: dict[str, Stored]) -> Gathered:
    """Return the items that rows of both sides belong to. Raises CorpusError or VectorsError."""
    corpus = None if named.corpus is None else read_entries(named.corpus, "corpus")
    draft = stored["draft"]
    shared = None if named.ids is None else read_ids(named.ids, len(draft), draft.shown)
    own = {role: _ids_of(named, stored[role], role) for role in ROLES}
    size = len(draft) if corpus is None else len(corpus.all)
    labels = None if named.labels is None else read_labels(named.labels, size)
    ids = ids_of_texts(corpus, shared, [own[role] for role in ROLES], labels, size)
    check_differ(ids, "the texts")
    entries = itertools.repeat(Entry(""), len(ids)) if corpus is None else corpus.all
    written = corpus is not None and corpus.written
    given = None if labels is None else label_each(labels, ids, [] if corpus is None else corpus.all)
    items = []
    for place, (name, entry) in enumerate(zip(ids, entries, strict=True)):
        text = entry.text if written else (name := Unwritten(name))  # one object for both: there may be millions
        items.append(Item(name, text, entry.label if given is None else given[place], entry.style, entry.base))
    if corpus is not None:
        _check_corpus(corpus, items, with_queries=named.queries is not None)
    if named.queries is None:
        _check_groups([item.label for item in items if item.style is None], named.labels or named.corpus)
    rows: dict[str, Sequence[str] | None] = {role: own[role] if shared is None else shared for role in ROLES}
    whose = draft.shown if corpus is None else str(corpus.path)
    return Gathered(items, rows, whose, written, list(_notes(corpus, labels, rows)))


def write_texts(folder: Path, named: Named, gathered: Gathered) -> Texts:
    """Write corpus, queries and judgements into a new pair's folder and return them, checked. Raises CorpusError."""
    write_lines(
        folder / CORPUS,
        (
            {
                "id": item.id,
                "text": None if isinstance(item.text, Unwritten) else item.text,
                "label": item.label,
                "style": item.style,
                "base": item.base,
            }
            for item in gathered.items
        ),
    )
    texts = Texts(gathered.items)
    if named.queries is not None:
        texts = Texts(gathered.items, *_write_queries(folder, named.queries, named.qrels, gathered.items))
    if gathered.labels or texts.judgements is not None:
        check_texts(texts)
    check_labels_agree(texts)
    return texts


def _write_queries(
    folder: Path, path: Path, qrels: Path | None, items: Sequence[Item]
) -> tuple[list[Query], Judgements | None]:
    entries = read_entries(path, "file of queries")
    if entries.ids is None or not entries.written:
        raise CorpusError(f"{path}: each query needs an id and a text")
    write_lines(
        folder / QUERIES,
        (
            {
                "id": entry.id,
                "text": entry.text,
                "label": entry.label,
                "relevant": entry.relevant if qrels is None else None,
            }
            for entry in entries.all
        ),
    )
    if qrels is not None:
        content = read_bytes(qrels, CorpusError, "name a file of judgements", LARGEST_QRELS)
        write_bytes(folder / QRELS, content)
    try:
        return read_queries(folder / QUERIES, qrels, items)
    except CorpusError as error:
        raise CorpusError(str(error).replace(str(folder / QUERIES), str(path))) from None


def _ids_of(named: Named, stored: Stored, role: str) -> Sequence[str] | None:
    path = named.side_ids.get(role)
    return stored.ids if path is None else read_ids(path, len(stored), stored.shown)


def _check_corpus(corpus: Entries, items: Sequence[Item], *, with_queries: bool) -> None:
    """Raise CorpusError for labels that some lack and for style variants that a pair cannot have."""
    plain = {item.id for item in items if item.style is None}
    for item, entry in zip(items, corpus.all, strict=True):
        if (item.style is None) != (item.base is None):
            raise CorpusError(f"{entry.where}: a style variant needs both style and base")
        if item.style is not None and (with_queries or item.base not in plain):
            why = "a pair with queries has none" if with_queries else "no plain text has the id of its base"
            raise CorpusError(f"{entry.where}: a style variant, and {why}; remove the line")
    if with_queries or not any(item.label for item in items):
        return
    lacking = [entry.where for item, entry in zip(items, corpus.all, strict=True) if item.label is None]
    if lacking:
        raise CorpusError(
            f"{lacking[0]}: no label; {len(lacking):,} of {len(items):,} texts have none and the others have; label "
            "all of them or none"
        )


def _check_groups(labels: Sequence[str | None], path: Path | None) -> None:
    """Raise CorpusError for labels that are all one, or one for each text."""
    different = len(set(labels) - {None})
    if different == 0 or len(labels) == 1 or 1 < different < len(labels):
        return
    words = "a label of its own, as an id is" if different > 1 else "the same label"
    raise CorpusError(
        f"{path}: every text has {words} ({quoted(str(labels[0]))}), so labels do not say which texts should find each "
        "other; give those the same label, or leave labels out, and the teacher's own ranking is taken"
    )


def _notes(corpus: Entries | None, labels: Labels | None, rows: dict[str, Sequence[str] | None]) -> Iterator[str]:
    if corpus is not None and corpus.labels is not None and labels is not None:
        yield f"the labels are those of {labels.path.name}, not those of {corpus.path.name}"
    if corpus is None and labels is not None and labels.with_texts:
        name = labels.path.name
        yield f"the texts of {name} were not read: with --corpus {name} in place of --labels copies are looked for"
    if (
        (corpus is None or corpus.ids is None)
        and labels is not None
        and labels.ids is not None
        and not any(rows.values())
    ):
        if row_numbers(labels.ids):
            yield f"the ids of {labels.path.name} are taken for row numbers, since nothing gives the rows ids"
        else:
            yield f"rows are taken to be in the order of {labels.path.name}, since nothing gives them ids"

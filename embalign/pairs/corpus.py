"""The corpus of a pair: one JSON object per line, checked line by line. Lines of BEIR's corpus.jsonl are read too."""

import codecs
import contextlib
import hashlib
import io
import itertools
import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from embalign.errors import CorpusError
from embalign.readers import MEBI, opened, quoted, reading, said, unique

LONGEST_LINE, LARGEST_FILE = 16 * MEBI, 4096 * MEBI
NotBlank = Annotated[str, msgspec.Meta(pattern=r"\S")]
_REMEDY = (
    "an item is a JSON object of strings that are not blank: id, text, label; a style variant also has style, base; a "
    "corpus without any label is judged by the teacher's own ranking"
)
_REMEDY_OF_DOCUMENT = "a document is a JSON object of strings that are not blank: id, text, and label if it has one"
_REMEDY_OF_FILE = "a pair needs a corpus of one JSON object per line"
_NAMES = ("id", "text", "label", "style", "base", "relevant")
_STRICT = json.JSONDecoder(object_pairs_hook=unique)


class Unwritten(str):
    """The id of an item without a text, in place of the text: it is like no other text, and nothing can embed it."""

    __slots__ = ()


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text of a corpus; a style variant also has its style and the id of its plain text.

    Documents of a pair with queries of its own may have no label, and all items of a pair without. In a corpus of ids
    alone, as an import of vectors may write it, every text is :class:`Unwritten`.
    """

    id: NotBlank
    text: NotBlank = ""
    label: NotBlank | None = None
    style: NotBlank | None = None
    base: NotBlank | None = None


class _BeirText(msgspec.Struct, frozen=True):
    """A line of BEIR's corpus.jsonl or queries.jsonl; what else it holds is not read."""

    id: NotBlank = msgspec.field(name="_id")
    text: str = ""
    title: str = ""


Line = TypeVar("Line")


def read_corpus(path: Path, *, searched: bool = False) -> list[Item]:
    """Return the items of a JSON-lines corpus: ``id``, ``text``, ``label``, and for style variants ``style``, ``base``.

    Text and label are strings that are not blank; ids are unique. Either every item has a text or none has, and either
    every item has a label or none has. A byte order mark, CRLF line ends and null for an absent label, style or base
    are accepted. With `searched`, the items are documents for queries of the pair's own: they need no label, have no
    style variants, and may be lines of a BEIR corpus, whose title goes in front of the text.
    Raises CorpusError that names the first faulty line.
    """
    items: dict[str, Item] = {}
    lines = array("q")  # numbers of the items' lines
    labels: dict[str, str] = {}  # one string for each label, however many items have it
    bare, written = "", False
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        item = parse_document(line, where) if searched else parse_item(line, where)
        if item.id in items:
            raise CorpusError(f"{where}: id {quoted(item.id)} is already used on line {_line(items, lines, item.id)}")
        if item.label is not None and labels.setdefault(item.label, item.label) is not item.label:
            item = msgspec.structs.replace(item, label=labels[item.label])
        items[item.id] = item
        lines.append(number)
        bare = bare or (f"{where}: Object missing required field `text`; found {quoted(line)}" if not item.text else "")
        written = written or bool(item.text)
    if bare and written:
        raise CorpusError(f"{bare}; other lines have one; {_REMEDY}")
    if bare:
        items = {name: msgspec.structs.replace(item, text=Unwritten(name)) for name, item in items.items()}
    if not searched:
        _check_labels(path, items, lines)
    if all(item.style is not None for item in items.values()):
        raise CorpusError(f"{path}: no plain item; add items without a style")
    for number, item in zip(lines, items.values(), strict=True):
        if item.style is not None and (item.base not in items or items[item.base].style is not None):
            raise CorpusError(
                f"{path}, line {number}: style variant {quoted(item.id)} has base {quoted(item.base)}; no "
                "plain item of this corpus has that id"
            )
    return list(items.values())


def has_texts(items: Iterable[Item]) -> bool:
    """Return whether the items of a corpus have texts, and are not ids alone."""
    return not any(isinstance(item.text, Unwritten) for item in items)


def corpus_digest(path: Path) -> str:
    """Return the hex SHA-256 of a corpus with LF line ends and without a byte order mark.

    Git and editors change both silently, and `read_corpus` accepts both. Raises CorpusError for an unreadable file.
    """
    digest, held = hashlib.sha256(), b""
    with opened_texts(path) as file:
        start = file.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        while part := start or file.read(MEBI):
            part, start = held + part, b""
            held = part[-1:] if part.endswith(b"\r") else b""  # its LF may be in the next part
            digest.update(part[: len(part) - len(held)].replace(b"\r\n", b"\n"))
    digest.update(held)
    return digest.hexdigest()


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number, from 1, and text of each line that is not blank.

    Raises CorpusError for a line that is not UTF-8 or longer than 16 MiB, and for a file that cannot be read.
    """
    with opened_texts(path) as file:
        for number in itertools.count(1):
            line = file.readline(LONGEST_LINE + 1)
            if not line:
                return
            if len(line) > LONGEST_LINE:
                raise CorpusError(f"{path}, line {number}: longer than {LONGEST_LINE} bytes; {_REMEDY_OF_FILE}")
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                try:
                    text = line.decode()
                except UnicodeDecodeError:
                    raise CorpusError(f"{path}, line {number}: not UTF-8; save the file as UTF-8") from None
                yield number, text.removesuffix("\n").removesuffix("\r")


def parse_line(line: str, where: str, kind: type[Line], remedy: str) -> Line:
    """Return what a line of JSON says. Raises CorpusError that quotes it and names the remedy."""
    try:
        found = msgspec.json.decode(line, type=kind)
        # msgspec takes the last of two members with one name; the usual line is not parsed twice to see that.
        if any(line.count(f'"{name}"') > 1 for name in _NAMES) or "\\u00" in line:
            _STRICT.decode(line)
    except Exception as error:  # no decoder lists what it raises on hostile input
        raise CorpusError(f"{where}: {said(error)}; found {quoted(line)}; {remedy}") from None
    return found


def parse_beir(line: str, where: str, remedy: str) -> tuple[str, str] | None:
    """Return id and text, after its title, of a line in BEIR's format; None if it is not in that format."""
    if '"_id"' not in line:
        return None
    try:
        found = msgspec.json.decode(line, type=_BeirText)
    except (msgspec.DecodeError, RecursionError):  # not a line of BEIR's: the other reader says what is wrong
        return None
    text = " ".join(part for part in (found.title.strip(), found.text.strip()) if part)
    if not text:
        raise CorpusError(f"{where}: {quoted(found.id)} has neither title nor text; remove the line; {remedy}")
    return found.id, text


@contextlib.contextmanager
def opened_texts(path: Path) -> Iterator[io.BufferedReader]:
    """Yield a file of texts, open for reading. Raises CorpusError for one that cannot be read or is too large."""
    with reading(path, CorpusError, _REMEDY_OF_FILE):
        file = opened(path)
    with file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST_FILE:
            raise CorpusError(f"{path}: {size} bytes; the limit is {LARGEST_FILE}; use fewer texts")
        yield file


def parse_item(line: str, where: str) -> Item:
    """Return the item of a line. Raises CorpusError."""
    if parse_beir(line, where, _REMEDY):
        raise CorpusError(f"{where}: a line of a BEIR corpus; name its queries and qrels in pair.toml, or: {_REMEDY}")
    item = parse_line(line, where, Item, _REMEDY)
    if (item.style is None) != (item.base is None):
        raise CorpusError(f"{where}: a style variant needs both style and base")
    return item


def _line(items: Mapping[str, Item], lines: Sequence[int], name: str) -> int:
    """The line of an item, given the lines of all in their order."""
    return lines[list(items).index(name)]


def _check_labels(path: Path, items: Mapping[str, Item], lines: Sequence[int]) -> None:
    """Raise CorpusError if some items have a label and others have none."""
    without = [name for name, item in items.items() if item.label is None]
    if without and len(without) < len(items):
        raise CorpusError(
            f"{path}, line {_line(items, lines, without[0])}: {quoted(without[0])} has no label, as {len(without)} of "
            f"{len(items)} items; give every item one, style variants too, or remove all labels, for the teacher's own "
            "ranking"
        )


def parse_document(line: str, where: str) -> Item:
    """Return the document of a line, which queries of the pair's own search. Raises CorpusError."""
    if found := parse_beir(line, where, _REMEDY_OF_DOCUMENT):
        return Item(*found)
    item = parse_line(line, where, Item, _REMEDY_OF_DOCUMENT)
    if item.style is not None or item.base is not None:
        raise CorpusError(f"{where}: a style variant; a pair with queries of its own has none: remove the line")
    return item

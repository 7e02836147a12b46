"""The corpus of a pair: one JSON object per line, checked line by line."""

import codecs
import hashlib
from pathlib import Path
from typing import Annotated

import msgspec

from embalign.errors import CorpusError

NotBlank = Annotated[str, msgspec.Meta(pattern=r"\S")]
_REMEDY = (
    "an item is a JSON object of strings that are not blank: id, text, label; a style variant also has style, base"
)


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text of a corpus; a style variant also has its style and the id of its plain text."""

    id: NotBlank
    text: NotBlank
    label: NotBlank
    style: NotBlank | None = None
    base: NotBlank | None = None


def read_corpus(path: Path) -> list[Item]:
    """Return the items of a JSON-lines corpus: ``id``, ``text``, ``label``, and for style variants ``style``, ``base``.

    Text and label are strings that are not blank; ids are unique. A byte order mark, CRLF line ends and null for an
    absent style or base are accepted.
    Raises CorpusError that names the first faulty line.
    """
    items: dict[str, Item] = {}
    line_of: dict[str, int] = {}
    for number, line in enumerate(_content(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        item = _parse(line, f"{path}, line {number}")
        if item.id in items:
            raise CorpusError(f"{path}, line {number}: id {item.id!r} is already used on line {line_of[item.id]}")
        items[item.id], line_of[item.id] = item, number
    plain = {item.id for item in items.values() if item.style is None}
    if not plain:
        raise CorpusError(f"{path}: no plain item; add items without a style")
    for item in items.values():
        if item.style is not None and item.base not in plain:
            raise CorpusError(
                f"{path}, line {line_of[item.id]}: style variant {item.id!r} has base {item.base!r}; no plain item of "
                "this corpus has that id"
            )
    return list(items.values())


def corpus_digest(path: Path) -> str:
    """Return the hex SHA-256 of a corpus with LF line ends and without a byte order mark.

    Git and editors change both silently, and `read_corpus` accepts both. Raises CorpusError for an unreadable file.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    except OSError as error:
        hint = "a pair needs a corpus of one JSON object per line"
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); {hint}") from None


def _parse(line: bytes, where: str) -> Item:
    try:
        text = line.decode()
        item = msgspec.json.decode(text, type=Item)
    except UnicodeDecodeError:
        raise CorpusError(f"{where}: not UTF-8; save the file as UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorpusError(f"{where}: {error}; found {text[:60]!r}; {_REMEDY}") from None
    if (item.style is None) != (item.base is None):
        raise CorpusError(f"{where}: a style variant needs both style and base")
    return item

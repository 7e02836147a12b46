"""What the builders of the Debian pairs share: compressed rows of descriptions, and the text files of a pair folder."""

from __future__ import annotations

import hashlib
import json
import lzma
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

Row = dict[str, str]
Side = Mapping[str, str | bool]  # keys of pair.toml
COPYRIGHT = """\
The id of a query or a document is the name of the package, and the label of a document that of its source package. The
licence and the copyright holders of a package are named

- on Debian, once it is installed, in /usr/share/doc/<package>/copyright;
- at https://metadata.ftp-master.debian.org/changelogs/, as main/<letter>/<source>/<source>_<version>_copyright;
- at https://sources.debian.org/src/<source>/{suite}/debian/copyright/.
"""


def pair_toml(draft: Side, teacher: Side) -> str:
    """Return the pair.toml of a pair with queries and int8 vectors, given the keys of each side."""
    sides = (
        f"[{role}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in side.items())
        for role, side in (("draft", draft), ("teacher", teacher))
    )
    return "\n".join(['corpus = "corpus.jsonl"\nqueries = "queries.jsonl"\nstorage = "int8"\n', *sides])


def local_model(folder: Path, credit: str, *, truncate: bool = False) -> Side:
    """Return the keys of a side that sentence-transformers runs from a folder; with `truncate` it cuts long texts."""
    about = {"source": "sentence-transformers", "model": folder.as_posix(), "pooling": "mean"}
    cut = {"truncate": True} if truncate else {}
    return {**about, **cut, "licence": "Apache-2.0", "credit": credit}


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a compressed file of JSON lines, in their order."""
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as compressed JSON lines and print digests of text and file."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
    path.write_bytes(packed)
    print(f"text: {len(text)} bytes, SHA-256 {hashlib.sha256(text).hexdigest()}")
    print(f"{path.name}: {len(packed)} bytes, SHA-256 {hashlib.sha256(packed).hexdigest()}")


def write_pair(
    folder: Path,
    corpus: Sequence[Mapping[str, Any]],
    queries: Sequence[Mapping[str, Any]],
    config: str,
    licence: str,
    *,
    ascii_only: bool = True,
) -> None:
    """Write what a pair folder with queries holds beside vectors, and print the digests of its text."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, items in (("corpus.jsonl", corpus), ("queries.jsonl", queries)):
        content = "".join(json.dumps(item, ensure_ascii=ascii_only) + "\n" for item in items).encode()
        write_whole(folder / name, content)
        print(f"{name}: {len(items)} rows, SHA-256 {hashlib.sha256(content).hexdigest()}")
    write_whole(folder / "pair.toml", config.encode())
    write_whole(folder / "CORPUS-LICENSE.txt", licence.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file at once, so that a kill leaves the old one or the new one."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content)
    beside.replace(path)

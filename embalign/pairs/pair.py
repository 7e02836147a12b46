"""A pair folder: which models, which corpus, and both models' embeddings of it.

    pair.toml    corpus.jsonl    embeddings/{draft,teacher}.safetensors, provenance.json

Row i of `draft.safetensors` belongs to line i of the corpus, style variants included; `teacher.safetensors` holds the
plain items in the same order. A folder from a stranger is data: nothing in it is unpickled or run.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.corpus import Item, corpus_digest, read_corpus
from embalign.pairs.holdout import Holdout, check_labels, split_holdout
from embalign.pairs.provenance import ROLES, file_digest, read_provenance, vectors_path

SOURCES = ("ollama", "openai", "sentence-transformers")
POOLINGS = ("last", "mean", "cls", "unknown")


@dataclass(frozen=True)
class Model:
    """One side of a pair as pair.toml declares it."""

    source: str
    model: str
    pooling: str = "unknown"
    endpoint: str = ""
    licence: str = ""
    credit: str = ""


@dataclass(frozen=True)
class PairConfig:
    """The content of pair.toml; `corpus` is relative to the pair's folder."""

    draft: Model
    teacher: Model
    corpus: str = "corpus.jsonl"


@dataclass(frozen=True, eq=False)
class Pair:
    """Plain items with float32 unit-length embeddings (n, d) by draft and teacher, and their fixed split.

    `styled` are the style variants, embedded by the draft alone in `styled_draft`.
    """

    name: str
    config: PairConfig
    items: tuple[Item, ...]
    draft: Vectors
    teacher: Vectors
    styled: tuple[Item, ...]
    styled_draft: Vectors

    @functools.cached_property
    def holdout(self) -> Holdout:
        """The fixed split of the plain items into training pool and test set."""
        return split_holdout([item.text for item in self.items], [item.label for item in self.items])

    @property
    def labels(self) -> NDArray[np.str_]:
        """Retrieval group of each plain item."""
        return np.array([item.label for item in self.items])


def find_pair(name: str, root: Path) -> Path:
    """Return the folder of a pair named by a folder under `root`/benchmark or by a path to a folder anywhere."""
    for folder in (root / "benchmark" / name, Path(name)):
        if (folder / "pair.toml").is_file():
            return folder.resolve()
    known = sorted(path.parent.name for path in (root / "benchmark").glob("*/pair.toml"))
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise PairError(
        f"no pair {name!r}: neither benchmark/{name}/pair.toml nor {name}/pair.toml exists (pairs here: "
        f"{', '.join(known) or 'none'}){hint}"
    )


def read_config(folder: Path) -> PairConfig:
    """Return the checked content of a folder's pair.toml."""
    path = folder / "pair.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PairError(f"{path}: not valid TOML ({error})") from None
    _check_keys(raw, {"draft", "teacher", "corpus"}, f"{path}")
    sides: dict[str, Model] = {}
    for role in ROLES:
        table = raw.get(role)
        if not isinstance(table, dict):
            raise PairError(f"{path}: no [{role}] table; a pair names its draft and its teacher")
        _check_keys(table, {field.name for field in fields(Model)}, f"{path}, [{role}]")
        if missing := [key for key in ("source", "model") if not table.get(key)]:
            raise PairError(f"{path}, [{role}]: {missing[0]} is missing")
        for key, allowed in (("source", SOURCES), ("pooling", POOLINGS)):
            if table.get(key, allowed[0]) not in allowed:
                raise PairError(f"{path}, [{role}]: {key} is {table[key]!r}; choose one of {', '.join(allowed)}")
        sides[role] = Model(**table)
    corpus = raw.get("corpus", "corpus.jsonl")
    if not (folder / corpus).resolve().is_relative_to(folder.resolve()):
        raise PairError(f"{path}: corpus {corpus!r} lies outside the pair's folder; copy it into the folder")
    return PairConfig(sides["draft"], sides["teacher"], corpus)


def load_pair(folder: Path) -> Pair:
    """Return the pair in `folder`, every file of it checked. Raises PairError or CorpusError."""
    config = read_config(folder)
    items = read_corpus(folder / config.corpus)
    provenance = read_provenance(folder)
    _check_corpus(folder / config.corpus, provenance["corpus_sha256"])
    styled_rows = np.array([item.style is not None for item in items])
    plain = tuple(item for item in items if item.style is None)
    draft = _read_vectors(folder, "draft", len(items), provenance)
    teacher = _read_vectors(folder, "teacher", len(plain), provenance)
    return Pair(
        name=folder.name,
        config=config,
        items=plain,
        draft=np.ascontiguousarray(draft[~styled_rows]),
        teacher=teacher,
        styled=tuple(item for item in items if item.style is not None),
        styled_draft=np.ascontiguousarray(draft[styled_rows]),
    )


def check_pair(folder: Path) -> None:
    """Check configuration, corpus and recorded digests without loading a vector; raise as `load_pair` would."""
    config = read_config(folder)
    check_labels([item.label for item in read_corpus(folder / config.corpus) if item.style is None])
    provenance = read_provenance(folder)
    pair_digest(folder)
    _check_corpus(folder / config.corpus, provenance["corpus_sha256"])
    for role in ROLES:
        _check_vectors(vectors_path(folder, role), provenance[role]["sha256"])


def pair_digest(folder: Path) -> str:
    """Return the SHA-256 over everything in the folder that a measured number depends on."""
    config = read_config(folder)
    vectors = [vectors_path(folder, role) for role in ROLES]
    if missing := [path for path in vectors if not path.is_file()]:
        raise PairError(f"{missing[0]}: no such file; this pair has not been embedded yet")
    parts = [corpus_digest(folder / config.corpus), *(file_digest(path) for path in vectors)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _read_vectors(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> Vectors:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = vectors_path(folder, role)
    try:
        vectors = load_file(path)["embeddings"].astype(np.float32)
    except FileNotFoundError:
        raise PairError(f"{path}: no such file; this pair has not been embedded yet") from None
    except (SafetensorError, KeyError) as error:
        raise PairError(f"{path}: not a safetensors file with a tensor 'embeddings' ({error})") from None
    _check_vectors(path, provenance[role]["sha256"])
    if vectors.ndim != 2 or len(vectors) != count:
        raise PairError(f"{path}: shape {vectors.shape} does not match the corpus, which has {count} such items")
    norms = np.linalg.norm(vectors, axis=1)
    bad = ~np.isfinite(norms) | (np.abs(norms - 1) > 0.01)
    if bad.any():
        row = int(bad.argmax())
        raise PairError(f"{path}: row {row} has length {norms[row]:.4g}; embeddings must be finite and of length 1")
    scaled: Vectors = vectors / norms[:, None]
    return scaled


def _check_corpus(path: Path, recorded: str) -> None:
    # Earlier versions recorded a corpus with CRLF or a byte order mark by its bytes.
    if recorded not in (actual := corpus_digest(path), file_digest(path)):
        raise PairError(_differs(path, actual, recorded))


def _check_vectors(path: Path, recorded: str) -> None:
    if recorded != (actual := file_digest(path)):
        raise PairError(_differs(path, actual, recorded))


def _differs(path: Path, actual: str, recorded: str) -> str:
    return (
        f"{path}: its SHA-256 is {actual}, but embeddings/provenance.json records {recorded}; the embeddings were made "
        "from another corpus or have changed: embed the pair again; --refresh does it"
    )


def _check_keys(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            raise PairError(f"{where}: unknown key {key!r}; {hint}")
        if not isinstance(value, str) and key not in ("draft", "teacher"):
            raise PairError(f"{where}: {key} is {value!r}; it must be a string in quotes")

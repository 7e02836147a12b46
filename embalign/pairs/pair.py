"""A pair folder: which models, which corpus, and both models' embeddings of it.

    pair.toml    corpus.jsonl    embeddings/{draft,teacher}.safetensors, provenance.json

Row i of `draft.safetensors` belongs to line i of the corpus, style variants included; `teacher.safetensors` holds the
plain items in the same order. A folder from a stranger is data: nothing in it is unpickled or run.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.corpus import Item, read_corpus
from embalign.pairs.holdout import Holdout, check_labels, split_holdout

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
    for role in ("draft", "teacher"):
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
    _check_digest(folder / config.corpus, provenance.get("corpus_sha256"))
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
    _check_digest(folder / config.corpus, provenance.get("corpus_sha256"))
    for role in ("draft", "teacher"):
        _check_digest(folder / "embeddings" / f"{role}.safetensors", _recorded(provenance, role))


def pair_digest(folder: Path) -> str:
    """Return the SHA-256 over everything in the folder that a measured number depends on."""
    config = read_config(folder)
    parts = [folder / config.corpus, *(folder / "embeddings" / f"{role}.safetensors" for role in ("draft", "teacher"))]
    if missing := [path for path in parts if not path.is_file()]:
        raise PairError(f"{missing[0]}: no such file; this pair has not been embedded yet")
    return hashlib.sha256("".join(file_digest(path) for path in parts).encode()).hexdigest()


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return embeddings/provenance.json: who made the vectors, from which weights, for which corpus."""
    path = folder / "embeddings" / "provenance.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PairError(f"{path}: no such file; this pair has not been embedded yet") from None
    except ValueError as error:
        raise PairError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise PairError(f"{path}: expected a JSON object")
    return content


def file_digest(path: Path) -> str:
    """Return the hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_vectors(folder: Path, role: str, count: int, provenance: Mapping[str, Any]) -> Vectors:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / "embeddings" / f"{role}.safetensors"
    try:
        vectors = load_file(path)["embeddings"].astype(np.float32)
    except FileNotFoundError:
        raise PairError(f"{path}: no such file; this pair has not been embedded yet") from None
    except (SafetensorError, KeyError) as error:
        raise PairError(f"{path}: not a safetensors file with a tensor 'embeddings' ({error})") from None
    _check_digest(path, _recorded(provenance, role))
    if vectors.ndim != 2 or len(vectors) != count:
        raise PairError(f"{path}: shape {vectors.shape} does not match the corpus, which has {count} such items")
    norms = np.linalg.norm(vectors, axis=1)
    bad = ~np.isfinite(norms) | (np.abs(norms - 1) > 0.01)
    if bad.any():
        row = int(bad.argmax())
        raise PairError(f"{path}: row {row} has length {norms[row]:.4g}; embeddings must be finite and of length 1")
    scaled: Vectors = vectors / norms[:, None]
    return scaled


def _recorded(provenance: Mapping[str, Any], role: str) -> str | None:
    side = provenance.get(role)
    return side.get("sha256") if isinstance(side, dict) else None


def _check_digest(path: Path, recorded: str | None) -> None:
    if recorded != (actual := file_digest(path)):
        raise PairError(
            f"{path}: its SHA-256 is {actual}, but embeddings/provenance.json records {recorded}; the embeddings "
            "were made from another corpus or have changed: embed the pair again; --refresh does it"
        )


def _check_keys(table: Mapping[str, object], known: set[str], where: str) -> None:
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            raise PairError(f"{where}: unknown key {key!r}; {hint}")
        if not isinstance(value, str) and key not in ("draft", "teacher"):
            raise PairError(f"{where}: {key} is {value!r}; it must be a string in quotes")

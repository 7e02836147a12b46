"""Fetch a pair's missing embeddings: from the cache where it has them, else from the models that pair.toml names.

Each batch is in the cache before the next is asked for, so whatever interrupts a fetch costs one batch. The pair's
files are written once both sides are complete.
"""

from __future__ import annotations

import datetime
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embalign.durable import move_all
from embalign.embeddings.cache import VectorCache, vector_key
from embalign.embeddings.http import without_credentials
from embalign.embeddings.source import Identity, Source, embed_or_name, preflight
from embalign.pairs import Vectors
from embalign.pairs.corpus import read_corpus
from embalign.pairs.holdout import check_labels
from embalign.pairs.pair import Model, file_digest, read_config

BATCH_TEXTS, BATCH_CHARACTERS = 16, 16_000
ROLES = ("draft", "teacher")
LINE_SECONDS = 15  # between lines of progress where there is no terminal


def is_embedded(folder: Path) -> bool:
    """Return whether a pair's folder has embeddings at all; whether they fit is for `check_pair` to say."""
    names = ("provenance.json", *(f"{role}.safetensors" for role in ROLES))
    return all((folder / "embeddings" / name).is_file() for name in names)


def open_source(model: Model) -> Source:
    """Return the source that a side of pair.toml names. Raises SourceError for an address that cannot be used."""
    match model.source:
        case "ollama":
            from embalign.embeddings.ollama import OllamaSource

            return OllamaSource(model)
        case "openai":
            from embalign.embeddings.openai import OpenAISource

            return OpenAISource(model)
        case _:
            from embalign.embeddings.local import LocalSource

            return LocalSource(model)


def embed_pair(folder: Path, cache: VectorCache, *, refresh: bool = False, quiet: bool = False) -> None:
    """Embed the corpus of the pair in `folder` with both its models and write embeddings/ there.

    With `refresh`, vectors of sources whose weights cannot be verified are fetched again though the cache has them.
    Raises SourceError, CacheError, PairError or CorpusError; nothing in the folder has changed then.
    """
    config = read_config(folder)
    corpus = folder / config.corpus
    items = read_corpus(corpus)
    check_labels([item.label for item in items if item.style is None])
    texts = {"draft": [item.text for item in items], "teacher": [item.text for item in items if item.style is None]}
    sides = {
        role: (model, open_source(model)) for role, model in (("draft", config.draft), ("teacher", config.teacher))
    }
    # Both before any fetching: a trap of the second model must not show only after an hour of the first.
    identities = {role: preflight(source) for role, (_, source) in sides.items()}
    provenance: dict[str, Any] = {"corpus_sha256": file_digest(corpus)}
    (folder / "embeddings").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder / "embeddings", prefix=".building-") as name:
        building = Path(name)
        for role, (model, source) in sides.items():
            use_cache = identities[role].verified or not refresh
            vectors = fetch(
                source, identities[role], texts[role], cache, use_cache=use_cache, label=None if quiet else role
            )
            path = building / f"{role}.safetensors"
            _save(vectors, path)
            provenance[role] = _record(model, identities[role], vectors, texts[role], file_digest(path))
        (building / "provenance.json").write_text(json.dumps(provenance, indent=2) + "\n", encoding="ascii")
        move_all(building, folder / "embeddings")


def fetch(
    source: Source,
    identity: Identity,
    texts: Sequence[str],
    cache: VectorCache,
    *,
    use_cache: bool = True,
    label: str | None = None,
) -> Vectors:
    """Return the vectors (n, d) of `texts`, duplicates embedded once; progress is shown under `label`."""
    from tqdm import tqdm

    keys = {text: vector_key(identity, text) for text in texts}
    found = cache.get(list(keys.values())) if use_cache else {}
    missing = [text for text, key in keys.items() if key not in found]
    places = {text: i for i, text in reversed(list(enumerate(texts, start=1)))}
    dimension = len(next(iter(found.values()))) if found else None
    description = f"{label}: {identity.model}"
    with tqdm(
        total=len(keys),
        initial=len(keys) - len(missing),
        desc=description,
        unit="text",
        mininterval=0.1 if sys.stderr.isatty() else LINE_SECONDS,
        disable=label is None,
    ) as bar:
        for batch in batches(missing):
            vectors = embed_or_name(source, batch, places, dimension)
            dimension = vectors.shape[1]
            fresh = {keys[text]: vector for text, vector in zip(batch, vectors, strict=True)}
            cache.put(fresh)
            found |= fresh
            bar.update(len(batch))
    return np.stack([found[keys[text]] for text in texts])


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in order, at most 16 and 16,000 characters at a time; a longer text comes alone.

    >>> [len(batch) for batch in batches(["a"] * 20)]
    [16, 4]
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == BATCH_TEXTS or size + len(text) > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch


def _save(vectors: Vectors, path: Path) -> None:
    from safetensors.numpy import save_file
    from sklearn.preprocessing import normalize

    unit = normalize(vectors.astype(np.float64))
    save_file({"embeddings": unit.astype(np.float16)}, path)


def _record(model: Model, identity: Identity, vectors: Vectors, texts: Sequence[str], sha256: str) -> dict[str, Any]:
    return {
        "source": identity.kind,
        "model": identity.model,
        "pooling": identity.pooling,
        "endpoint": without_credentials(model.endpoint),
        "server": identity.server,
        "verified": identity.verified,
        "manifest": identity.manifest,
        "weights": identity.weights,
        "date": datetime.date.today().isoformat(),
        "vectors": len(vectors),
        "distinct_texts": len(set(texts)),
        "dimension": int(vectors.shape[1]),
        "sha256": sha256,
    }

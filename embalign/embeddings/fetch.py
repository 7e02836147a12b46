"""Fetch a pair's embeddings: from the cache if it has them, otherwise from the models that pair.toml names.

Each batch is stored in the cache before the next one is requested, so an interruption costs at most one batch. The
pair's files are written when both sides are complete.
"""

import contextlib
import datetime
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from embalign.durable import move_all, refuse_links
from embalign.embeddings.cache import VectorCache, vector_key
from embalign.embeddings.http import without_credentials
from embalign.embeddings.local import LocalSource
from embalign.embeddings.ollama import OllamaSource
from embalign.embeddings.openai import OpenAISource
from embalign.embeddings.patience import show_waits
from embalign.embeddings.source import Identity, Source, embed_or_name, preflight
from embalign.errors import PairError
from embalign.escaping import visible
from embalign.lazy import lazy
from embalign.pairs import Vectors
from embalign.pairs.config import Model, read_config
from embalign.pairs.holdout import check_texts
from embalign.pairs.provenance import PROVENANCE, check_vectors_are_own, file_digest, vectors_digests
from embalign.pairs.texts import ROLES, model_of, parts_of, prompt_of, read_texts, role_of, text_digests
from embalign.pairs.vectors import write_vectors

normalize = lazy("sklearn.preprocessing").normalize
tqdm = lazy("tqdm").tqdm
SOURCES: Mapping[str, Callable[[Model], Source]] = {
    "ollama": OllamaSource,
    "openai": OpenAISource,
    "sentence-transformers": LocalSource,
}
BATCH_TEXTS, BATCH_CHARACTERS = 16, 16_000
BUILDING, LEFTOVER_SECONDS = ".building-", 3600
LINE_SECONDS = 15  # between progress lines if stderr is not a terminal


def open_source(model: Model) -> Source:
    """Return the source that one side of pair.toml names. Raises SourceError for an invalid address."""
    return SOURCES[model.source](model)


def embed_pair(folder: Path, cache: VectorCache, *, refresh: bool = False, quiet: bool = False) -> None:
    """Embed the texts of the pair in `folder` with both its models and write embeddings/ there.

    With `refresh`, cached vectors of sources whose weights cannot be verified are ignored. Vectors that no fetch made
    are never overwritten. Raises SourceError, CacheError, PairError or CorpusError.
    """
    config = read_config(folder)
    digests = text_digests(folder, config)
    texts = read_texts(folder, config)
    check_texts(texts)
    # Those there now: what the user copies here during the fetch is not replaced.
    replaceable = set(vectors_digests(folder).values()) if refresh else set()
    check_vectors_are_own(folder, digests, replaceable)
    show_waits(not quiet)
    sources = {role: open_source(model_of(config, role)) for role in ROLES}
    # Everything that can fail at once fails here, not after an hour of fetching: either model, an unwritable folder.
    identities = {role: preflight(source) for role, source in sources.items()}
    for advice in sorted({source.advice() for source in sources.values()} - {""}):
        if not quiet:
            tqdm.write(advice, file=sys.stderr)
    with _building(folder):
        pass
    vectors: dict[str, Vectors] = {}
    asked: dict[str, Identity] = {}
    for part in parts_of(config):
        role = role_of(part)
        asked[part] = identities[role].asked(prompt_of(config, part))
        use_cache = identities[role].verified or not refresh
        label = None if quiet else part.replace("_", " ")
        vectors[part] = fetch(sources[role], asked[part], texts.embedded(part), cache, use_cache=use_cache, label=label)
    provenance: dict[str, Any] = dict(digests)
    with _building(folder) as building:
        for part, found in vectors.items():
            path = building / f"{part}.safetensors"
            write_vectors(path, normalize(found.astype(np.float64)), config.storage)
            provenance[part] = _record(
                model_of(config, part), asked[part], found, texts.embedded(part), file_digest(path)
            )
        (building / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="ascii")
        check_vectors_are_own(folder, digests, replaceable)  # again: a fetch may take an hour
        _move(building, folder / "embeddings")


def fetch(
    source: Source,
    identity: Identity,
    texts: Sequence[str],
    cache: VectorCache,
    *,
    use_cache: bool = True,
    label: str | None = None,
) -> Vectors:
    """Return the vectors (n, d) of `texts`, each distinct text embedded once; shows progress under `label`."""
    keys = {text: vector_key(identity, text) for text in texts}
    found = cache.get(list(keys.values())) if use_cache else {}
    # Longest first: what a model cannot embed shows at once, and texts of one length are padded least in a batch.
    missing = sorted((text for text, key in keys.items() if key not in found), key=len, reverse=True)
    dimension = len(next(iter(found.values()))) if found else None
    with tqdm(
        total=len(keys),
        initial=len(keys) - len(missing),
        desc=visible(f"{label}: {identity.model}"),
        unit="text",
        mininterval=0.1 if sys.stderr.isatty() else LINE_SECONDS,
        disable=label is None,
    ) as bar:
        for batch in batches(missing):
            vectors = embed_or_name(source, identity, batch, texts, dimension)
            dimension = vectors.shape[1]
            fresh = {keys[text]: vector for text, vector in zip(batch, vectors, strict=True)}
            cache.put(fresh)
            found |= fresh
            bar.update(len(batch))
    return np.stack([found[keys[text]] for text in texts])


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in order in batches of at most 16 texts and 16,000 characters; a longer text is a batch alone.

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


@contextlib.contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder inside embeddings/ for files that are moved into place when they are complete."""
    target = folder / "embeddings"
    refuse_links(folder, target)
    try:
        target.mkdir(exist_ok=True)
        _sweep(target)
        with tempfile.TemporaryDirectory(dir=target, prefix=BUILDING) as name:
            yield Path(name)
    except OSError as error:
        raise PairError(f"{target}: {error}; no embeddings were written or changed") from None


def _sweep(target: Path) -> None:
    """Remove temporary folders of killed fetches; a running fetch needs its own for seconds."""
    for left in target.glob(f"{BUILDING}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _move(building: Path, target: Path) -> None:
    """Move the files into embeddings/, provenance.json first: vectors without it are then never a fetch's own."""
    try:
        move_all(building, target, first=PROVENANCE)
    except OSError as error:
        if (building / PROVENANCE).exists():
            raise
        raise PairError(f"{target}: {error}; the update is incomplete; rerun the same command") from None


def _record(model: Model, identity: Identity, vectors: Vectors, texts: Sequence[str], sha256: str) -> dict[str, Any]:
    about = {name: value for name, value in vars(identity).items() if name not in ("kind", "options")}
    return {
        "source": identity.kind,
        **about,
        "endpoint": without_credentials(model.endpoint),
        "prompt": identity.prompt,
        "dimensions": identity.dimensions,
        "date": datetime.date.today().isoformat(),
        "vectors": len(vectors),
        "distinct_texts": len(set(texts)),
        "dimension": int(vectors.shape[1]),
        "sha256": sha256,
    }

"""Fetch a pair's embeddings: from the cache if it has them, otherwise from the models that pair.toml names.

Each batch is stored in the cache before the next one is requested, so an interruption costs at most one batch. Stored
vectors are pending until the checks at the end of their part have passed. The pair's files are written when both sides
are complete.
"""

import contextlib
import datetime
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np

from embalign.embeddings.asking import Asker
from embalign.embeddings.cache import VectorCache, vector_key
from embalign.embeddings.http import shown, without_credentials
from embalign.embeddings.local import LocalSource
from embalign.embeddings.ollama import OllamaSource
from embalign.embeddings.openai import OpenAISource
from embalign.embeddings.patience import show_waits
from embalign.embeddings.preflight import batches, check_again, check_batches, check_nothing_is_cut, open_asker, spread
from embalign.embeddings.source import Identity, Source
from embalign.embeddings.writing import building, check_can_be_written, move
from embalign.errors import CorpusError, WrongVectorsError
from embalign.escaping import visible
from embalign.lazy import lazy
from embalign.pairs import Vectors
from embalign.pairs.config import Model, read_config
from embalign.pairs.corpus import has_texts
from embalign.pairs.equal_vectors import equal_vectors
from embalign.pairs.holdout import check_texts
from embalign.pairs.meaning import check_labels_agree
from embalign.pairs.provenance import (
    PROVENANCE,
    check_can_be_embedded,
    check_vectors_are_own,
    file_digest,
    vectors_digests,
)
from embalign.pairs.texts import ROLES, model_of, parts_of, prompt_of, read_texts, role_of, text_digests
from embalign.pairs.vectors import write_vectors

tqdm = lazy("tqdm").tqdm
SOURCES: Mapping[str, Callable[[Model], Source]] = {
    "ollama": OllamaSource,
    "openai": OpenAISource,
    "sentence-transformers": LocalSource,
}
LINE_SECONDS = 15  # between progress lines if stderr is not a terminal
KNOWN = 8  # vectors of an earlier run that are asked for again before others are added to them


def open_source(model: Model) -> Source:
    """Return the source that one side of pair.toml names. Raises SourceError for an invalid address."""
    return SOURCES[model.source](model)


def embed_pair(folder: Path, cache: VectorCache, *, refresh: bool = False, quiet: bool = False) -> None:
    """Embed the texts of the pair in `folder` with both its models and write embeddings/ there.

    With `refresh`, cached vectors of sources whose weights cannot be verified are ignored. Vectors that no fetch made
    are never overwritten. Raises SourceError, CacheError, PairError or CorpusError.
    """
    check_can_be_embedded(folder)
    config = read_config(folder)
    digests = text_digests(folder, config)
    texts = read_texts(folder, config)
    check_texts(texts)
    check_labels_agree(texts)
    # Those there now: what the user copies here during the fetch is not replaced.
    replaceable = set(vectors_digests(folder).values()) if refresh else set()
    check_vectors_are_own(folder, replaceable)
    if not has_texts(texts.items):
        raise CorpusError(f"{folder / config.corpus}: its items are ids without a text, so no model can embed them")
    show_waits(not quiet)
    sources = {role: open_source(model_of(config, role)) for role in ROLES}
    # Everything that can fail at once fails here, not after an hour of fetching: either model, an unwritable folder.
    askers = {role: open_asker(source) for role, source in sources.items()}
    for advice in sorted({source.advice() for source in sources.values()} - {""}):
        _say(advice, quiet)
    check_can_be_written(folder)
    fetches: dict[str, Fetch] = {}
    for part in parts_of(config):
        asker = askers[role_of(part)]
        use_cache = asker.identity.verified or not refresh
        identity = asker.identity.asked(prompt_of(config, part))
        fetches[part] = Fetch(asker, identity, texts.embedded(part), cache, use_cache=use_cache)
        planned = set().union(*(fetch.keys.values() for name, fetch in fetches.items() if name != part))
        fetches[part].prepare(planned)
    vectors = {part: fetch.run(None if quiet else part.replace("_", " ")) for part, fetch in fetches.items()}
    provenance: dict[str, Any] = dict(digests)
    with building(folder) as files:
        for part, found in vectors.items():
            path = files / f"{part}.safetensors"
            exact = found.astype(np.float64)
            write_vectors(path, exact / np.linalg.norm(exact, axis=1, keepdims=True), config.storage)
            provenance[part] = fetches[part].record(model_of(config, part), file_digest(path))
        (files / PROVENANCE).write_text(json.dumps(provenance, indent=2) + "\n", encoding="ascii")
        check_vectors_are_own(folder, replaceable)  # again: a fetch may take an hour
        move(files, folder)


def fetch(
    source: Source,
    identity: Identity,
    texts: Sequence[str],
    cache: VectorCache,
    *,
    use_cache: bool = True,
    label: str | None = None,
) -> Vectors:
    """Return the vectors (n, d) of `texts`, each distinct text embedded once; shows progress under `label`.

    `identity` is that of the source before, as :func:`embalign.embeddings.preflight.preflight` returns it, and with the
    prompt if there is one. Raises SourceError, and WrongVectorsError if what was fetched is not kept.
    """
    one = Fetch(Asker(source, identity), identity, texts, cache, use_cache=use_cache)
    one.prepare()
    return one.run(label)


class Fetch:
    """The vectors of one part's texts, with the checks before and after those that the cache does not have.

    `keys` are those of the cache, by text.
    """

    def __init__(
        self, asker: Asker, identity: Identity, texts: Sequence[str], cache: VectorCache, *, use_cache: bool = True
    ) -> None:
        self.keys = {text: vector_key(identity, text) for text in texts}
        self._asker, self._identity, self._texts, self._cache = asker, identity, texts, cache
        self._use_cache = use_cache
        self._found: dict[bytes, Vectors] = {}
        self._fresh: dict[str, Vectors] = {}  # of the texts that prepare asked for, not stored yet
        self._checks: dict[str, Any] = {}

    def prepare(self, planned: Set[bytes] = frozenset()) -> None:
        """Check the source on the texts that are neither cached nor `planned`, keys that another fetch comes to before.

        Stores nothing. Raises SourceError with the remedy.
        """
        asker, prompt = self._asker, self._identity.prompt
        asker.source.check_lengths(self._texts, prompt)
        self._read()
        missing = [text for text in self._missing() if self.keys[text] not in planned]
        if missing:
            with self._discarding():
                self._check_known()
                self._fresh = check_batches(asker, prompt, missing, self._texts)
                if not self._identity.truncate:
                    check_nothing_is_cut(asker, prompt, missing, self._fresh)

    def run(self, label: str | None) -> Vectors:
        """Return the vectors (n, d) of all texts, fetched as far as they are missing; shows progress under `label`."""
        self._read()
        missing = [text for text in self._missing() if text not in self._fresh]
        with tqdm(
            total=len(self.keys),
            initial=len(self.keys) - len(missing) - len(self._fresh),
            desc=visible(f"{label}: {self._identity.model}"),
            unit="text",
            mininterval=0.1 if sys.stderr.isatty() else LINE_SECONDS,
            disable=label is None,
        ) as bar:
            self._store(self._fresh, bar)
            with self._discarding():
                for batch in batches(missing, self._asker.most):
                    fetched = self._asker.vectors(batch, self._identity.prompt, self._texts)
                    self._store(dict(zip(batch, fetched, strict=True)), bar)
                bar.set_description(f"{label}: checking")
                vectors = np.stack([self._found[self.keys[text]] for text in self._texts])
                self._check_at_the_end(vectors, quiet=label is None)
        return vectors

    def record(self, model: Model, sha256: str) -> dict[str, Any]:
        """Return what provenance.json says of the file of these vectors: source, checks, number, dimension, digest.

        `rechecked` is the number of texts asked for again at the end, `rechecked_lowest_cosine` the lowest cosine to
        what was stored; a part that was cached whole has neither.
        """
        of_source = {name: value for name, value in vars(self._identity).items() if name not in ("kind", "options")}
        answered = self._asker.answered
        return {
            "source": self._identity.kind,
            **of_source,
            **({"answered_as": answered} if answered else {}),
            "endpoint": without_credentials(model.endpoint),
            "prompt": self._identity.prompt,
            "dimensions": self._identity.dimensions,
            **({"truncate": True} if self._identity.truncate else {}),
            "date": datetime.date.today().isoformat(),
            "vectors": len(self._texts),
            "distinct_texts": len(self.keys),
            "dimension": len(next(iter(self._found.values()))),
            **self._checks,
            "sha256": sha256,
        }

    def _read(self) -> None:
        if self._use_cache:
            self._found |= self._cache.get([key for key in self.keys.values() if key not in self._found])
        for vector in self._found.values():
            self._asker.expect(len(vector))

    def _missing(self) -> list[str]:
        # Longest first: what a model cannot embed shows at once, and texts of one length are padded least in a batch.
        return sorted((text for text, key in self.keys.items() if key not in self._found), key=len, reverse=True)

    def _store(self, vectors: Mapping[str, Vectors], bar: Any) -> None:
        fresh = {self.keys[text]: vector for text, vector in vectors.items()}
        self._cache.put(fresh, pending=True)
        self._found |= fresh
        bar.update(len(fresh))

    def _stored(self, keys: Set[bytes]) -> dict[str, Vectors]:
        return {text: self._found[key] for text, key in self.keys.items() if key in keys and key in self._found}

    def _check_known(self) -> None:
        """Compare vectors of earlier runs that nothing pins to the model with what it gives now."""
        pinned = self._identity.verified
        known = self._stored(self._pending() if pinned else set(self._found))
        sample = spread(sorted(known, key=len, reverse=True), KNOWN)
        if sample:
            check_again(self._asker, self._identity.prompt, {text: known[text] for text in sample}, self._texts)

    def _check_at_the_end(self, vectors: Vectors, *, quiet: bool) -> None:
        pending = self._stored(self._pending())
        if pending:
            again, lowest = check_again(self._asker, self._identity.prompt, pending, self._texts)
            self._asker.check_identity()
            self._checks = {"rechecked": again, "rechecked_lowest_cosine": round(lowest, 6)}
        equal = equal_vectors(self._texts, vectors)
        name = self._asker.source.name
        if equal.too_many:
            group = equal.different[0]
            self._cache.delete(self.keys[text] for texts in equal.different for text in texts)
            raise WrongVectorsError(
                f"{name} returned one vector for different texts, in all for {equal.affected} of {equal.texts}: "
                f"{shown(group[0])!r} and {shown(group[1])!r}; they are cut, or nearly ignored. Nothing of this fetch "
                "is kept; check the model, or shorten the texts"
            )
        for groups, how in ((equal.different, "different texts"), (equal.alike, "texts that are written alike")):
            if groups:
                count = sum(map(len, groups))
                self._checks[f"equal_vectors_of_{how.replace(' ', '_')}"] = count
                one, other = groups[0][:2]
                _say(
                    f"{name}: {count} {how} share a vector with another, as {shown(one)!r} and {shown(other)!r}", quiet
                )
        self._cache.confirm(self.keys.values())

    def _pending(self) -> set[bytes]:
        return self._cache.pending(self.keys.values())

    @contextlib.contextmanager
    def _discarding(self) -> Iterator[None]:
        """Delete what the fetch has stored if it turns out to be wrong; what an earlier one left pending too."""
        try:
            yield
        except WrongVectorsError:
            self._cache.delete(self._pending())
            raise


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        tqdm.write(line, file=sys.stderr)

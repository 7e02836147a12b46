"""Requests to one source during a fetch: in batches it accepts, patient with a runner that restarts, one model only."""

import re
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from embalign.embeddings.http import shown
from embalign.embeddings.source import Identity, Source, check_vectors
from embalign.errors import SourceError, StatusError, WrongVectorsError
from embalign.pairs import Vectors

BATCH_TEXTS = 16
OF_TEXTS = (400, 413, 422, 500)  # statuses that a text or the size of a batch may be the cause of
RUNNER = 500
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0
IDENTITY_SECONDS = 10.0  # at least, between two questions about the model after interruptions
IDENTITY_ATTEMPTS, IDENTITY_WAIT = 3, 1.0
UNKNOWN = ("", "unknown", shown(""))
SEPARATORS = "-:@"
_VERSION = re.compile(r"[-@](v?\d+(\.\d+)*|\d{4}-\d\d-\d\d)")


class Asker:
    """One source and what is known about it: the largest batch it accepts, its dimension, the model that answers.

    `identity` is that of the source before the fetch. Every response is checked against it and the responses before.
    """

    def __init__(self, source: Source, identity: Identity) -> None:
        self.source = source
        self.identity = identity
        self.most = BATCH_TEXTS
        self.answered = ""
        self._dimension: int | None = None
        self._works: tuple[str, str] | None = None  # the last text that was embedded, and its prompt
        self._interruptions = source.interruptions
        self._identified = time.monotonic()

    def vectors(self, texts: Sequence[str], prompt: str = "", corpus: Sequence[str] = ()) -> Vectors:
        """Return the checked vectors (n, d) of distinct texts, in one request or in as many as the source needs.

        Raises SourceError that names each text that the source cannot embed, by its number in `corpus` from 1. Raises
        WrongVectorsError if another model answers.
        """
        found, refused = self._ask(texts, prompt)
        if not refused:
            return np.stack([found[text] for text in texts])
        place = {text: number for number, text in reversed(list(enumerate(corpus, start=1)))}
        listed = "; ".join(
            f"text {place.get(text, '(a probe)')} ({len(text)} characters) {shown(text)!r}: {error.detail}"
            for text, error in refused.items()
        )
        raise SourceError(f"{self.source.name} cannot embed {len(refused)} of {len(texts)} texts: {listed}")

    def accepted(self, texts: Sequence[str], prompt: str = "") -> dict[str, Vectors]:
        """Return the vector (d,) of each text that the source does not refuse."""
        most = self.most
        found, refused = self._ask(texts, prompt)
        if refused:  # for what they are, not for how many
            self.most = most
        return found

    def expect(self, dimension: int) -> None:
        """Raise WrongVectorsError if vectors stored earlier have another dimension than those of the source."""
        self._dimension = self._dimension or dimension
        if dimension != self._dimension:
            raise WrongVectorsError(
                f"{self.source.name}: vectors fetched before have dimension {dimension}, it now returns "
                f"{self._dimension}; the model was replaced: rerun with --refresh"
            )

    def check_identity(self) -> None:
        """Raise WrongVectorsError if the source is no longer the model and server that it was before the fetch.

        What is not verified is asked for up to three times: an endpoint that not every server has may be late.
        """
        for attempt in range(IDENTITY_ATTEMPTS):
            now = self.source.identify().asked(self.identity.prompt)
            self._identified, self._interruptions = time.monotonic(), self.source.interruptions
            if now == self.identity:
                return
            if self.identity.verified:
                break
            if attempt < IDENTITY_ATTEMPTS - 1:
                time.sleep(IDENTITY_WAIT)
        before, after = vars(self.identity), vars(now)
        # What a server no longer says is no other model; the vectors asked for again decide then.
        changed = [name for name in before if before[name] != after[name] and after[name] not in UNKNOWN]
        if changed:
            listed = ", ".join(f"{name} {_short(before[name])} is now {_short(after[name])}" for name in changed)
            raise WrongVectorsError(
                f"{self.source.name}: the model or server was replaced during the fetch ({listed}); nothing of this "
                "fetch is kept; rerun the same command"
            )

    def _ask(self, texts: Sequence[str], prompt: str) -> tuple[dict[str, Vectors], dict[str, StatusError]]:
        """Return the vectors of the texts that have one, and why the others have none.

        A batch that is refused is halved, and later ones are no larger.
        """
        found: dict[str, Vectors] = {}
        refused: dict[str, StatusError] = {}
        waiting = [list(texts)]
        while waiting:
            part = waiting.pop()
            if len(part) > self.most:
                waiting += [part[self.most :], part[: self.most]]
                continue
            try:
                found |= zip(part, self._patiently(part, prompt), strict=True)
            except StatusError as error:
                if error.status not in OF_TEXTS:
                    raise
                if len(part) == 1:
                    refused[part[0]] = error
                else:
                    self.most = (len(part) + 1) // 2
                    waiting.append(part)
        return found, refused

    def _patiently(self, texts: Sequence[str], prompt: str) -> Vectors:
        """Return the vectors of a batch; what may be no fault of the texts is tried again once another text works."""
        try:
            return self._once(texts, prompt)
        except StatusError as error:
            is_limit = error.status != RUNNER and len(texts) > 1
            if error.status not in OF_TEXTS or is_limit or self._works is None:
                raise
        self._await_runner(*self._works)
        return self._once(texts, prompt)

    def _await_runner(self, text: str, prompt: str) -> None:
        """Return when a text that was embedded before is so again. Raises SourceError after the source's patience."""
        deadline, wait = time.monotonic() + self.source.patience, FIRST_WAIT
        while True:
            try:
                self._once([text], prompt)
                break
            except StatusError as error:
                if error.status != RUNNER:
                    raise
                if time.monotonic() + wait > deadline:
                    raise SourceError(f"{error}; it stayed so for {self.source.patience:g} s") from None
            time.sleep(wait)
            wait = min(LONGEST_WAIT, 2 * wait)
        self._check_identity_now_and_then()

    def _once(self, texts: Sequence[str], prompt: str) -> Vectors:
        answer = self.source.embed(texts, prompt)
        self._check_answered()
        name, cut = self.source.name, self.identity.dimensions
        vectors = check_vectors(name, answer, texts, self._dimension, cut=cut)
        self._dimension = vectors.shape[1]
        self._works = texts[-1], prompt
        if self.source.interruptions > self._interruptions:
            self._check_identity_now_and_then()
        return vectors

    def _check_identity_now_and_then(self) -> None:
        # The check at the end finds what changes between two of these.
        if time.monotonic() - self._identified > IDENTITY_SECONDS:
            self.check_identity()

    def _check_answered(self) -> None:
        answered = self.source.answered
        if not answered or (self.answered and _plain(answered) == _plain(self.answered)):
            return
        if self.answered:
            raise WrongVectorsError(
                f"{self.source.name}: responses came from model {shown(self.answered)!r} and now from "
                f"{shown(answered)!r}; nothing of this fetch is kept; rerun the same command"
            )
        if not is_same_model(answered, self.identity):
            raise SourceError(
                f"{self.source.name}: the response is from model {shown(answered)!r}; if that is the one, set "
                f"model = {shown(answered)!r} in pair.toml, otherwise correct the model or the endpoint there"
            )
        self.answered = answered


def is_same_model(answered: str, identity: Identity) -> bool:
    """Return whether the name in a response may be that of the model asked for.

    Path, letter case, the tag `latest`, the suffix of a model file and a trailing version or date may differ, and the
    response may leave out the end of the name, from a separator on. llama.cpp answers with the name under which it
    lists its model.
    """
    said = _plain(answered)
    for name in (_plain(identity.model), *([_plain(identity.manifest)] if identity.kind == "openai" else [])):
        if name and (
            said == name
            or (said.startswith(name) and _VERSION.fullmatch(said[len(name) :]))
            or (said and name.startswith(said) and name[len(said)] in SEPARATORS)
        ):
            return True
    return False


def _plain(name: str) -> str:
    return re.split(r"[/\\]", name.strip().casefold())[-1].removesuffix(":latest").removesuffix(".gguf")


def _short(value: Any) -> str:
    text = shown(value)
    return repr(f"{text[:16]}..." if re.fullmatch("(sha256:)?[0-9a-f]{40,}", text) else text)

"""Embeddings over POST /v1/embeddings: llama.cpp's server, vLLM, TEI, LM Studio, Ollama too.

An API key, if the server requires one, is read from the environment variable EMBALIGN_API_KEY and never stored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NoReturn

from embalign.embeddings.http import Client, shown
from embalign.embeddings.source import Identity
from embalign.errors import AnswerError, SourceError, StatusError
from embalign.pairs.config import Model

KEY_VARIABLE = "EMBALIGN_API_KEY"
PREFLIGHT_SECONDS = 3.0


class OpenAISource:
    """A model behind an OpenAI-compatible server. No digest pins its weights, so its identity is unverified."""

    def __init__(self, model: Model) -> None:
        self.model = model
        if not model.endpoint:
            raise SourceError(
                f"model {model.model!r}: source openai needs an endpoint in pair.toml, such as http://host:port"
            )
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise SourceError(f"{KEY_VARIABLE} contains characters that an HTTP header cannot; set it to the key alone")
        url = model.endpoint.rstrip("/").removesuffix("/v1")
        self._client = Client(url, "endpoint in pair.toml", {"Authorization": f"Bearer {key}"} if key else None)
        self.name = f"the server at {self._client.shown}, model {model.model!r}"

    def identify(self) -> Identity:
        """Return what the server reports about itself: llama.cpp's build and the model's size, if available."""
        listed = self._optional("/v1/models")
        entry = self._entry(listed.get("data") if isinstance(listed, dict) else None)
        meta = entry.get("meta")
        about = self._optional("/props")
        build = about.get("build_info") if isinstance(about, dict) else None
        return Identity(
            kind="openai",
            server=f"llama.cpp {shown(build)}" if build else "OpenAI-compatible server",
            model=self.model.model,
            weights=" ".join(f"{k}={shown(v)}" for k, v in sorted(meta.items()) if k != "n_ctx")
            if isinstance(meta, dict)
            else "",
            manifest=shown(str(entry.get("id", "")).rpartition("/")[2]),
            pooling=self.model.pooling,
            # Two servers may report the same about two models, or nothing; the address tells them apart.
            options={"endpoint": self._client.address},
        )

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """Return one vector per text, in the order of the texts."""
        payload = {"model": self.model.model, "input": list(texts), "encoding_format": "float"}
        try:
            found = self._client.post("/v1/embeddings", payload)
        except StatusError as error:
            self._explain(error)
        entries = found.get("data") if isinstance(found, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise SourceError(f"{self.name}: the response has no list of embeddings")
        places = [entry.get("index", i) for i, entry in enumerate(entries)]
        if sorted(places, key=str) != sorted(range(len(entries)), key=str):
            raise SourceError(
                f"{self.name} numbered its vectors {shown(places)}, which does not match the texts; discarded"
            )
        return [entry.get("embedding") for _, entry in sorted(zip(places, entries, strict=True), key=lambda p: p[0])]

    def _entry(self, listed: Any) -> dict[str, Any]:
        """Return the model's entry in a server's list, or the only entry: llama.cpp lists its model by path."""
        entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        named = [entry for entry in entries if entry.get("id") == self.model.model]
        return (named or (entries if len(entries) == 1 else [{}]))[0]

    def _optional(self, path: str) -> Any:
        """Return the response of an endpoint that not every server has, or None; some return an HTML page."""
        try:
            return self._client.get(path, PREFLIGHT_SECONDS)
        except AnswerError as error:
            if isinstance(error, StatusError) and error.status in (401, 403):
                self._explain(error)
            return None

    def _explain(self, error: StatusError) -> NoReturn:
        if error.status in (401, 403):
            raise SourceError(f"{self.name} requires an API key ({error.detail}); set {KEY_VARIABLE}") from None
        if error.status == 404:
            raise SourceError(
                f"{self.name}: no such model, or no /v1/embeddings ({error.detail}); /v1/models lists the models"
            ) from None
        if error.status == 501:
            raise SourceError(
                f"{self.name} does not return embeddings ({error.detail}); start llama.cpp's server with --embeddings"
            ) from None
        raise error

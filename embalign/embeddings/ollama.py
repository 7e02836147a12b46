"""Embeddings from Ollama's own API: /api/embed, which normalises; never the legacy /api/embeddings."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from embalign.embeddings.http import Client
from embalign.embeddings.source import Identity
from embalign.errors import SourceError, StatusError
from embalign.pairs.config import Model

POOLING_TYPES = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}  # llama.cpp's values in a GGUF file
PREFLIGHT_SECONDS = 3.0
NO_EMBEDDINGS = "does not support embeddings"


class OllamaSource:
    """A model served by Ollama."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._client = Client(*address(model.endpoint, os.environ))
        self.name = f"Ollama at {self._client.shown}, model {model.model!r}"

    def identify(self) -> Identity:
        """Return the model's identity: manifest digest, weights digest and pooling key."""
        version = self._field(self._get("/api/version"), "version")
        entries = self._get("/api/tags").get("models")
        names = {str(entry.get("name")): entry for entry in entries or () if isinstance(entry, dict)}
        entry = names.get(self.model.model) or names.get(f"{self.model.model}:latest")
        if entry is None:
            self._missing()
        try:
            about = self._client.post("/api/show", {"model": self.model.model}, PREFLIGHT_SECONDS)
        except StatusError as error:
            self._explain(error)
        about = about if isinstance(about, dict) else {}
        manifest = str(entry.get("digest") or "")
        blob = re.search(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", str(about.get("modelfile")), re.MULTILINE)
        weights = blob.group(1) if blob else ""
        verified = bool(weights) and re.fullmatch(r"(sha256:)?[0-9a-f]{64}", manifest) is not None
        return Identity(
            kind="ollama",
            server=f"ollama {version}",
            model=self.model.model,
            weights=weights,
            manifest=manifest,
            pooling=self._pooling(about.get("model_info")),
            verified=verified,
            # Without a digest of the weights, the same name on another server may be another model.
            options={"truncate": False} if verified else {"truncate": False, "endpoint": self._client.address},
        )

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """Return one vector per text; an over-long text is an error and is never truncated."""
        try:
            found = self._client.post(
                "/api/embed", {"model": self.model.model, "input": list(texts), "truncate": False}
            )
        except StatusError as error:
            self._explain(error)
        vectors = found.get("embeddings") if isinstance(found, dict) else None
        if not isinstance(vectors, list):
            raise SourceError(f"{self.name}: the response has no list of embeddings")
        return vectors

    def _pooling(self, info: Any) -> str:
        keys = [key for key in info if str(key).endswith(".pooling_type")] if isinstance(info, dict) else []
        known = POOLING_TYPES.get(info[keys[0]], "unknown") if keys else "unknown"
        declared = self.model.pooling
        if known == "unknown":
            return declared
        if declared not in ("unknown", known):
            raise SourceError(
                f"{self.name}: the model's pooling is {known!r}, but pair.toml says {declared!r}; correct pair.toml"
            )
        return known

    def _get(self, path: str) -> dict[str, Any]:
        found = self._client.get(path, PREFLIGHT_SECONDS)
        if not isinstance(found, dict):
            raise SourceError(
                f"{self.name}: the response to {path} is not a JSON object; check that this address is Ollama"
            )
        return found

    def _field(self, found: Mapping[str, Any], key: str) -> str:
        if not isinstance(found.get(key), str):
            raise SourceError(f"{self.name}: the response has no {key!r}; check that this address is Ollama")
        return str(found[key])

    def _explain(self, error: StatusError) -> NoReturn:
        if error.status == 404:
            self._missing()
        if error.status == 501 or NO_EMBEDDINGS in error.detail:
            raise SourceError(
                f"{self.name} does not return embeddings of this model ({error.detail}). Since version 0.30 Ollama "
                "requires a pooling key in the model file. Either use an Ollama before 0.30, or create the model again "
                "from a GGUF file with the key <architecture>.pooling_type (3: last, 1: mean)"
            ) from None
        raise error

    def _missing(self) -> NoReturn:
        raise SourceError(f"{self.name}: no such model; get it: ollama pull {self.model.model}") from None


def address(endpoint: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the server's URL and its origin: the endpoint in pair.toml, or OLLAMA_HOST by Ollama's own rules.

    >>> address("", {"OLLAMA_HOST": "box"})
    ('http://box:11434', 'OLLAMA_HOST')
    >>> address("", {"OLLAMA_HOST": "https://box"})
    ('https://box:443', 'OLLAMA_HOST')
    """
    if endpoint:
        return endpoint, "endpoint in pair.toml"
    value = environment.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    standard = {"http": "80", "https": "443"}.get(scheme, "11434") if separator else "11434"
    authority, slash, path = rest.partition("/")
    host, port = _split_port(authority)
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(
        host, host
    )  # a bind address is not one to connect to
    if not (port.isdecimal() and int(port) <= 65535):
        port = standard
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{port}{slash}{path}".rstrip("/"), "OLLAMA_HOST" if value else "Ollama's default"


def _split_port(authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, _, rest = authority[1:].partition("]")
        return host, rest.removeprefix(":")
    if authority.count(":") == 1:
        host, _, port = authority.partition(":")
        return host, port
    return authority, ""

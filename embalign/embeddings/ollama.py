"""Embeddings from Ollama's own API: /api/embed, which normalises; never the legacy /api/embeddings."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from embalign.embeddings.http import QUERY_SECONDS, Client, objects
from embalign.embeddings.source import Identity, Served
from embalign.errors import SourceError
from embalign.pairs.config import Model

POOLING_TYPES = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}  # llama.cpp's values in a GGUF file
NO_EMBEDDINGS = "does not support embeddings"


class OllamaSource(Served):
    """A model served by Ollama."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._client = Client(*address(model.endpoint, os.environ), self._remedy)
        self.name = f"Ollama at {self._client.shown}, model {model.model!r}"

    def identify(self) -> Identity:
        """Return the model's identity: manifest digest, weights digest and pooling key."""
        version = self._client.ask("/api/version", deadline=QUERY_SECONDS).get("version")
        if not isinstance(version, str):
            raise SourceError(f"{self.name}: the response has no 'version'; check that this address is Ollama")
        listed = objects(self._client.ask("/api/tags", deadline=QUERY_SECONDS).get("models"))
        entries = {str(entry.get("name")): entry for entry in listed}
        entry = entries.get(self.model.model) or entries.get(f"{self.model.model}:latest")
        if entry is None:
            raise SourceError(f"{self.name}: {self._remedy(404, '')}")
        about = self._client.ask("/api/show", {"model": self.model.model}, QUERY_SECONDS)
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
        ).asked(dimensions=self.model.dimensions)

    def advice(self) -> str:
        """Return an empty string: no server says which prompts its model needs."""
        return ""

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return one vector per text; an over-long text is an error and is never truncated."""
        asked = {"dimensions": self.model.dimensions} if self.model.dimensions else {}
        payload = {"model": self.model.model, "input": [prompt + text for text in texts], "truncate": False} | asked
        response = self._client.ask("/api/embed", payload)
        self.note_answered(response)
        vectors = response.get("embeddings")
        if not isinstance(vectors, list):
            raise SourceError(f"{self.name}: the response has no list of embeddings")
        return vectors

    def _pooling(self, info: Any) -> str:
        types = [info[key] for key in info if key.endswith(".pooling_type")] if isinstance(info, dict) else []
        known = POOLING_TYPES.get(types[0], "unknown") if types else "unknown"
        declared = self.model.pooling
        if known == "unknown":
            return declared
        if declared not in ("unknown", known):
            raise SourceError(
                f"{self.name}: the model's pooling is {known!r}, but pair.toml says {declared!r}; correct pair.toml"
            )
        return known

    def _remedy(self, status: int, detail: str) -> str:
        if status == 404:
            return f"no such model; get it: ollama pull {self.model.model}"
        if status == 501 or NO_EMBEDDINGS in detail:
            return (
                "since version 0.30 Ollama requires a pooling key in the model file. Either use an Ollama before 0.30, "
                "or create the model again from a GGUF file with the key <architecture>.pooling_type (3: last, 1: mean)"
            )
        return ""


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
    scheme, _, rest = value.rpartition("://")
    standard = {"http": "80", "https": "443"}.get(scheme, "11434")
    authority, slash, path = rest.partition("/")
    has_port = authority.count(":") == 1 or "]:" in authority  # more colons are an IPv6 address
    host, _, port = authority.rpartition(":") if has_port else (authority, "", "")
    host = host.strip("[]")
    # A bind address is not one to connect to.
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if not (port.isdecimal() and int(port) <= 65535):
        port = standard
    shown = f"[{host}]" if ":" in host else host
    url = f"{scheme or 'http'}://{shown}:{port}{slash}{path}".rstrip("/")
    return url, "OLLAMA_HOST" if value else "Ollama's default"

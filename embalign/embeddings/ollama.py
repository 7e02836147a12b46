"""Embeddings from Ollama's own API: /api/embed, which normalises; never the legacy /api/embeddings."""

import difflib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from embalign.embeddings.addresses import PORTS, Address, parse_address
from embalign.embeddings.answers import objects, shown
from embalign.embeddings.http import Client
from embalign.embeddings.source import Identity, Served
from embalign.errors import SourceError
from embalign.pairs.config import Model

POOLING_TYPES = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}  # llama.cpp's values in a GGUF file
NO_EMBEDDINGS = "does not support embeddings"
REGISTRY, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"  # what a name leaves out
OWN_PATHS = ("/embed", "/embeddings", "/api", "/v1")  # of addresses that were copied from a request


class OllamaSource(Served):
    """A model served by Ollama."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._client = Client(address(model.endpoint, os.environ), self._remedy)
        self._listed = model.model
        self.name = f"Ollama at {self._client.shown}, model {model.model!r}"

    def identify(self) -> Identity:
        """Return the model's identity: manifest digest, weights digest and pooling key."""
        client, query = self._client, self._client.query_deadline
        version = client.ask("/api/version", deadline=query, wanted="version").get("version")
        if not isinstance(version, str):
            raise SourceError(f"{self.name}: the response has no 'version'; check that this address is Ollama")
        entry = self._entry(objects(client.ask("/api/tags", deadline=query, wanted="models").get("models")))
        about = client.ask("/api/show", {"model": self._listed}, query)
        manifest = str(entry.get("digest") or "")
        blob = re.search(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", str(about.get("modelfile")), re.MULTILINE)
        weights = blob.group(1) if blob else ""
        verified = bool(weights) and re.fullmatch(r"(sha256:)?[0-9a-f]{64}", manifest) is not None
        return Identity(
            kind="ollama",
            server=f"ollama {client.words(version)}",
            model=self.model.model,
            weights=weights,
            manifest=manifest,
            pooling=self._pooling(about.get("model_info")),
            verified=verified,
            # Without a digest of the weights, the same name on another server may be another model.
            options={"truncate": False} if verified else {"truncate": False, "endpoint": client.address},
        ).asked(dimensions=self.model.dimensions)

    def advice(self) -> str:
        """Return an empty string: no server says which prompts its model needs."""
        return ""

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return one vector per text; an over-long text is an error and is never truncated."""
        asked = {"dimensions": self.model.dimensions} if self.model.dimensions else {}
        payload = {"model": self._listed, "input": [prompt + text for text in texts], "truncate": False} | asked
        response = self._client.ask("/api/embed", payload, wanted="embeddings")
        self.note_answered(response)
        vectors = response.get("embeddings")
        if not isinstance(vectors, list):
            raise SourceError(f"{self.name}: the response has no list of embeddings")
        return vectors

    def _entry(self, listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the entry of the model among those that the server lists. Raises SourceError with the near names."""
        by_name = {str(name): entry for entry in listed if (name := entry.get("name") or entry.get("model"))}
        same = [name for name in by_name if full_name(name) == full_name(self.model.model)]
        if not same:
            near = difflib.get_close_matches(self.model.model.lower(), map(str.lower, by_name), n=3)
            there = [name for name in by_name if name.lower() in near] or list(by_name)[:5]
            names = ", ".join(self._client.words(name) for name in there)
            raise SourceError(f"{self.name}: {self._pull()} (the server has: {names or 'none'})")
        self._listed = next((name for name in same if name.startswith(self.model.model)), same[0])
        return by_name[self._listed]

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

    def _pull(self) -> str:
        return f"no such model; get it: ollama pull {shlex.quote(shown(self.model.model))}"

    def _remedy(self, status: int, detail: str) -> str:
        if status == 404:
            return self._pull() if "model" in detail else "check that this address is Ollama's"
        if status == 501 or NO_EMBEDDINGS in detail:
            return (
                "since version 0.30 Ollama requires a pooling key in the model file. Either use an Ollama before 0.30, "
                "or create the model again from a GGUF file with the key <architecture>.pooling_type (3: last, 1: mean)"
            )
        return ""


def full_name(name: str) -> str:
    """Return a model's name as Ollama resolves it: in lower case, with registry, namespace and tag.

    >>> full_name("Library/Little")
    'registry.ollama.ai/library/little:latest'
    >>> full_name("hf.co/org/Little-GGUF:Q8_0")
    'hf.co/org/little-gguf:q8_0'
    """
    *folders, last = re.sub("^https?://", "", name.strip().lower()).split("/")
    model, _, tag = last.partition(":")
    folders = [REGISTRY, NAMESPACE][: max(0, 2 - len(folders))] + folders
    return "/".join([*folders, f"{model}:{tag or TAG}"])


def address(endpoint: str, environment: Mapping[str, str]) -> Address:
    """Return the server's address: the endpoint in pair.toml, or OLLAMA_HOST by Ollama's own rules.

    A path of the API is left out. Raises SourceError for what is no address.

    >>> address("", {"OLLAMA_HOST": "box"}).shown
    'http://box:11434'
    >>> address("", {"OLLAMA_HOST": "https://box"}).shown
    'https://box:443'
    """
    if endpoint:
        found = parse_address(endpoint, "endpoint in pair.toml")
    else:
        value = environment.get("OLLAMA_HOST", "").strip().strip("\"'")
        found = parse_address(_as_url(value), "OLLAMA_HOST" if value else "Ollama's default")
    path = found.path
    for own in OWN_PATHS:
        path = path.removesuffix(own)
    return found.under(path)


def _as_url(value: str) -> str:
    """Return OLLAMA_HOST as a URL: http and port 11434 where it names none, and for a port that is none."""
    scheme, _, rest = value.rpartition("://") if re.match(r"[a-zA-Z]+://", value) else ("", "", value)
    standard = PORTS.get(scheme.lower(), 11434)
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    tail = rest.removeprefix(authority)
    user, at, place = authority.rpartition("@")
    has_port = place.count(":") == 1 or "]:" in place  # more colons are an IPv6 address
    host, _, port = place.rpartition(":") if has_port else (place, "", "")
    if not (port.isdecimal() and 0 < int(port) <= 65535):
        port = str(standard)
    host = host.strip("[]")
    return f"{scheme or 'http'}://{user}{at}{f'[{host}]' if ':' in host else host}:{port}{tail}"

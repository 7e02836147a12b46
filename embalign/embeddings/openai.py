"""Embeddings over POST /v1/embeddings: llama.cpp's server, vLLM, TEI, LM Studio, Ollama too, and gateways to others.

An API key, if the server requires one, is read from the environment variable EMBALIGN_API_KEY and never stored. It goes
only to this machine and, over https, to the hosts that EMBALIGN_API_HOST names: pair.toml may be a stranger's.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from embalign.embeddings.addresses import parse_address
from embalign.embeddings.answers import objects
from embalign.embeddings.http import Client
from embalign.embeddings.secrets import HOSTS_VARIABLE, KEY_VARIABLE, key_of_environment
from embalign.embeddings.source import Identity, Served
from embalign.errors import SourceError, StatusError
from embalign.pairs.config import Model

EMBEDDINGS = "/embeddings"
REFUSED = (400, 422, 500)  # where a server does not know a parameter
_VERSION = re.compile(r"/v\d+[a-z\d]*(/|$)", re.IGNORECASE)


class OpenAISource(Served):
    """A model behind an OpenAI-compatible server. No digest pins its weights, so its identity is unverified.

    The endpoint is the server's address, with or without the path that its documentation calls the base URL. A path
    that ends in /embeddings is used as it is; to one with a version in it (/v1, /v1beta/openai, /api/v3) /embeddings is
    added, to any other /v1/embeddings. Where the server has nothing there (404), the other of the two is tried once. A
    query (?api-version=...) goes with each request.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        if not model.endpoint:
            raise SourceError(
                f"model {model.model!r}: source openai needs an endpoint in pair.toml, such as http://host:port"
            )
        self._key = key_of_environment()
        address = parse_address(model.endpoint, "endpoint in pair.toml")
        root, self._prefix, self._whole = split_path(address.path)
        self._models = f"{self._prefix}/models"  # one path for the whole run, whatever else is learnt of the server
        self._is_local = address.is_local
        self._client = Client(address.under(root), self._remedy, self._key)
        self._options: dict[str, Any] = {"encoding_format": "float"}
        if model.dimensions:
            self._options["dimensions"] = model.dimensions
        self._works = False
        self._known: dict[str, dict[str, Any]] = {}
        self.name = f"the server at {self._client.shown}, model {model.model!r}"

    def identify(self) -> Identity:
        """Return what the server reports about itself: llama.cpp's build and the model's size, if available."""
        words = self._client.words
        listed = objects(self._optional(self._models).get("data"))
        named = [entry for entry in listed if entry.get("id") == self.model.model]
        # llama.cpp lists its only model by path.
        entry = (named or (listed if len(listed) == 1 else [{}]))[0]
        build = self._optional("/props").get("build_info")
        meta = entry.get("meta")
        about = meta.items() if isinstance(meta, dict) else ()
        return Identity(
            kind="openai",
            server=f"llama.cpp {words(build)}" if build else "OpenAI-compatible server",
            model=self.model.model,
            weights=" ".join(f"{words(key)}={words(value)}" for key, value in sorted(about) if key != "n_ctx"),
            manifest=words(str(entry.get("id", "")).rpartition("/")[2]),
            pooling=self.model.pooling,
            # Two servers may report the same about two models, or nothing; the address tells them apart.
            options={"endpoint": self._client.address},
        ).asked(dimensions=self.model.dimensions)

    def advice(self) -> str:
        """Return an empty string: no server says which prompts its model needs."""
        return ""

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return one vector per text, in the order of the texts."""
        response = self._ask({"model": self.model.model, "input": [prompt + text for text in texts]})
        self.note_answered(response)
        found = response.get("data")
        if not isinstance(found, list):
            raise SourceError(f"{self.name}: the response has no list of embeddings")
        if len(found) != len(texts):  # said here, before millions of entries are put in order
            raise SourceError(f"{self.name} returned {len(found)} vectors for {len(texts)} texts; discarded")
        entries = objects(found)
        places = [entry.get("index", i) for i, entry in enumerate(entries)]
        if any(type(place) is not int for place in places) or sorted(places) != list(range(len(entries))):
            raise SourceError(
                f"{self.name} numbered its vectors {self._client.words(places)}, which does not match the texts; "
                "discarded"
            )
        ordered = sorted(zip(places, entries, strict=True), key=lambda pair: pair[0])
        return [self._vector(entry.get("embedding")) for _, entry in ordered]

    def _ask(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Ask for embeddings; what the server refuses of path and options is left out from then on."""
        path, options = self._prefix + EMBEDDINGS, self._options
        tried, first = [(path, options)], None
        while True:
            try:
                answer = self._client.ask(path, payload | options, wanted="data")
            except StatusError as error:
                first = first or error
                path, options = self._without_refused(error, path, options)
                if (path, options) in tried:
                    raise first from None
                tried.append((path, options))
            else:
                self._prefix, self._options, self._works = path.removesuffix(EMBEDDINGS), options, True
                return answer

    def _without_refused(self, error: StatusError, path: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return path and options to try after an error, or the same ones.

        No option is needed: float is the standard, and vectors that the server does not cut are cut here. A server that
        names none is asked without them, unless it has been seen to accept them.
        """
        if error.status in (404, 405) and not (self._works or self._whole):
            return ("/v1" if path == EMBEDDINGS else "") + EMBEDDINGS, options
        if error.status in REFUSED:
            kept = {name: value for name, value in options.items() if name not in error.detail}
            unnamed = kept == options and error.status != 500 and not self._works
            return path, {} if unnamed else kept
        return path, options

    def _vector(self, found: Any) -> Any:
        """Return a vector as numbers: some gateways send it as base64 of float32, little-endian."""
        if not isinstance(found, str):
            return found
        try:
            raw = base64.b64decode(found, validate=True)
            return np.frombuffer(raw, dtype="<f4").astype(float).tolist()
        except (binascii.Error, ValueError):
            return self._client.words(found)

    def _optional(self, path: str) -> dict[str, Any]:
        """Return what not every server has. No answer, where there was one before, is no other answer."""
        if path not in self._known or self._known[path]:
            self._known[path] = self._client.optional(path) or self._known.get(path, {})
        return self._known[path]

    def _remedy(self, status: int, _: str) -> str:
        if status in (401, 403):
            named = "" if self._is_local else f", and {HOSTS_VARIABLE} to the server's host"
            wanted = f"the server requires an API key; set {KEY_VARIABLE}{named}"
            return f"the server rejects the key in {KEY_VARIABLE}" if self._key else wanted
        base = f"{self._client.address}{'' if self._whole else self._prefix}"
        return {
            404: f"no such model, or not the address: endpoint is what comes before {EMBEDDINGS}, such as "
            f"http://host:port/v1; {base}/models may list the models",
            501: "the server does not return embeddings; start llama.cpp's server with --embeddings",
        }.get(status, "")


def split_path(path: str) -> tuple[str, str, bool]:
    """Return the path that all requests share, that of the API below it, and whether the endpoint was given whole.

    >>> split_path("/v1/embeddings"), split_path("/v1beta/openai"), split_path("/proxy")
    (('', '/v1', True), ('/v1beta/openai', '', False), ('/proxy', '/v1', False))
    """
    whole = path.endswith(EMBEDDINGS)
    base = path.removesuffix(EMBEDDINGS).rstrip("/")
    if base.endswith("/v1"):
        return base.removesuffix("/v1"), "/v1", whole
    as_given = whole or _VERSION.search(base) is not None or "/deployments/" in base
    return base, "" if as_given else "/v1", whole

"""Embeddings over POST /v1/embeddings: llama.cpp's server, vLLM, TEI, LM Studio, Ollama too.

An API key, if the server requires one, is read from the environment variable EMBALIGN_API_KEY and never stored.
"""

import os
from collections.abc import Sequence
from typing import Any

from embalign.embeddings.http import QUERY_SECONDS, Client, objects, shown
from embalign.embeddings.source import Identity, Served
from embalign.errors import AnswerError, SourceError, StatusError
from embalign.pairs.config import Model

KEY_VARIABLE = "EMBALIGN_API_KEY"
REMEDIES = {
    401: f"the server requires an API key; set {KEY_VARIABLE}",
    403: f"the server requires another API key; set {KEY_VARIABLE}",
    404: "no such model, or no /v1/embeddings; /v1/models lists the models",
    501: "the server does not return embeddings; start llama.cpp's server with --embeddings",
}


class OpenAISource(Served):
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
        headers = {"Authorization": f"Bearer {key}"} if key else None
        self._client = Client(url, "endpoint in pair.toml", lambda status, _: REMEDIES.get(status, ""), headers)
        self.name = f"the server at {self._client.shown}, model {model.model!r}"

    def identify(self) -> Identity:
        """Return what the server reports about itself: llama.cpp's build and the model's size, if available."""
        listed = objects(self._optional("/v1/models").get("data"))
        named = [entry for entry in listed if entry.get("id") == self.model.model]
        # llama.cpp lists its only model by path.
        entry = (named or (listed if len(listed) == 1 else [{}]))[0]
        build = self._optional("/props").get("build_info")
        meta = entry.get("meta")
        about = meta.items() if isinstance(meta, dict) else ()
        return Identity(
            kind="openai",
            server=f"llama.cpp {shown(build)}" if build else "OpenAI-compatible server",
            model=self.model.model,
            weights=" ".join(f"{key}={shown(value)}" for key, value in sorted(about) if key != "n_ctx"),
            manifest=shown(str(entry.get("id", "")).rpartition("/")[2]),
            pooling=self.model.pooling,
            # Two servers may report the same about two models, or nothing; the address tells them apart.
            options={"endpoint": self._client.address},
        ).asked(dimensions=self.model.dimensions)

    def advice(self) -> str:
        """Return an empty string: no server says which prompts its model needs."""
        return ""

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return one vector per text, in the order of the texts."""
        asked = {"dimensions": self.model.dimensions} if self.model.dimensions else {}
        prompted = [prompt + text for text in texts]
        payload = {"model": self.model.model, "input": prompted, "encoding_format": "float"} | asked
        response = self._client.ask("/v1/embeddings", payload)
        self.note_answered(response)
        entries = objects(response.get("data"))
        places = [entry.get("index", i) for i, entry in enumerate(entries)]
        if sorted(places, key=str) != sorted(range(len(entries)), key=str):
            raise SourceError(
                f"{self.name} numbered its vectors {shown(places)}, which does not match the texts; discarded"
            )
        return [entry.get("embedding") for _, entry in sorted(zip(places, entries, strict=True), key=lambda p: p[0])]

    def _optional(self, path: str) -> dict[str, Any]:
        """Return the response of an endpoint that not every server has, or an empty one; some return an HTML page."""
        try:
            return self._client.ask(path, deadline=QUERY_SECONDS)
        except AnswerError as error:
            if isinstance(error, StatusError) and error.status in (401, 403):
                raise
            return {}

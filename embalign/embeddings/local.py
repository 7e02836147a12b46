"""Embeddings by a sentence-transformers model in this process (an optional extra)."""

import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from embalign.embeddings.http import shown
from embalign.embeddings.source import Identity
from embalign.errors import SourceError
from embalign.lazy import lazy
from embalign.pairs.config import Model
from embalign.pairs.provenance import file_digest

SentenceTransformer = lazy("sentence_transformers").SentenceTransformer
OF_SEARCH = ("query", "document", "passage")  # names of prompts in a model's own files


class LocalSource:
    """A sentence-transformers model, named by a folder or by a name that the library resolves."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.name = f"sentence-transformers model {model.model!r}"

    def identify(self) -> Identity:
        """Return the library's version and, for a folder, the digest of all its files, which set pooling and limits."""
        encoder = self._encoder
        folder = Path(self.model.model)
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        listed = "".join(f"{file_digest(path)} {path.relative_to(folder)}\n" for path in files)
        weights = hashlib.sha256(listed.encode()).hexdigest() if files else ""
        config = getattr(getattr(encoder[0], "auto_model", None), "config", None)
        revision = str(getattr(config, "_commit_hash", None) or "")
        return Identity(
            kind="sentence-transformers",
            server=f"sentence-transformers {importlib.metadata.version('sentence-transformers')}",
            model=folder.name if files else self.model.model,
            weights=weights,
            manifest=revision,
            pooling="as the model says" if self.model.pooling == "unknown" else self.model.pooling,
            verified=bool(weights or revision),
        ).asked(dimensions=self.model.dimensions)

    def advice(self) -> str:
        """Return the prompts that the model's own files name, if pair.toml names none."""
        declared = getattr(self._encoder, "prompts", None) or {}
        own = [f"{name}: {declared[name]!r}" for name in OF_SEARCH if declared.get(name)]
        if not own or self.model.query_prompt or self.model.document_prompt:
            return ""
        return (
            f"{self.name} has prompts of its own ({', '.join(own)}) and pair.toml names none; if it is to have them, "
            "set query_prompt and document_prompt there"
        )

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return one unit vector per text. Without a prompt, the model's own default, if it has one, is used."""
        # The library, not we, puts the prompt in front: some models leave its tokens out of the pooling.
        encode = self._encoder.encode
        vectors = encode(list(texts), prompt=prompt or None, normalize_embeddings=True, show_progress_bar=False)
        return list(vectors.tolist())

    @functools.cached_property
    def _encoder(self) -> Any:
        try:
            model_class = SentenceTransformer.resolve()
        except ImportError:
            raise SourceError(
                f"{self.name} needs a library that is not installed; install it: "
                "pip install 'embalign[sentence-transformers]'"
            ) from None
        try:
            return model_class(self.model.model, device="cpu", truncate_dim=self.model.dimensions)
        except (OSError, ValueError) as error:
            raise SourceError(f"{self.name} cannot be loaded: {shown(error)}") from None

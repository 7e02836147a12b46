"""Embeddings by a sentence-transformers model in this process (an optional extra)."""

import copy
import functools
import hashlib
import importlib.metadata
import math
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
POSITION_TABLES = ("position_embeddings", "wpe")  # of learned positions, as modules of models name them
FOREIGN_CODE = "trust_remote_code"
LISTED = 5  # over-long texts, of all
TOKENIZED = 1024  # texts at once


class LocalSource:
    """A sentence-transformers model, named by a folder or by a name that the library resolves."""

    answered, interruptions, patience = "", 0, 0.0

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
        ).asked(dimensions=self.model.dimensions, truncate=self.model.truncate)

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

    def check_lengths(self, texts: Sequence[str], prompt: str = "") -> None:
        """Raise SourceError that names texts with more tokens than the model reads, prompt and special tokens included.

        The library cuts them without a word. `texts` are numbered from 1. A model without a limit is not checked, and
        nor is one that is to cut them.
        """
        if self.model.truncate:
            return
        encoder = self._encoder
        own = (getattr(encoder, "prompts", None) or {}).get(getattr(encoder, "default_prompt_name", None))
        before = prompt or own or ""
        try:
            limit = _limit(encoder)
            long: list[tuple[int, int]] = []
            for start in range(0, len(texts) if limit < math.inf else 0, TOKENIZED):
                counts = _token_counts(encoder.tokenizer, [before + text for text in texts[start : start + TOKENIZED]])
                long += [(number, count) for number, count in enumerate(counts, start=start + 1) if count > limit]
        except BaseException as error:
            raise SourceError(f"{self.name} cannot count the tokens of the texts: {_cause(error)}") from None
        if long:
            listed = "; ".join(
                f"text {number} ({count} tokens) {shown(texts[number - 1])!r}" for number, count in long[:LISTED]
            )
            more = f"; and {len(long) - LISTED} more" if len(long) > LISTED else ""
            raise SourceError(
                f"{self.name} reads {limit:.0f} tokens of a text and would cut {len(long)} of {len(texts)} texts; "
                f"shorten them, use a model that reads more, or set truncate = true in pair.toml: {listed}{more}"
            )

    def embed(self, texts: Sequence[str], prompt: str = "") -> list[Any]:
        """Return one unit vector per text. Without a prompt, the model's own default, if it has one, is used."""
        # The library, not we, puts the prompt in front: some models leave its tokens out of the pooling.
        encode = self._encoder.encode
        try:
            vectors = encode(list(texts), prompt=prompt or None, normalize_embeddings=True, show_progress_bar=False)
            return list(vectors.tolist())
        except BaseException as error:  # whatever the library, or the model's own modules, raise
            raise SourceError(
                f"{self.name} cannot embed {len(texts)} texts, the first {shown(texts[0])!r}: {_cause(error)}; try the "
                "model with sentence-transformers alone"
            ) from None

    @functools.cached_property
    def _encoder(self) -> Any:
        try:
            model_class = SentenceTransformer.resolve()
        except BaseException as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == "sentence_transformers"
            found = "is not installed; install it" if missing else f"cannot be imported ({_cause(error)}); reinstall it"
            raise SourceError(
                f"{self.name} needs the library sentence-transformers, which {found}: pip install "
                "'embalign[sentence-transformers]'"
            ) from None
        try:
            return model_class(
                self.model.model, device="cpu", truncate_dim=self.model.dimensions, trust_remote_code=False
            )
        except BaseException as error:
            raise SourceError(f"{self.name} cannot be loaded: {_cause(error)}; {_remedy(error)}") from None


def _limit(encoder: Any) -> float:
    """Return how many tokens a model reads: the least of what its files and its table of positions say."""
    tokenizer = getattr(encoder, "tokenizer", None)
    cut = getattr(tokenizer, "truncation", None) or {}  # of a bare tokenizer
    said = [getattr(encoder, "max_seq_length", None), cut.get("max_length") if isinstance(cut, dict) else None]
    for module in encoder.modules():
        for name in POSITION_TABLES:
            positions = getattr(getattr(module, name, None), "num_embeddings", None)
            if isinstance(positions, int):
                padding = getattr(module, "padding_idx", None)  # RoBERTa and its kin count positions from there
                said.append(positions - padding - 1 if isinstance(padding, int) else positions)
    return min((float(limit) for limit in said if isinstance(limit, int | float) and limit > 0), default=math.inf)


def _token_counts(tokenizer: Any, texts: list[str]) -> list[int]:
    """Return how many tokens each text has before anything is cut."""
    if callable(tokenizer):
        return [len(tokens) for tokens in tokenizer(texts, truncation=False, padding=False, verbose=False)["input_ids"]]
    whole = copy.deepcopy(tokenizer)  # a bare one, as static models have it
    whole.no_truncation()
    return [len(tokens.ids) for tokens in whole.encode_batch(texts, add_special_tokens=False)]


def _cause(error: BaseException) -> str:
    """Return the type and the words of an error of the library, even of a panic of its Rust parts.

    Raises again what ends the run: Ctrl-C, and what pytest raises in a signal handler.
    """
    if (
        isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
        or type(error).__module__ == "_pytest.outcomes"
    ):
        raise error
    if FOREIGN_CODE in str(error):
        return f"its files name code to be run, and embalign runs no code of a model ({type(error).__name__})"
    return f"{type(error).__name__}: {shown(error)}"


def _remedy(error: BaseException) -> str:
    if FOREIGN_CODE in str(error):
        return "use a model that the library loads without trust_remote_code"
    if isinstance(error, ImportError):
        return "install what is missing"
    if isinstance(error, OSError) and not isinstance(error, EOFError):
        return "correct the name or the folder in pair.toml, or download the model again"
    return "its files are damaged or incomplete: download it again"

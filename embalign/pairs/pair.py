"""A pair folder: two models, a corpus, and both models' embeddings of it.

    pair.toml    corpus.jsonl    embeddings/{draft,teacher}.safetensors, provenance.json

Row i of `draft.safetensors` belongs to line i of the corpus, style variants included; `teacher.safetensors` holds the
plain items in the same order. A pair folder is untrusted data: nothing in it is unpickled or run.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.config import PairConfig, read_config
from embalign.pairs.corpus import Item, corpus_digest, read_corpus
from embalign.pairs.holdout import Holdout, check_labels, split_holdout
from embalign.pairs.provenance import ROLES, file_digest, read_provenance, vectors_path
from embalign.pairs.vectors import check_vectors_file, differs, read_vectors


@dataclass(frozen=True)
class _Content:
    """The content of a pair's files."""

    config: PairConfig
    items: tuple[Item, ...]
    draft: Vectors
    teacher: Vectors
    styled: tuple[Item, ...]
    styled_draft: Vectors


@dataclass(frozen=True, eq=False)
class Pair:
    """Plain items with float32 unit-length embeddings (n, d) by draft and teacher, and their fixed split.

    The first use of any content reads and checks the files and may raise PairError or CorpusError; `name` and `folder`
    never do. A pair that has been read is pickled with its content, so it can be sent to a machine without the folder.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Name of the pair: that of its folder."""
        return self.folder.name

    @property
    def config(self) -> PairConfig:
        """Content of pair.toml."""
        return self._content.config

    @property
    def items(self) -> tuple[Item, ...]:
        """The n plain items, in the order of the corpus."""
        return self._content.items

    @property
    def draft(self) -> Vectors:
        """Embeddings (n, d_draft) of the plain items by the draft."""
        return self._content.draft

    @property
    def teacher(self) -> Vectors:
        """Embeddings (n, d_teacher) of the plain items by the teacher."""
        return self._content.teacher

    @property
    def styled(self) -> tuple[Item, ...]:
        """The m style variants, in the order of the corpus."""
        return self._content.styled

    @property
    def styled_draft(self) -> Vectors:
        """Embeddings (m, d_draft) of the style variants, by the draft alone."""
        return self._content.styled_draft

    @functools.cached_property
    def labels(self) -> NDArray[np.str_]:
        """Retrieval group of each plain item."""
        return np.array([item.label for item in self.items])

    @functools.cached_property
    def holdout(self) -> Holdout:
        """The fixed split of the plain items into training pool and test set."""
        return split_holdout([item.text for item in self.items], [item.label for item in self.items])

    def with_vectors(self, *, draft: Vectors | None = None, teacher: Vectors | None = None) -> Pair:
        """Return a pair with the same items and other embeddings (n, d). Raises ValueError for another row count."""
        content = self._content
        draft, teacher = content.draft if draft is None else draft, content.teacher if teacher is None else teacher
        for name, vectors in (("draft", draft), ("teacher", teacher)):
            if len(vectors) != len(content.items):
                raise ValueError(f"{name}: {len(vectors)} vectors for the {len(content.items)} items of {self.name}")
        return _holding(self.folder, dataclasses.replace(content, draft=draft, teacher=teacher))

    @functools.cached_property
    def _content(self) -> _Content:
        return _read(self.folder)


def load_pair(folder: Path) -> Pair:
    """Return the pair in `folder` with every file read and checked. Raises PairError or CorpusError."""
    return _holding(folder, _read(folder))


def check_pair(folder: Path) -> None:
    """Check configuration, corpus, digests and the vectors' shapes, types and dimensions without loading the vectors.

    Raises PairError or CorpusError as `load_pair` does, and CorpusError for labels that no experiment can use.
    """
    config = read_config(folder)
    items = read_corpus(folder / config.corpus)
    plain = [item.label for item in items if item.style is None]
    check_labels(plain)
    provenance = read_provenance(folder)
    _check_corpus(folder / config.corpus, provenance["corpus_sha256"])
    for role, count in zip(ROLES, (len(items), len(plain)), strict=True):
        check_vectors_file(folder, role, count, provenance)


def pair_digest(folder: Path) -> str:
    """Return the SHA-256 over the files in the folder that a measured number depends on."""
    config = read_config(folder)
    vectors = [vectors_path(folder, role) for role in ROLES]
    if missing := [path for path in vectors if not path.is_file()]:
        raise PairError(f"{missing[0]}: no such file; this pair has not been embedded yet")
    parts = [corpus_digest(folder / config.corpus), *(file_digest(path) for path in vectors)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _holding(folder: Path, content: _Content) -> Pair:
    pair = Pair(folder)
    vars(pair)["_content"] = content  # where cached_property stores it
    return pair


def _read(folder: Path) -> _Content:
    config = read_config(folder)
    items = read_corpus(folder / config.corpus)
    provenance = read_provenance(folder)
    _check_corpus(folder / config.corpus, provenance["corpus_sha256"])
    styled_rows = np.array([item.style is not None for item in items])
    plain = tuple(item for item in items if item.style is None)
    draft = read_vectors(folder, "draft", len(items), provenance)
    return _Content(
        config=config,
        items=plain,
        draft=np.ascontiguousarray(draft[~styled_rows]),
        teacher=read_vectors(folder, "teacher", len(plain), provenance),
        styled=tuple(item for item in items if item.style is not None),
        styled_draft=np.ascontiguousarray(draft[styled_rows]),
    )


def _check_corpus(path: Path, recorded: str) -> None:
    # Earlier versions recorded the digest of the raw bytes, including CRLF and byte order mark.
    if recorded not in (actual := corpus_digest(path), file_digest(path)):
        raise PairError(differs(path, actual, recorded))

"""A pair folder: two models, a corpus, and both models' embeddings of it.

    pair.toml    corpus.jsonl    embeddings/{draft,teacher}.safetensors, provenance.json

Row i of `draft.safetensors` belongs to line i of the corpus, style variants included; `teacher.safetensors` holds the
plain items in the same order. A pair folder is untrusted data: nothing in it is unpickled or run.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.config import PairConfig, read_config
from embalign.pairs.corpus import Item, corpus_digest, read_corpus
from embalign.pairs.holdout import Holdout, check_labels, split_holdout
from embalign.pairs.provenance import ROLES, file_digest, read_provenance, vectors_path
from embalign.pairs.vectors import check_vectors_file, differs, read_vectors


@dataclass(frozen=True, eq=False)
class Pair:
    """Plain items with float32 unit-length embeddings (n, d) by draft and teacher, and their fixed split.

    The first use of any content reads and checks the files and may raise PairError or CorpusError; `name` and `folder`
    never do. A pair that has been read is pickled with its content, so it can be sent to a machine without the folder.
    """

    folder: Path
    config: PairConfig = field(init=False, repr=False)  # content of pair.toml
    items: tuple[Item, ...] = field(init=False, repr=False)  # the n plain items, in the order of the corpus
    draft: Vectors = field(init=False, repr=False)  # (n, d_draft): the plain items by the draft
    teacher: Vectors = field(init=False, repr=False)  # (n, d_teacher): the plain items by the teacher
    styled: tuple[Item, ...] = field(init=False, repr=False)  # the m style variants, in the order of the corpus
    styled_draft: Vectors = field(init=False, repr=False)  # (m, d_draft): the style variants, by the draft alone

    if not TYPE_CHECKING:  # mypy would accept any name

        def __getattr__(self, name: str) -> object:
            """Read the content on the first use of a field that is not there yet."""
            if name not in self.__dataclass_fields__:
                raise AttributeError(f"a pair has no {name!r}")
            vars(self).update(_read(self.folder))
            return vars(self)[name]

    @property
    def name(self) -> str:
        """Name of the pair: that of its folder."""
        return self.folder.name

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
        changed = {
            "draft": self.draft if draft is None else draft,
            "teacher": self.teacher if teacher is None else teacher,
        }
        for name, vectors in changed.items():
            if len(vectors) != len(self.items):
                raise ValueError(f"{name}: {len(vectors)} vectors for the {len(self.items)} items of {self.name}")
        pair = copy.copy(self)
        vars(pair).update(changed)
        return pair


def load_pair(folder: Path) -> Pair:
    """Return the pair in `folder` with every file read and checked. Raises PairError or CorpusError."""
    pair = Pair(folder)
    vars(pair).update(_read(folder))
    return pair


def check_pair(folder: Path) -> None:
    """Check configuration, corpus, digests and the vectors' shapes, types and dimensions without loading the vectors.

    Raises PairError or CorpusError as `load_pair` does, and CorpusError for labels that no experiment can use.
    """
    _, items, provenance = _described(folder)
    plain = [item.label for item in items if item.style is None]
    check_labels(plain)
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


def _read(folder: Path) -> dict[str, object]:
    """Return the content of a pair by the name of its field."""
    config, items, provenance = _described(folder)
    is_styled = np.array([item.style is not None for item in items])
    plain = tuple(item for item in items if item.style is None)
    draft = read_vectors(folder, "draft", len(items), provenance)
    return {
        "config": config,
        "items": plain,
        "draft": draft[~is_styled],
        "teacher": read_vectors(folder, "teacher", len(plain), provenance),
        "styled": tuple(item for item in items if item.style is not None),
        "styled_draft": draft[is_styled],
    }


def _described(folder: Path) -> tuple[PairConfig, list[Item], dict[str, Any]]:
    """Return configuration, items and provenance of a pair whose corpus is the recorded one."""
    config = read_config(folder)
    corpus = folder / config.corpus
    items = read_corpus(corpus)
    provenance = read_provenance(folder)
    # Earlier versions recorded the digest of the raw bytes, including CRLF and byte order mark.
    if provenance["corpus_sha256"] not in (actual := corpus_digest(corpus), file_digest(corpus)):
        raise PairError(differs(corpus, actual, provenance["corpus_sha256"]))
    return config, items, provenance

"""A pair folder: two models, a corpus, queries if it has any of its own, and both models' embeddings of the texts.

    pair.toml    corpus.jsonl    embeddings/{draft,teacher}.safetensors, provenance.json
                 queries.jsonl   embeddings/{draft,teacher}_queries.safetensors

Row i of `draft.safetensors` belongs to line i of the corpus, style variants included; `teacher.safetensors` holds the
plain items in the same order. A pair folder is untrusted data: nothing in it is unpickled or run.
"""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from embalign.errors import PairError
from embalign.pairs import Vectors
from embalign.pairs.clusters import cluster_names, names_of_documents, nearest_rows
from embalign.pairs.config import PairConfig, read_config
from embalign.pairs.corpus import Item
from embalign.pairs.freed import give_back
from embalign.pairs.holdout import Holdout, Names, check_texts, groups_of, split_holdout, split_queries
from embalign.pairs.meaning import check_labels_agree, check_part
from embalign.pairs.names import listed, stored_names
from embalign.pairs.picked import MANY
from embalign.pairs.provenance import file_digest, read_provenance, vectors_path
from embalign.pairs.queries import Judgements, Query
from embalign.pairs.texts import OF_QUERIES, ROLES, Basis, Texts, parts_of, read_texts, text_digests
from embalign.pairs.vectors import check_is_as_asked, differs, read_vectors

FitOn = Literal["queries", "documents", "query_document"]
FIT_ON: tuple[FitOn, ...] = get_args(FitOn)


@dataclass(frozen=True, eq=False)
class Fitted:
    """The same texts by draft (n, d_draft) and teacher (n, d_teacher), and the rows that a map may be fitted on.

    `groups` (n,) names what belongs together, and is held out as a whole.
    """

    draft: Vectors
    teacher: Vectors
    groups: Names
    train: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pair:
    """Plain items with float32 unit-length embeddings (n, d) by draft and teacher, and their fixed split.

    A pair may have queries of its own (Q), embedded by both sides too, with judgements of which items, its documents,
    are relevant to them. Without, the items are the queries. Where there are neither judgements nor labels, relevant is
    what the teacher finds, and clusters of its vectors stand for labels.

    The first use of any content reads and checks the files and may raise PairError or CorpusError; `name` and `folder`
    never do. A pair that has been read is pickled with its content, so it can be sent to a machine without the folder.
    """

    folder: Path
    config: PairConfig = field(init=False, repr=False)  # content of pair.toml
    items: Sequence[Item] = field(init=False, repr=False)  # the n plain items, in the order of the corpus
    draft: Vectors = field(init=False, repr=False)  # (n, d_draft): the plain items by the draft
    teacher: Vectors = field(init=False, repr=False)  # (n, d_teacher): the plain items by the teacher
    styled: tuple[Item, ...] = field(init=False, repr=False)  # the m style variants, in the order of the corpus
    styled_draft: Vectors = field(init=False, repr=False)  # (m, d_draft): the style variants, by the draft alone
    queries: tuple[Query, ...] = field(init=False, repr=False)  # the Q queries of the pair's own, in their order
    query_draft: Vectors = field(init=False, repr=False)  # (Q, d_draft)
    query_teacher: Vectors = field(init=False, repr=False)  # (Q, d_teacher)
    judgements: Judgements | None = field(init=False, repr=False)  # None without queries, or if nobody has judged
    most_queries: int | None = field(default=None, repr=False)  # of the held-out ones that ask; None for all
    whole: Pair | None = field(default=None, repr=False)  # the pair whose content this one shares

    if not TYPE_CHECKING:  # mypy would accept any name

        def __getattr__(self, name: str) -> object:
            """Read the content on the first use of a field that is not there yet."""
            if name not in self.__dataclass_fields__:
                raise AttributeError(f"a pair has no {name!r}")
            if self.whole is None:
                vars(self).update(_read(self.folder))
            else:
                vars(self)[name] = getattr(self.whole, name)
            return vars(self)[name]

    @property
    def name(self) -> str:
        """Name of the pair: that of its folder."""
        return self.folder.name

    @functools.cached_property
    def labels(self) -> NDArray[np.str_]:
        """Retrieval group of each plain item, as the corpus has it."""
        if self.whole is not None:
            return self.whole.labels
        labels = self._texts.labels
        return np.array(labels) if None in labels else stored_names(cast("list[str]", labels))

    @property
    def asking(self) -> Sequence[Item] | Sequence[Query]:
        """The texts that can ask: the queries of the pair's own, or else the items."""
        return self.queries if self.own_queries else self.items

    @property
    def own_queries(self) -> bool:
        """Whether the pair has queries of its own."""
        return len(self.queries) > 0

    @property
    def relevance(self) -> Basis:
        """What says which texts are relevant: judgements, shared labels, or the teacher's own ranking."""
        return self._texts.relevance

    @functools.cached_property
    def groups(self) -> Names:
        """Name of the group of each text that can ask: groups are held out as a whole, and errors are over them."""
        if self.whole is not None:
            return self.whole.groups
        if self.relevance == "labels":
            return self.labels
        if self.relevance == "judgements":
            return groups_of(self._texts)[0]
        if not self.own_queries:
            return cluster_names(self.teacher)
        found = cluster_names(self.query_teacher).tolist()
        return np.array([query.label or name for query, name in zip(self.queries, found, strict=True)])

    @functools.cached_property
    def document_groups(self) -> Names:
        """Name of the group of each item: with queries of the pair's own, that of the queries it is held out with."""
        if self.whole is not None:
            return self.whole.document_groups
        if not self.own_queries:
            return self.groups
        if self.relevance != "teacher":
            return groups_of(self._texts)[1]
        return names_of_documents(self.query_teacher, self.groups, self.teacher)

    @functools.cached_property
    def holdout(self) -> Holdout:
        """The fixed split into what maps may be fitted on and what asks."""
        if self.whole is not None and self.most_queries is not None:
            texts = self._texts.embedded("teacher_queries" if self.own_queries else "teacher")
            return self.whole.holdout.asked_by(self.most_queries, self.whole.groups, texts)
        by_teacher = self.relevance == "teacher"
        if self.own_queries:
            return split_queries(self._texts, (self.groups, self.document_groups) if by_teacher else None)
        return split_holdout(self._texts.embedded("teacher"), listed(self.groups), clusters=by_teacher)

    @property
    def _texts(self) -> Texts:
        return Texts(self.items, self.queries, self.judgements)

    def asked_by(self, most: int) -> Pair:
        """Return the pair with at most so many held-out queries asking: see :meth:`Holdout.asked_by`.

        The same limit gives the same object, which shares this one's content.
        """
        smaller: dict[int, Pair] = vars(self).setdefault("_smaller", {})
        return smaller.setdefault(most, Pair(self.folder, most_queries=most, whole=self))

    def fitted_on(self, kind: FitOn = "queries") -> Fitted:
        """Return what maps are fitted on, in a pair with queries of its own.

        That is draft and teacher of each query, of each document, or of a query and of its relevant document, the
        teacher's nearest of the training documents where nobody says which that is. Without queries it is the items.
        Raises PairError for a kind that a pair without queries does not have, ValueError for an unknown one.
        """
        if kind not in FIT_ON:
            raise ValueError(f"a map is fitted on one of {', '.join(FIT_ON)}, not on {kind!r}")
        if not self.own_queries:
            if kind != "queries":
                raise PairError(f"{self.name} has no queries of its own, so a map cannot be fitted on {kind}")
            return Fitted(self.draft, self.teacher, self.groups, self.holdout.train)
        if kind == "queries":
            return Fitted(self.query_draft, self.query_teacher, self.groups, self.holdout.train)
        if kind == "documents":
            return Fitted(self.draft, self.teacher, self.document_groups, self.holdout.train_documents)
        if self.judgements is None:
            queries, training = self.holdout.train, self.holdout.train_documents
            documents = training[nearest_rows(self.query_teacher[queries], self.teacher[training])]
            return self._of_both(queries, documents)
        of_training = np.isin(self.judgements.queries, self.holdout.train)
        return self._of_both(self.judgements.queries[of_training], self.judgements.documents[of_training])

    def _of_both(self, queries: NDArray[np.int64], documents: NDArray[np.int64]) -> Fitted:
        return Fitted(self.query_draft[queries], self.teacher[documents], self.groups[queries], np.arange(len(queries)))

    def with_vectors(self, *, draft: Vectors | None = None, teacher: Vectors | None = None) -> Pair:
        """Return a pair with the same items and other embeddings of them (n, d), held out as they are here.

        Raises ValueError for another row count, and for a pair with queries, whose vectors would stay as they are.
        """
        if self.own_queries:
            raise ValueError(f"{self.name} has queries: other vectors of its items alone would not fit them")
        changed = {
            "draft": self.draft if draft is None else draft,
            "teacher": self.teacher if teacher is None else teacher,
        }
        for name, vectors in changed.items():
            if len(vectors) != len(self.items):
                raise ValueError(f"{name}: {len(vectors)} vectors for the {len(self.items)} items of {self.name}")
        pair = copy.copy(self)
        vars(pair).pop("_smaller", None)
        vars(pair).update(changed, groups=self.groups)
        return pair


def load_pair(folder: str | Path) -> Pair:
    """Return the pair in `folder` with every file read and checked. Raises PairError or CorpusError.

    >>> pair = load_pair("benchmark/smollm2-mpnet")
    >>> pair.draft.shape, pair.teacher.shape, len(pair.holdout.train)
    ((3151, 576), (3151, 768), 2519)
    """
    folder = Path(folder)
    pair = Pair(folder)
    vars(pair).update(_read(folder))
    return pair


def check_pair(folder: Path) -> None:
    """Check configuration, texts, digests and vectors; of files above 64 MiB shape, type and dimension alone.

    Raises PairError or CorpusError as `load_pair` does, and CorpusError for texts that no experiment can use.
    """
    config, texts, provenance = _described(folder)
    check_texts(texts)
    check_labels_agree(texts)
    for part in parts_of(config):
        check_part(folder, part, texts.embedded(part), provenance)
    for role in ROLES if config.queries else ():
        dimensions = [provenance[part]["dimension"] for part in (role, role + OF_QUERIES)]
        if dimensions[0] != dimensions[1]:
            raise PairError(
                f"{folder}: the {role}'s vectors of documents have dimension {dimensions[0]}, those of queries "
                f"{dimensions[1]}; embed both with one model"
            )


def pair_digest(folder: Path) -> str:
    """Return the SHA-256 over the files in the folder that a measured number depends on."""
    config = read_config(folder)
    vectors = [vectors_path(folder, part) for part in parts_of(config)]
    if missing := [path for path in vectors if not path.is_file()]:
        raise PairError(f"{missing[0]}: no such file; this pair has not been embedded yet")
    parts = [*text_digests(folder, config).values(), *(file_digest(path) for path in vectors)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _read(folder: Path) -> dict[str, object]:
    """Return the content of a pair by the name of its field."""
    config, texts, provenance = _described(folder)
    vectors = {part: read_vectors(folder, part, len(texts.embedded(part)), provenance) for part in parts_of(config)}
    draft, styled = vectors["draft"], texts.styled
    is_styled = np.array([item.style is not None for item in texts.items]) if styled else None
    none = np.empty((0, 0), np.float32)
    if len(draft) > MANY:
        give_back()
    return {
        "config": config,
        "items": texts.plain,
        "draft": draft if is_styled is None else draft[~is_styled],
        "teacher": vectors["teacher"],
        "styled": styled,
        "styled_draft": draft[:0] if is_styled is None else draft[is_styled],
        "queries": tuple(texts.queries),
        "query_draft": vectors.get("draft_queries", none),
        "query_teacher": vectors.get("teacher_queries", none),
        "judgements": texts.judgements,
    }


def _described(folder: Path) -> tuple[PairConfig, Texts, dict[str, Any]]:
    """Return configuration, texts and provenance of a pair whose texts are the recorded ones."""
    config = read_config(folder)
    texts = read_texts(folder, config)
    provenance = read_provenance(folder)
    for (key, name), actual in zip(config.texts.items(), text_digests(folder, config).values(), strict=True):
        path, recorded = folder / name, provenance[f"{key}_sha256"]
        # Earlier versions recorded the digest of the raw bytes, including CRLF and byte order mark.
        if recorded not in (actual, file_digest(path)):
            raise PairError(differs(path, actual, recorded, imported=config.imported))
    for part in parts_of(config):
        check_is_as_asked(folder, config, part, provenance[part])
    return config, texts, provenance

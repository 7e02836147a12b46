"""All texts of a pair, and which vectors file holds the embeddings of which of them.

Row i of a file belongs to text i of its part. The draft also embeds the style variants of items, the teacher does not;
where a pair has queries of its own, each side has a second file for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from embalign.pairs.config import Model, PairConfig
from embalign.pairs.corpus import Item, corpus_digest, read_corpus
from embalign.pairs.queries import Judgements, Query, read_queries
from embalign.pairs.stored_items import StoredItems, StoredTexts, stored_items

Role = Literal["draft", "teacher"]
Basis = Literal["labels", "judgements", "teacher"]
ROLES: tuple[Role, ...] = get_args(Role)
OF_QUERIES = "_queries"


@dataclass(frozen=True, eq=False)
class Texts:
    """Items of the corpus in its order, style variants included; queries of the pair's own and their judgements.

    There are no judgements without queries, nor of queries that nothing is known to be relevant to.
    """

    items: Sequence[Item]
    queries: Sequence[Query] = ()
    judgements: Judgements | None = None

    @property
    def plain(self) -> Sequence[Item]:
        """The items that are no style variants."""
        if isinstance(self.items, StoredItems):  # none of them is
            return self.items
        return tuple(item for item in self.items if item.style is None)

    @property
    def relevance(self) -> Basis:
        """What says which texts are relevant: judgements, shared labels, or without either the teacher's own ranking.

        Of a pair with queries the labels only keep texts on one side of the split.
        """
        if self.judgements is not None:
            return "judgements"
        return "labels" if not self.queries and self.labelled else "teacher"

    @property
    def labelled(self) -> bool:
        """Whether an item has a label."""
        if isinstance(self.items, StoredItems):
            return self.items.labelled
        return any(item.label is not None for item in self.items)

    @property
    def styled(self) -> tuple[Item, ...]:
        """The style variants."""
        if isinstance(self.items, StoredItems):
            return ()
        return tuple(item for item in self.items if item.style is not None)

    @property
    def labels(self) -> list[str | None]:
        """The label of each plain item; one string for each label, however many items have it."""
        known: dict[str | None, str | None] = {}
        return [known.setdefault(item.label, item.label) for item in self.plain]

    def embedded(self, part: str) -> Sequence[str]:
        """Return the texts of a vectors file, in the order of its rows."""
        if part.endswith(OF_QUERIES):
            return [query.text for query in self.queries]
        if isinstance(self.items, StoredItems):
            return StoredTexts(self.items)
        return [item.text for item in (self.items if part == "draft" else self.plain)]


def read_texts(folder: Path, config: PairConfig) -> Texts:
    """Return the checked texts of the pair in `folder`. Raises CorpusError that names file and line."""
    if not config.queries:
        return Texts(_items(folder / config.corpus, searched=False))
    documents = _items(folder / config.corpus, searched=True)
    qrels = folder / config.qrels if config.qrels else None
    return Texts(documents, *read_queries(folder / config.queries, qrels, documents))


def _items(path: Path, *, searched: bool) -> Sequence[Item]:
    """The items of a corpus; of a large one they are read when they are asked for."""
    return stored_items(path, searched=searched) or read_corpus(path, searched=searched)


def text_digests(folder: Path, config: PairConfig) -> dict[str, str]:
    """Return the digest of each file of texts, under the name that provenance.json has for it."""
    return {f"{key}_sha256": corpus_digest(folder / name) for key, name in config.texts.items()}


def parts_of(config: PairConfig) -> tuple[str, ...]:
    """Return the names of a pair's vectors files: one a side, and one more a side where there are queries."""
    return (*ROLES, *(role + OF_QUERIES for role in ROLES)) if config.queries else ROLES


def role_of(part: str) -> Role:
    """Return the side that a vectors file belongs to."""
    return "draft" if part.startswith("draft") else "teacher"


def model_of(config: PairConfig, part: str) -> Model:
    """Return the model that made a vectors file."""
    return config.draft if role_of(part) == "draft" else config.teacher


def prompt_of(config: PairConfig, part: str) -> str:
    """Return what stands in front of each text of a vectors file as its model is given it."""
    model = model_of(config, part)
    return model.query_prompt if part.endswith(OF_QUERIES) else model.document_prompt

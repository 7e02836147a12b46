"""The held-out test set of a pair: whole groups of what belongs together, chosen by the hash of the group's name.

In a pair without queries of its own, items of one label belong together, and every item is query and document. In one
with queries, a query belongs with its relevant documents, and texts of one label with each other. Where nobody says
what is relevant, texts of one cluster of the teacher's vectors do: see :mod:`embalign.pairs.clusters`.
"""

import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from embalign.errors import CorpusError
from embalign.lazy import lazy
from embalign.pairs.corpus import Item
from embalign.pairs.near_duplicates import near_duplicates
from embalign.pairs.queries import Query
from embalign.pairs.stored_arrays import stored
from embalign.pairs.stored_items import some
from embalign.pairs.texts import Texts
from embalign.readers import quoted

coo_array = lazy("scipy.sparse").coo_array
connected_components = lazy("scipy.sparse.csgraph").connected_components
FEWEST_LEFT = 0.1  # of the items, to train on
TEST_FRACTION = 0.2
FEWEST_GROUPS = 8  # that a smaller set of queries keeps whole
FEWEST_TEXTS = 20  # that ask, where clusters stand for labels
Rows = NDArray[np.int64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Holdout:
    """Row numbers of queries and documents on either side of the split; items are both where there are no queries.

    Maps may be fitted on the queries `train` and the `train_documents`. The queries `test` ask; `near_duplicates` do
    not, since they or their documents are nearly a training text. `test_documents` are those of the held-out groups,
    but for near-duplicates.
    """

    train: Rows
    test: Rows
    near_duplicates: Rows
    train_documents: Rows
    test_documents: Rows

    def asked_by(self, most: int, groups: Names, texts: Sequence[str]) -> Self:
        """Return the split with at most so many test queries: whole groups, in the order of the SHA-256 of their names.

        `groups` (Q,) and `texts` (Q,) are those of all queries. Where fewer than eight groups would fit, single queries
        of all of them are taken instead, in the order of the SHA-256 of their texts.
        """
        test = self.test
        if len(test) <= most:
            return self
        sizes = Counter(groups[test].tolist())
        taken = groups_within(sizes, most)
        if len(taken) >= min(FEWEST_GROUPS, len(sizes)):
            return dataclasses.replace(self, test=test[np.isin(groups[test], sorted(taken))])
        mixed = sorted(test.tolist(), key=lambda row: hashlib.sha256(texts[row].encode()).digest())
        return dataclasses.replace(self, test=np.sort(np.array(mixed[:most], np.int64)))


def groups_within(sizes: Mapping[str, int], most: int) -> set[str]:
    """Return whole groups of at most so many items together, taken in the order of their names' SHA-256."""
    taken: set[str] = set()
    items = 0
    for group in _hash_order(sizes):
        if items + sizes[group] <= most:
            taken.add(group)
            items += sizes[group]
    return taken


def held_out_labels(labels: Sequence[str], fraction: float = TEST_FRACTION) -> set[str]:
    """Return the labels of the test set: whole groups in the order of their SHA-256, up to `fraction` of the items.

    The order depends only on the label, so adding or removing other groups moves few items across the split, and all
    pairs over one corpus share the test items.
    """
    sizes = Counter(labels)
    order = _hash_order(sizes)
    taken = itertools.accumulate((sizes[label] for label in order), initial=0)
    return {label for label, before in zip(order, taken, strict=False) if before < fraction * len(labels)}


def check_labels(labels: Sequence[str], fraction: float = TEST_FRACTION) -> set[str]:
    """Return the labels of the test set. Raises CorpusError for labels that no experiment can use."""
    test = held_out_labels(labels, fraction)
    if not 0 < len(test) < len(sizes := Counter(labels)):
        raise CorpusError(
            f"{len(sizes)} label group(s) over {len(labels)} items cannot be split into training and test: "
            "use at least two labels"
        )
    if (left := len(labels) - sum(sizes[label] for label in test)) < FEWEST_LEFT * len(labels):
        most = max(test, key=lambda label: sizes[label])
        raise CorpusError(
            f"{sizes[most]} of {len(labels)} items have the label {quoted(most)}, which is held out as a whole and "
            f"leaves {left} to train on: use labels of more equal size"
        )
    if max(sizes[label] for label in test) < 2:
        raise CorpusError(
            f"none of the {len(test)} held-out label groups has a second item, so no query has a relevant item: give "
            "texts that should retrieve each other the same label, in groups of five or more"
        )
    return test


def split_holdout(
    texts: Sequence[str], labels: Sequence[str], fraction: float = TEST_FRACTION, *, clusters: bool = False
) -> Holdout:
    """Return the fixed split of items into training pool and test set.

    The labels are clusters where nobody has labelled the items. Near-duplicates of training items are excluded from
    both: on them a map would be measured on what it memorised. See
    :func:`embalign.pairs.near_duplicates.near_duplicates`.

    Raises CorpusError if nothing is left to test on.
    """
    test_labels = _held_out_clusters(labels, fraction) if clusters else check_labels(labels, fraction)
    in_test = np.array([label in test_labels for label in labels], dtype=bool)
    train, test = stored(np.flatnonzero(~in_test)), np.flatnonzero(in_test)
    near = near_duplicates(some(texts, test), some(texts, train))
    if near.all():
        raise CorpusError(
            f"all {len(test)} held-out items are near-duplicates of training items: "
            f"{'' if clusters else 'give texts that are nearly equal the same label, or '}remove copies"
        )
    asking = stored(test[~near])
    return Holdout(train, asking, test[near], train_documents=train, test_documents=asking)


def check_texts(texts: Texts) -> None:
    """Raise CorpusError for texts that no experiment can use, as far as that is known without their vectors."""
    match texts.relevance:
        case "labels":
            check_labels([label or "" for label in texts.labels])
        case "judgements":
            _held_out_groups(texts, groups_of(texts)[0])
        case "teacher":
            kind, size = ("queries", len(texts.queries)) if texts.queries else ("items", len(texts.plain))
            if min(size, len(texts.plain)) < FEWEST_TEXTS:
                documents = f" and {len(texts.plain)} documents" if texts.queries else ""
                raise CorpusError(
                    f"{size} {kind}{documents}, and nobody says what is relevant: the teacher's own ranking needs "
                    f"{FEWEST_TEXTS} of each at least; use more texts, or give labels or judgements"
                )


def groups_of(texts: Texts) -> tuple[Names, Names]:
    """Return the name of the group that each query (Q,) and each document (N,) belongs to, by labels and judgements.

    It is that of the first label in the group, or else the first id of a query or document, in alphabetical order.
    """
    judgements = texts.judgements
    if judgements is None:
        labels = np.array(texts.labels)
        return labels, labels
    every: list[Query | Item] = [*texts.queries, *texts.items]
    labelled = [(place, text.label) for place, text in enumerate(every) if text.label is not None]
    node_of = {label: len(every) + i for i, label in enumerate(dict.fromkeys(label for _, label in labelled))}
    left = np.concatenate([judgements.queries, np.array([place for place, _ in labelled], np.int64)])
    right = np.concatenate(
        [judgements.documents + len(texts.queries), np.array([node_of[label] for _, label in labelled], np.int64)]
    )
    size = len(every) + len(node_of)
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    # Labels come first: a name that starts with 0 is before one that starts with 1.
    names = [*(f"1{text.id}" for text in every), *(f"0{label}" for label in node_of)]
    first: dict[int, str] = {}
    for number, name in zip(component.tolist(), names, strict=True):
        first[number] = min(first.get(number, name), name)
    found = np.array([first[number][1:] for number in component[: len(every)].tolist()])
    return found[: len(texts.queries)], found[len(texts.queries) :]


def split_queries(texts: Texts, named: tuple[Names, Names] | None = None) -> Holdout:
    """Return the fixed split of a pair with queries.

    A fifth of the queries that have a relevant document is held out, in whole groups. Those that are near-duplicates of
    a training text, or whose relevant documents are, do not ask, and documents that only such queries ask for are not
    held out. Queries that nothing is known to be relevant to, and documents that no query asks for, are for training.

    Where nobody says what is relevant, `named` has the groups of queries (Q,) and documents (N,), and any query may
    ask: the teacher finds something for each.
    """
    judgements = texts.judgements
    groups, document_groups = groups_of(texts) if named is None else named
    has_relevant = np.full(len(groups), judgements is None)
    if judgements is None:
        held_out = sorted(_held_out_clusters(groups.tolist()))
    else:
        held_out = sorted(_held_out_groups(texts, groups))
        has_relevant[judgements.queries] = True
    outside, documents_outside = np.isin(groups, held_out), np.isin(document_groups, held_out)
    test, test_documents = np.flatnonzero(outside & has_relevant), np.flatnonzero(documents_outside)
    train, train_documents = np.flatnonzero(~outside), np.flatnonzero(~documents_outside)

    queries, documents = [query.text for query in texts.queries], [item.text for item in texts.items]
    near = near_duplicates(
        [*(queries[i] for i in test.tolist()), *(documents[i] for i in test_documents.tolist())],
        [*(queries[i] for i in train.tolist()), *(documents[i] for i in train_documents.tolist())],
    )
    is_near = np.zeros(len(groups), bool)
    is_near[test] = near[: len(test)]
    document_is_near = np.zeros(len(documents), bool)
    document_is_near[test_documents] = near[len(test) :]
    if judgements is not None:
        is_near[judgements.queries[document_is_near[judgements.documents]]] = True
        asks = ~is_near[judgements.queries]
        document_is_near[judgements.documents] = True
        document_is_near[judgements.documents[asks]] = False
    split = Holdout(
        stored(train),
        stored(test[~is_near[test]]),
        test[is_near[test]],
        stored(train_documents),
        stored(test_documents[~document_is_near[test_documents]]),
    )
    if len(split.test) == 0:
        raise CorpusError(
            f"all {len(test)} held-out queries, or their documents, are near-duplicates of training texts: give texts "
            "that are nearly equal the same label, or remove copies"
        )
    return split


def _held_out_groups(texts: Texts, groups: Names) -> set[str]:
    assert texts.judgements is not None
    asking = groups[np.unique(texts.judgements.queries)].tolist()
    held_out = held_out_labels(asking)
    if not 0 < len(held_out) < len(set(asking)):
        answered = np.bincount(texts.judgements.documents)
        document = texts.items[int(answered.argmax())].id
        raise CorpusError(
            f"the {len(asking)} queries with a relevant document cannot be split into training and test: shared "
            f"documents and labels join them into {len(set(asking))} group(s), and document {quoted(document)} alone "
            f"answers {answered.max()}; use queries of other documents, or labels that join fewer texts"
        )
    return held_out


def _held_out_clusters(clusters: Sequence[str], fraction: float = TEST_FRACTION) -> set[str]:
    held_out = held_out_labels(clusters, fraction)
    if not 0 < len(held_out) < len(found := set(clusters)):
        raise CorpusError(
            f"the teacher's vectors of {len(clusters)} texts are of {len(found)} cluster(s), which cannot be split "
            "into training and test: use more texts"
        )
    return held_out


def _hash_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())

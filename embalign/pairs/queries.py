"""Queries of a pair's own and what is relevant to them: the pair's JSON lines, or BEIR's queries.jsonl and qrels.

{"id": "q1", "text": "...", "relevant": ["d1", "d7"]}         a query a line; or with gains: {"d1": 2, "d7": 1}
query-id  corpus-id  score                                    qrels/*.tsv of BEIR, or the four columns of TREC
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from embalign.errors import CorpusError
from embalign.pairs.corpus import Item, NotBlank, numbered_lines, parse_beir, parse_line
from embalign.readers import quoted

_REMEDY = (
    "a query is a JSON object: id and text, strings that are not blank, and relevant, the ids of its documents, as a "
    "list or with a gain each; or name qrels in pair.toml; without any the teacher's own ranking judges"
)
_REMEDY_OF_QRELS = "a line is query-id, corpus-id, score (BEIR) or query, 0, document, relevance (TREC), with tabs"
Relevant = list[NotBlank] | dict[NotBlank, float]


class Query(msgspec.Struct, frozen=True):
    """One query; those of one label stay on one side of the split."""

    id: NotBlank
    text: NotBlank
    label: NotBlank | None = None


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: NotBlank
    text: NotBlank
    label: NotBlank | None = None
    relevant: Relevant | None = None


@dataclass(frozen=True)
class Judgements:
    """Relevant documents: rows of queries and of documents and the gains, all above 0, (P,) each, in this order."""

    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    gains: NDArray[np.float64]


Judged = tuple[str, str, float, str]  # query, document, gain, where it says so


def read_queries(path: Path, qrels: Path | None, documents: Sequence[Item]) -> tuple[list[Query], Judgements | None]:
    """Return the queries in `path` and the relevant ones of the `documents`, from `qrels` or the queries themselves.

    None stands for these where there are no qrels and no query says what is relevant. Judgements without a positive
    gain are left out, as TREC's tools do. Raises CorpusError that names the first faulty line: ids that are used twice
    or unknown, gains that are no numbers, two judgements of one document, queries that do not say what is relevant
    beside others that do; and if no query has a relevant document.
    """
    queries: dict[str, Query] = {}
    own: list[Judged] = []
    line_of: dict[str, int] = {}
    silent: list[str] = []  # that do not say what is relevant to them
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        query, relevant = _parse(line, where)
        if query.id in queries:
            raise CorpusError(f"{where}: id {quoted(query.id)} is already used on line {line_of[query.id]}")
        if relevant is not None and qrels is not None:
            twice = f"relevant documents, and {qrels.name} judges too"
            raise CorpusError(f"{where}: {twice}; remove relevant here or qrels in pair.toml")
        queries[query.id], line_of[query.id] = query, number
        if relevant is None:
            silent.append(query.id)
        gains = relevant if isinstance(relevant, dict) else dict.fromkeys(relevant or (), 1.0)
        if isinstance(relevant, list) and len(gains) < len(relevant):
            raise CorpusError(f"{where}: a document is named twice in relevant {quoted(relevant)}")
        own += [(query.id, document, gain, where) for document, gain in gains.items()]
    if not queries:
        raise CorpusError(f"{path}: no query; {_REMEDY}")
    if qrels is None and len(silent) == len(queries):
        return list(queries.values()), None
    if qrels is None and silent:
        raise CorpusError(
            f"{path}, line {line_of[silent[0]]}: query {quoted(silent[0])} has no relevant, as {len(silent)} of "
            f"{len(queries)} queries; give each one, [] for none, or name qrels in pair.toml; or remove all relevant, "
            "for the teacher's own ranking"
        )
    judged = own if qrels is None else list(_read_qrels(qrels))
    return list(queries.values()), _as_rows(judged, list(queries), documents, qrels or path)


def _parse(line: str, where: str) -> tuple[Query, Relevant | None]:
    if found := parse_beir(line, where, _REMEDY):
        return Query(*found), None
    own = parse_line(line, where, _Line, _REMEDY)
    return Query(own.id, own.text, own.label), own.relevant


def _read_qrels(path: Path) -> Iterator[Judged]:
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        fields = [field.strip() for field in (line.split("\t") if "\t" in line else line.split())]
        if len(fields) not in (3, 4):
            raise CorpusError(f"{where}: {len(fields)} columns; found {quoted(line)}; {_REMEDY_OF_QRELS}")
        query, document, score = fields[0], fields[-2], fields[-1]
        try:
            gain = float(score)
        except ValueError:
            if number == 1:  # BEIR's header
                continue
            raise CorpusError(f"{where}: score {quoted(score)} is not a number; {_REMEDY_OF_QRELS}") from None
        yield query, document, gain, where


def _as_rows(judged: Sequence[Judged], queries: Sequence[str], documents: Sequence[Item], source: Path) -> Judgements:
    row_of_query = {name: row for row, name in enumerate(queries)}
    row_of_document = {item.id: row for row, item in enumerate(documents)}
    gains: dict[tuple[int, int], float] = {}
    for query, document, gain, where in judged:
        place = (_row(row_of_query, query, "query", where), _row(row_of_document, document, "document", where))
        if not math.isfinite(gain):
            raise CorpusError(f"{where}: score {gain} of document {quoted(document)} is not finite")
        if gains.setdefault(place, gain) != gain:
            raise CorpusError(
                f"{where}: query {quoted(query)} and document {quoted(document)} are judged twice, differently"
            )
    kept = sorted((place, gain) for place, gain in gains.items() if gain > 0)
    if not kept:
        raise CorpusError(f"{source}: no query has a relevant document; {_REMEDY}")
    rows = np.array([place for place, _ in kept], np.int64)
    return Judgements(rows[:, 0], rows[:, 1], np.array([gain for _, gain in kept]))


def _row(rows: Mapping[str, int], name: str, kind: str, where: str) -> int:
    if name not in rows:
        raise CorpusError(
            f"{where}: {kind} {quoted(name)} is not among the pair's {len(rows)}; correct the id or remove the line"
        )
    return rows[name]

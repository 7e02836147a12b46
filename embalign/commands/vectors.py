"""Arguments that name vectors and texts, for the commands that read both from files, and how they belong together."""

import argparse
from pathlib import Path
from typing import Any

from embalign.lazy import lazy

Request = lazy("embalign.imports.build").Request
Named = lazy("embalign.imports.texts").Named

_VECTORS = ".npy, .npz, .safetensors or .parquet; FILE:NAME names an array, a tensor or a column"
_QUERIES = ("queries", "draft_queries", "teacher_queries")
_TEXTS = ("corpus", "labels", "ids", "queries", "qrels")
_PARTS = ("draft", "teacher", "draft_queries", "teacher_queries")
_ROLES = ("draft", "teacher")


def add_vector_arguments(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options that name the vectors of two models, `required` of these, their texts, labels and queries."""

    def files(name: str, text: str, *, needed: bool = False) -> None:
        parser.add_argument(name, metavar="FILE", help=text, required=needed)

    files("--draft", f"vectors of the small model, one row per text: {_VECTORS}", needed=required)
    files("--teacher", "vectors of the large model, for the same texts", needed=required)
    files("--corpus", "the texts: JSON lines (id, text, label), a BEIR corpus, or CSV; without it items are ids alone")
    files("--labels", "labels: CSV with a header id,label, or one label per row")
    files("--ids", "ids of the rows of both sides: one per line, or CSV with a column id")
    files("--draft-ids", "ids of the draft's rows, where the sides are in different orders")
    files("--teacher-ids", "ids of the teacher's rows")
    files("--queries", "queries that search the corpus: JSON lines or CSV (id, text)")
    files("--qrels", "what is relevant to them: query-id, corpus-id, score, with tabs, or TREC's four columns")
    files("--draft-queries", "the draft's vectors of the queries")
    files("--teacher-queries", "the teacher's vectors of the queries")
    parser.add_argument("--draft-model", metavar="NAME", help="the draft's name in reports (default: its file's)")
    parser.add_argument("--teacher-model", metavar="NAME", help="the teacher's name in reports (default: its file's)")
    parser.set_defaults(refuse=parser.error)


def given_options(options: argparse.Namespace) -> list[str]:
    """Return those of the options above that were given, as a user writes them."""
    given = vars(options)
    names = (*_PARTS, *_TEXTS, *(f"{role}_{what}" for role in _ROLES for what in ("ids", "model")))
    return [_option(name) for name in dict.fromkeys(names) if given[name] is not None]


def request_of(options: argparse.Namespace, out: Path) -> Any:
    """Return the imports.build.Request that these options make; what does not belong together ends the command."""
    _check_together(options)
    given = vars(options)
    paths = {name: Path(given[name]) for name in _TEXTS if given[name] is not None}
    side_ids = {role: Path(given[f"{role}_ids"]) for role in _ROLES if given[f"{role}_ids"] is not None}
    return Request(
        vectors={part: given[part] for part in _PARTS if given[part] is not None},
        out=out,
        named=Named(**paths, side_ids=side_ids),
        models={role: given[f"{role}_model"] for role in _ROLES if given[f"{role}_model"] is not None},
    )


def _check_together(options: argparse.Namespace) -> None:
    """Refuse options that say nothing without each other, or the same twice."""
    given = vars(options)
    if options.ids and (options.draft_ids or options.teacher_ids):
        options.refuse("--ids names the rows of both sides; leave it out beside --draft-ids and --teacher-ids")
    lacking = [_option(name) for name in _QUERIES if not given[name]]
    if 0 < len(lacking) < len(_QUERIES):
        options.refuse(f"queries need their texts and the vectors of both sides; add {' and '.join(lacking)}")
    if options.qrels and lacking:
        options.refuse("--qrels judges queries; add --queries, --draft-queries and --teacher-queries")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

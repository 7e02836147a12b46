"""embalign import: vectors that are there already, made into a pair."""

import argparse
from pathlib import Path

from embalign.commands.command import Command
from embalign.lazy import lazy

import_pair = lazy("embalign.imports.build").import_pair
Request = lazy("embalign.imports.build").Request
Named = lazy("embalign.imports.texts").Named
summarise = lazy("embalign.imports.summary").summarise

_VECTORS = ".npy, .npz, .safetensors or .parquet; FILE:NAME names an array, a tensor or a column"
_QUERIES = ("queries", "draft_queries", "teacher_queries")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    def files(name: str, text: str, *, required: bool = False) -> None:
        parser.add_argument(name, metavar="FILE", help=text, required=required)

    files("--draft", f"vectors of the small model, one row per text: {_VECTORS}", required=True)
    files("--teacher", "vectors of the large model, for the same texts", required=True)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder of the new pair; must not exist")
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


def _run(options: argparse.Namespace) -> int:
    given = vars(options)
    _check_together(options)
    paths = {name: Path(given[name]) for name in ("corpus", "labels", "ids", "queries", "qrels") if given[name]}
    side_ids = {role: Path(given[f"{role}_ids"]) for role in ("draft", "teacher") if given[f"{role}_ids"]}
    parts = ("draft", "teacher", "draft_queries", "teacher_queries")
    models = {role: given[f"{role}_model"] for role in ("draft", "teacher") if given[f"{role}_model"] is not None}
    request = Request(
        vectors={part: given[part] for part in parts if given[part]},
        out=options.out,
        named=Named(**paths, side_ids=side_ids),
        models=models,
    )
    print(summarise(import_pair(request)))
    return 0


def _check_together(options: argparse.Namespace) -> None:
    """Refuse options that say nothing without each other, or the same twice."""
    given = vars(options)
    if options.ids and (options.draft_ids or options.teacher_ids):
        options.refuse("--ids names the rows of both sides; leave it out beside --draft-ids and --teacher-ids")
    lacking = [f"--{name.replace('_', '-')}" for name in _QUERIES if not given[name]]
    if 0 < len(lacking) < len(_QUERIES):
        options.refuse(f"queries need their texts and the vectors of both sides; add {' and '.join(lacking)}")
    if options.qrels and lacking:
        options.refuse("--qrels judges queries; add --queries, --draft-queries and --teacher-queries")


IMPORT = Command(
    name="import",
    help="make a pair of vectors that you have, with or without texts, labels and ids",
    description="Make a pair of vectors that you have. Rows are matched by id where there are ids, otherwise by "
    "position. Everything is checked before anything is written: number, type and length of the vectors, rows that are "
    "zero, not finite or alike, and whether the rows of draft and teacher belong to the same texts. Vectors that are "
    "not of length 1 are normalised. Nothing that is there is ever overwritten.",
    example="embalign import --draft a.npy --teacher b.npy --labels labels.csv --out mypair",
    add_arguments=_add_arguments,
    run=_run,
)

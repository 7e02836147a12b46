"""embalign import: vectors that are there already, made into a pair."""

import argparse

from embalign.commands.command import Command, named_path
from embalign.commands.vectors import add_vector_arguments, request_of
from embalign.lazy import lazy

import_pair = lazy("embalign.imports.build").import_pair
summarise = lazy("embalign.imports.summary").summarise


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_vector_arguments(parser, required=True)
    parser.add_argument(
        "--out", type=named_path, metavar="DIR", required=True, help="folder of the new pair; must not exist"
    )


def _run(options: argparse.Namespace) -> int:
    print(summarise(import_pair(request_of(options, options.out))))
    return 0


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

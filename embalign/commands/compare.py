"""embalign compare: is one of two systems better, by their results on the same items or seeds?"""

import argparse

from embalign.commands.command import Command, named_path
from embalign.commands.tables import add_table_arguments, chosen_from, positive
from embalign.lazy import lazy

compare_files = lazy("embalign.judging.comparison").compare_files
settings = lazy("embalign.judging.comparison").Settings
import_matplotlib = lazy("embalign.runs.drawing").import_matplotlib
cache_folder = lazy("embalign.judging.output").cache_folder


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", type=named_path, nargs="+", metavar="FILE", help="the results to compare with, then the new ones"
    )
    add_table_arguments(parser, "item=qid,value=ndcg_cut_10", ("seed", "item", "value", "metric"))
    parser.add_argument("--group", metavar="COLUMN", help="items of one group, such as a topic, vary together")
    parser.add_argument("--by", metavar="COLUMN[=A,B]", help="one file: the column that names the two systems")
    parser.add_argument("--lower-is-better", action="store_true", help="for losses and errors")
    parser.add_argument(
        "--margin", type=positive, help="difference that does not matter; without it nothing is called equivalent"
    )
    parser.add_argument(
        "--only-common", action="store_true", help="compare what both have, instead of refusing where one lacks some"
    )
    parser.add_argument("--out", type=named_path, help="folder for report, figure and verdict.json (default: none)")


def _run(options: argparse.Namespace) -> int:
    chosen = chosen_from(options, only_complete=options.only_common)
    asked = settings(options.margin, not options.lower_is_better, options.group)
    import_matplotlib(cache_folder())
    for line in compare_files(options.files, options.by, chosen, asked, options.out):
        print(line)
    return 0


COMPARE = Command(
    name="compare",
    help="judge whether one of two systems is better, by their results on the same items or seeds",
    description="Compare two tables of results, paired by item, by seed, or by both: the second against the first. "
    "Prints better, worse, equivalent (only with --margin) or inconclusive, with the interval, the smallest difference "
    "that would be found, and what the interval covers. Reads CSV, JSON lines, and what trec_eval -q and ir-measures "
    "-q print. The exit code is 0 whatever the verdict.",
    example="embalign compare baseline.csv new.csv --group topic --margin 0.01",
    add_arguments=_add_arguments,
    run=_run,
)

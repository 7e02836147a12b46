"""embalign judge: the verdict on any learning curve."""

import argparse
from pathlib import Path

from embalign.commands.command import Command, named_path
from embalign.commands.tables import add_table_arguments, chosen_from, number, positive
from embalign.lazy import lazy

judge_file = lazy("embalign.judging.curve_report").judge_file
question = lazy("embalign.judging.curve_report").Question
import_matplotlib = lazy("embalign.runs.drawing").import_matplotlib
cache_folder = lazy("embalign.judging.output").cache_folder


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "curve", type=named_path, metavar="CURVE", help="the table: CSV, TSV, JSON or JSON lines, gzipped or not"
    )
    add_table_arguments(parser, "n=anchor,seed=outer_seed", ("n", "ratio", "seed", "value", "item", "metric"))
    parser.add_argument("--lower-is-better", action="store_true", help="for losses and errors")
    parser.add_argument(
        "--margin", type=positive, help="loss against all of the data that does not matter (default: 5 %% of the gain)"
    )
    parser.add_argument(
        "--origin", type=number, help="the value without training, such as chance (default: the mean at the smallest n)"
    )
    parser.add_argument(
        "--only-complete", action="store_true", help="leave seeds out that lack a size, instead of refusing"
    )
    parser.add_argument("--out", type=named_path, help="folder to write into (default: CURVE_verdict beside the file)")


def _run(options: argparse.Namespace) -> int:
    path = options.curve
    out = options.out or path.parent / f"{Path(path.name.removesuffix('.gz')).stem}_verdict"
    import_matplotlib(cache_folder())
    chosen = chosen_from(options, only_complete=options.only_complete)
    asked = question(not options.lower_is_better, options.margin, options.origin)
    for line in judge_file(path, out, chosen, asked):
        print(line)
    return 0


JUDGE = Command(
    name="judge",
    help="judge a learning curve: how much data is enough, what the last doubling brought, is there an elbow",
    description="Judge a learning curve that any tool measured: a table with columns n or ratio, seed and value, "
    "optionally item; or one column a seed; or one row a seed and sizes in the first line. Prints the answer in words "
    "and writes report.md, curve.png and verdict.json. The exit code is 0 whatever the verdict.",
    example="embalign judge curve.csv --metric accuracy --origin 0.5",
    add_arguments=_add_arguments,
    run=_run,
)

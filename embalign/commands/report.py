"""embalign report: all experiments of a pair on one HTML page."""

import argparse
from pathlib import Path

from embalign.commands.command import Command, named_path
from embalign.commands.export import no_pair
from embalign.lazy import lazy

write_page = lazy("embalign.page.page").write_page


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pair", help="name of a pair under benchmark/, or a path to its folder; required")
    parser.add_argument("--out", type=named_path, help="file to write (default: the pair's name and .html, here)")
    parser.add_argument(
        "--reports-dir", type=named_path, help="where the runs wrote their reports, if not into the pair"
    )


def _run(options: argparse.Namespace) -> int:
    if options.pair is None:
        raise no_pair(Path.cwd())
    for line in write_page(options.pair, Path.cwd(), options.out, options.reports_dir):
        print(line)
    return 0


REPORT = Command(
    name="report",
    help="write one HTML page of all experiments of a pair: answer, figures, tables, provenance",
    description="Write one self-contained HTML page of what was run on a pair: the answer first, then "
    "each experiment with its figures and tables, how each run was made, what is missing. It reads what the runs wrote "
    "and measures nothing. The page needs no network and no script, and may be sent as it is. Nothing is written over "
    "but an earlier page. Files that are not as their run wrote them are named.",
    example="embalign report --pair smollm2-mpnet",
    add_arguments=_add_arguments,
    run=_run,
)

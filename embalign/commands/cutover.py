"""embalign cutover: may mapped vectors take over, in a deployment, from the teacher's own?"""

import argparse
import math
from pathlib import Path

from embalign.commands.command import Command, named_path
from embalign.commands.export import add_family_arguments, seed_number
from embalign.commands.vectors import add_vector_arguments, given_options, request_of
from embalign.lazy import lazy

find_pair = lazy("embalign.pairs.config").find_pair
cut_over = lazy("embalign.judging.cutover").cut_over
question = lazy("embalign.judging.cutover").Question

DEPLOYMENTS = ("index_migration", "query_adapter", "draft_only")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pair", help="a pair that is there, by name or path, instead of files")
    add_vector_arguments(parser, required=False)
    parser.add_argument(
        "--deployment", choices=DEPLOYMENTS, default=DEPLOYMENTS[0], help="how the map is used (default: %(default)s)"
    )
    parser.add_argument(
        "--keep",
        type=_share,
        default=0.95,
        help="share of the teacher's nDCG@10 that must be kept, above 0 and at most 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--map",
        type=named_path,
        metavar="PATH",
        help="judge this W.npy or map.safetensors, or the one in this folder, instead of fitting a map: every query "
        "then asks, unless the .json beside it says that it was exported from the same pair",
    )
    add_family_arguments(parser)
    parser.add_argument("--seed", type=seed_number, default=0, help="as export has it (default: %(default)s)")
    parser.add_argument(
        "--out", type=named_path, metavar="DIR", help="folder for report.md and verdict.json (default: none)"
    )
    parser.add_argument(
        "--summary",
        type=named_path,
        metavar="FILE",
        help='append a Markdown summary, such as to "$GITHUB_STEP_SUMMARY"',
    )


def _run(options: argparse.Namespace) -> int:
    files = given_options(options)
    if options.pair is not None and files:
        options.refuse(f"--pair is a pair that is there, and {', '.join(files)} would make another; leave one out")
    if options.pair is None and (lacking := [name for name in ("--draft", "--teacher") if name not in files]):
        options.refuse(f"nothing to judge: add {' and '.join(lacking)}, or name a pair with --pair")
    brought = find_pair(options.pair, Path.cwd()) if options.pair is not None else request_of(options, Path())
    if options.map is not None and (options.family or options.search):
        options.refuse("--map is a map that is there, and --family and --search say how one is fitted; leave one out")
    asked = question(options.deployment, options.keep, options.map, options.seed, options.family, options.search)
    lines, code = cut_over(brought, asked, options.out, options.summary)
    for line in lines:
        print(line)
    return int(code)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and at most 1, such as 0.95")
    return value


CUTOVER = Command(
    name="cutover",
    help="judge whether mapped vectors keep enough of what the teacher finds: PASS, FAIL or UNDECIDED, for CI",
    description="Judge whether a map keeps enough of the teacher's nDCG@10 in a deployment. Takes the files of import, "
    "or a pair. Fits the map as export does and asks the queries that it did not see. Exit codes: 0 PASS, 10 "
    "FAIL, 11 UNDECIDED, 4 bad input, 2 the command line cannot be read.",
    example="embalign cutover --draft old.npy --teacher new.npy --labels labels.csv --keep 0.95",
    add_arguments=_add_arguments,
    run=_run,
)

"""embalign export: a pair's map as files, with its quality and its certified thresholds."""

import argparse
from pathlib import Path

from embalign.commands.command import Command, named_path
from embalign.deploy import NAMES, SEARCHES, TWO_RECIPES
from embalign.errors import PairError
from embalign.escaping import visible
from embalign.lazy import lazy

find_pair = lazy("embalign.pairs.config").find_pair
known_pairs = lazy("embalign.pairs.config").known_pairs
no_experiments = lazy("embalign.pairs.place").no_experiments
experiments = lazy("embalign.pairs.place").has_experiments
export_map = lazy("embalign.deploy.map").export_map
wanted = lazy("embalign.deploy.map").Wanted
summarise = lazy("embalign.deploy.summary").summarise


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pair", help="name of a pair under benchmark/, or a path to its folder; required")
    parser.add_argument("--out", type=named_path, default=Path("."), help="folder to write into (default: here)")
    parser.add_argument(
        "--seed",
        type=seed_number,
        default=0,
        help="fixes initial map and batch order, at least 0 (default: %(default)s)",
    )
    add_family_arguments(parser)
    parser.add_argument(
        "--deployment",
        choices=("query_adapter", "index_migration"),
        help="what the map is for (default: both, each with a map of its own)",
    )


def add_family_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say of which family a map is, and how it is searched."""
    parser.add_argument(
        "--family",
        choices=NAMES,
        metavar="NAME",
        help=f"a family of maps: {', '.join(NAMES[1:])}; or {TWO_RECIPES}: one matrix for every deployment, trained or "
        "ridge, whichever is better, its steps or penalty chosen by mean cosine, not by nDCG@10 (default: for each "
        "deployment the family that finds most inside the training items)",
    )
    parser.add_argument(
        "--search",
        choices=SEARCHES,
        help="by cosine, or by CSLS, which takes from each row of the index what makes it near to every query "
        "(default: with --family plain, else what finds more)",
    )


def _run(options: argparse.Namespace) -> int:
    if options.pair is None:
        raise no_pair(Path.cwd())
    asked = wanted(options.family, options.search, [options.deployment] if options.deployment else None)
    path = export_map(find_pair(options.pair, Path.cwd()), options.out, options.seed, asked)
    print(f"{visible(str(path))} and {path.with_suffix('.json').name} written")
    print(summarise(path))
    return 0


def no_pair(root: Path) -> PairError:
    """Return the error for a command line that names no pair: which there are."""
    path = "or --pair PATH, a folder with a pair.toml"
    if known := known_pairs(root):
        return PairError(f"no pair is named: add --pair NAME, one of {', '.join(known)}, {path}")
    if here := sorted(found.parent.name for found in root.glob("*/pair.toml")):
        return PairError(f"no pair is named: add --pair NAME, one of {', '.join(map(visible, here))}, {path}")
    if experiments(root):
        return PairError(
            f"no pair is named, and there is none here: add --pair NAME, {path}; embalign import makes one"
        )
    return PairError(f"no pair is named, and there is none here: add --pair NAME, {path}; {no_experiments(root)}")


def seed_number(text: str) -> int:
    """Return a seed. Raises ArgumentTypeError for what is none."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


EXPORT = Command(
    name="export",
    help="fit a pair's map on all its training items and write it with its quality and certified thresholds",
    description="Fit a pair's map on all its training items. Writes map.safetensors and map.json; for matrix, ridge "
    "and cosine, searched plainly, W.npy, float32 with one row per teacher dimension (mapped = draft @ W.T), and "
    "W.json. The JSON says what the map is, how good it is in each deployment, whether it beats no map, and which "
    "thresholds are certified for it. Prints the same in a few lines.",
    example="embalign export --pair smollm2-mpnet --out maps",
    add_arguments=_add_arguments,
    run=_run,
)

"""The command `embalign`: what can be done without a run of experiments."""

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from embalign.errors import EmbalignError
from embalign.escaping import visible
from embalign.lazy import lazy
from embalign.pairs.config import find_pair
from embalign.unforeseen import EXIT_CODE, log_unforeseen

export_map = lazy("embalign.deploy.map").export_map
summarise = lazy("embalign.deploy.summary").summarise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; a user's mistake, or what nobody foresaw, is one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may not have every character of a path
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        path = export_map(find_pair(options.pair, Path.cwd()), options.out, options.seed)
        print(f"{visible(str(path))} and {path.with_suffix('.json').name} written")
        print(summarise(path))
    except (EmbalignError, OSError) as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return EmbalignError.exit_code
    except KeyboardInterrupt:
        print("interrupted; rerun the same command", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        print(log_unforeseen(error, Path.cwd()), file=sys.stderr)
        return EXIT_CODE
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="embalign", description="Embedding alignment with verdicts that can say no.")
    export = parser.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "export",
        help="train a pair's map on all its training items and write it with its quality and certified thresholds",
        description="Train a pair's map on all its training items. Writes W.npy, float32 with one row per teacher "
        "dimension (mapped = draft @ W.T), and W.json: what the map is, how good it is in each deployment, whether it "
        "beats no map, and the thresholds certified for it. Prints the same in a few lines.",
    )
    export.add_argument("--pair", default="qwen-sentence-align", help="pair folder or its name (default: %(default)s)")
    export.add_argument("--out", type=Path, default=Path("."), help="folder to write into (default: here)")
    export.add_argument(
        "--seed", type=_seed, default=0, help="fixes initial map and batch order, at least 0 (default: %(default)s)"
    )
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())

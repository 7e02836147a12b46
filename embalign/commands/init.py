"""embalign init: a folder where experiments run."""

import argparse
from pathlib import Path

from embalign.commands.command import Command, named_path
from embalign.escaping import visible
from embalign.lazy import lazy

lay_out = lazy("embalign.starter").lay_out


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=named_path, nargs="?", default=Path("."), metavar="DIR", help="the folder (default: this one)"
    )


def _run(options: argparse.Namespace) -> int:
    for line in lay_out(options.folder):
        print(visible(line))
    return 0


INIT = Command(
    name="init",
    help="make a folder where experiments run",
    description="Write the files of a folder where experiments run: benchmark/test_elbow.py, test_spectral.py, "
    "test_maps.py and test_gate.py, a grid and its cases each; a pytest.ini that names the plugin; a .gitignore. A "
    "file that is there is never changed, so the command may be repeated. Then a pair is imported or named, and "
    "`pytest benchmark/ -k elbow --pair NAME` runs.",
    example="embalign init experiments",
    add_arguments=_add_arguments,
    run=_run,
)

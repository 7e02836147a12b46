"""Import matplotlib with its own defaults: what a user has set for other work changes no figure and breaks none."""

import atexit
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from embalign.durable import own_folder
from embalign.lazy import lazy

# Each says where settings are, or is one.
VARIABLES = ("MATPLOTLIBRC", "MPLBACKEND", "MPLCONFIGDIR")

matplotlib = lazy("matplotlib")


def import_matplotlib(folder: Path) -> None:
    """Import matplotlib, unless it is imported, with `folder` for its settings, which are none, and its font cache.

    matplotlib reads a file of settings while it is imported: a line of it that is wrong stops the import, and one in
    the current folder goes before all others.
    """
    if "matplotlib" in sys.modules:
        return
    try:
        own_folder(folder)
        (folder / "matplotlibrc").write_text("", encoding="ascii")
    except OSError:  # nothing can be written there: the reports may go elsewhere
        folder = Path(tempfile.mkdtemp(prefix="embalign-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    before = {name: value for name in VARIABLES if (value := os.environ.pop(name, None)) is not None}
    os.environ["MPLCONFIGDIR"] = str(folder)
    try:
        with contextlib.chdir(folder):
            for place in (matplotlib.get_configdir, matplotlib.get_cachedir):  # kept by matplotlib once asked
                place()
    finally:
        del os.environ["MPLCONFIGDIR"]
        os.environ.update(before)

"""What a pair's folder holds beside its data: code and settings, which are never used, and a link for its reports.

A pair may come from a stranger, and it may be a whole repository: what is ignored is named, in one line.
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

DEEPEST, MOST_ENTRIES = 3, 2000  # of the folders below, and of all that is looked at: a repository may be huge
SHOWN = 20
_SETTINGS = (
    *("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg", "pyproject.toml"),
    *("pyvenv.cfg", "conftest.py", "setup.py", "sitecustomize.py", "usercustomize.py"),
)
_CODE = re.compile(r".*\.(py|pyw|pyc|pyd|so|pth)", re.IGNORECASE | re.DOTALL)
_TEST_LIKE = re.compile(r"test_.*\.py|.*_test\.py|.*\.pth", re.IGNORECASE | re.DOTALL)


def ignored(folder: Path) -> str:
    """Return in one line which code and settings in a pair's folder are ignored; "" if there are none.

    Below the folder itself, only files that pytest or Python would look for by their name count.
    """
    names = sorted(_names(folder), key=lambda name: (name.count("/"), name))
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    shown = ", ".join(repr(name)[1:-1] for name in names[:SHOWN])  # what is not printable is escaped
    return f"ignored in {repr(folder.name)[1:-1]}: {shown}{more}: a pair is data"


def _names(folder: Path) -> Iterator[str]:
    left, places = MOST_ENTRIES, [("", 0)]
    while places and left:
        inside, depth = places.pop(0)
        try:
            with os.scandir(folder / inside) as found:
                entries = list(itertools.islice(found, left))
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            name = inside + entry.name
            if entry.is_dir(follow_symlinks=False):
                if depth < DEEPEST and not entry.name.startswith("."):
                    places.append((f"{name}/", depth + 1))
            elif name == "reports" and entry.is_symlink():
                yield "reports (a link)"
            elif entry.name in _SETTINGS or (_TEST_LIKE if inside else _CODE).fullmatch(entry.name):
                yield name

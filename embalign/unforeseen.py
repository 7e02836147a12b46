"""What nobody foresaw: one line for the user, and a log file with the traceback for whoever fixes it."""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import re
import sys
import traceback
from pathlib import Path

from embalign.durable import own_folder
from embalign.readers import said_of

EXIT_CODE = 3  # pytest's own for an internal error
LIBRARIES = ("embalign", "pytest", "numpy", "scipy", "scikit-learn", "torch", "pandas", "matplotlib", "msgspec")
SECRET = re.compile("key|token|secret|password|credential|auth", re.IGNORECASE)
SHORTEST_SECRET = 6  # a shorter value would take words out of the text


def log_unforeseen(error: BaseException, root: Path) -> str:
    """Write the traceback of an error into `root`/.embalign/errors/ and return one line that says so.

    The log holds versions, but neither environment variables nor the values of those that hold secrets.
    """
    moment = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    name = f"{moment}-{os.getpid()}.log"
    words = f"unforeseen error: {_without_secrets(f'{type(error).__name__}: {said_of(error)}')}"
    folder = root / ".embalign" / "errors"
    try:
        own_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        with (folder / name).open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(_without_secrets("".join([_about(), *traceback.format_exception(error)])) + "\n")
    except OSError as fault:
        frame = traceback.extract_tb(error.__traceback__)[-1:]
        where = f" in {Path(frame[0].filename).name}, line {frame[0].lineno}" if frame else ""
        return f"{words}{where}; the work done so far is kept; no log could be written ({said_of(fault)})"
    return f"{words}; the work done so far is kept; traceback in .embalign/errors/{name}: please report it"


def _about() -> str:
    lines = [f"python {platform.python_version()} on {platform.platform()}"]
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            lines.append(f"{name} {importlib.metadata.version(name)}")
    return "\n".join([*lines, f"command: {' '.join(sys.argv)}", "", ""])


def _without_secrets(text: str) -> str:
    """Take user names and passwords of addresses out of a text, and the values of variables that hold secrets."""
    hidden = re.sub(r"://[^/\s@]*@", "://...@", text)
    for name, value in os.environ.items():
        if SECRET.search(name) and len(value) >= SHORTEST_SECRET:
            hidden = hidden.replace(value, "...")
    return hidden

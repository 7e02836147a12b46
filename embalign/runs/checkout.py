"""The checkout that a run is made from: its commit, whether the tree differs from it, and git's reason if unknown.

Git answers for the checkout alone: variables that name another repository, index or work tree are not passed on, no
hook or monitor of the repository's configuration runs, and nothing is written. Its output is bytes, and names in it are
UTF-8 whatever the locale.
"""

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from embalign.errors import EmbalignError
from embalign.escaping import one_line
from embalign.runs.source import is_installed, source_files

State = Mapping[str, str | bool | None]

GIT_SECONDS = 20
# What runs themselves write.
WRITTEN = ("benchmark/*/reports/**", "benchmark/baselines/**", "docs/research/**", "**/__pycache__/**")
# Of git's variables those pass that say which configuration it reads and how far it looks, none that names another
# repository. Its own tests' one stands for a checkout of another user.
KEPT = ("GIT_CONFIG_", "GIT_EXEC_PATH", "GIT_CEILING_", "GIT_DISCOVERY_", "GIT_TEST_ASSUME_DIFFERENT_OWNER")
NO_COMMIT = "Needed a single revision"  # git's words
SHOWN = 3  # changed files named


class Checkout:
    """The checkout that a run is made from, watched from the first cell to the last."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._began: State | None = None

    def begin(self) -> State:
        """Note the state that the first cell will be measured from, and return it."""
        if self._began is None:
            self._began = commit(self._root)
        return self._began

    def state(self, modules: Collection[str]) -> State:
        """Return the commit, and as `dirty` whether the tree has differed from it since the run began, or does now.

        The files behind `modules`, which measured, are compared with the commit byte by byte.
        """
        began = self.begin()
        now = commit(self._root, sorted({path for module in modules for path in source_files(module)}))
        if now["id"] is None or now["dirty"]:
            return now
        if began["dirty"] is not False:
            return {**now, "dirty": True, "reason": f"when the run began: {began.get('reason')}"}
        if began["id"] != now["id"]:
            return {**now, "dirty": True, "reason": f"the commit was {began['id']} when the run began"}
        return now


def commit(root: Path, sources: Sequence[Path] = ()) -> State:
    """Return the checkout's commit as `id` and as `dirty` whether anything but what runs write differs from it.

    Both are None where git knows no commit. Unless the tree is clean, `reason` says why, in one line. Of `sources`,
    those in the checkout are compared byte by byte: git can be told not to look at a file. Installed ones are not.
    """
    try:
        head = _git(root, "rev-parse", "--verify", "HEAD").decode().strip()
        _git(root, "rev-parse", "HEAD:./")  # fails where another repository merely lies around the folder
        changed = _changed(root)
        differing = [] if changed else _differing(root, sources)
    except _GitError as error:
        return {"id": None, "dirty": None, "reason": str(error)}
    if names := changed or differing:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return {"id": head, "dirty": True, "reason": f"changed: {', '.join(names[:SHOWN])}{more}"}
    return {"id": head, "dirty": False}


def id_if_clean(state: Mapping[str, object]) -> str | None:
    """Return the commit of a checkout's state if the tree is that commit, else None."""
    return str(state["id"]) if state["id"] is not None and state["dirty"] is False else None


def why_not_clean(state: Mapping[str, object]) -> str:
    """Return why a checkout's state, which is not clean, is no commit, and the remedy."""
    reason = state.get("reason")
    if state["id"] is None:
        return f"no commit of the tree is known ({reason or 'git gave none'}); fix this, then rerun"
    return f"the tree differs from its commit{f' ({reason})' if reason else ''}; commit first, then rerun"


class _GitError(EmbalignError):
    """What git said, in one line."""


def _changed(root: Path) -> list[str]:
    """The names of files that git sees as changed, added or missing, escaped."""
    flags = ("--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=none")
    status = _git(root, "status", *flags, "--", ".", *(f":(exclude,glob){path}" for path in WRITTEN))
    return [one_line(_text(entry[3:])) for entry in status.split(b"\0") if entry]


def _differing(root: Path, sources: Sequence[Path]) -> list[str]:
    """The names of sources whose content is not the commit's, as git would store it, escaped."""
    # An environment that lies in the checkout holds packages, of which git knows nothing.
    own = (path for path in sources if path.is_relative_to(root) and not is_installed(path.relative_to(root)))
    names = [path.relative_to(root).as_posix() for path in own]
    if not names:
        return []
    held = _git(root, "ls-tree", "-z", "HEAD", "--", *names).split(b"\0")
    committed = {
        _text(name): about.split()[-1] for about, _, name in (entry.partition(b"\t") for entry in held) if name
    }
    found = _git(root, "hash-object", "--", *names).split()
    return [one_line(name) for name, blob in zip(names, found, strict=True) if committed.get(name) != blob]


def _git(root: Path, *words: str) -> bytes:
    """What git prints. Raises _GitError with its reason, remedy included."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(KEPT)}
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *words]
    try:
        done = subprocess.run(
            command, cwd=root, env=kept | quiet, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_SECONDS
        )
    except FileNotFoundError:
        raise _GitError("git is not installed, or not on PATH") from None
    except subprocess.TimeoutExpired:
        raise _GitError(f"git {words[0]} took longer than {GIT_SECONDS} s") from None
    except OSError as error:
        raise _GitError(f"git cannot be run ({error.strerror})") from None
    if done.returncode:
        lines = [line.strip() for line in _text(done.stderr).splitlines() if line.strip()]
        said = (
            "; ".join(lines).replace(":; ", ": ").removeprefix("fatal: ")
            or f"git {words[0]} failed with exit code {done.returncode}"
        )
        raise _GitError(one_line("the repository has no commit yet" if said == NO_COMMIT else said))
    return done.stdout


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")

"""A folder where experiments run: the few files it needs, written from what is installed.

The experiments have one home, benchmark/ of the repository. A wheel carries them as text, in a folder of its own.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest
from _pytest.config.findpaths import load_config_dict_from_file

from embalign.durable import refuse_links, writing
from embalign.errors import FolderError
from embalign.escaping import shell
from embalign.pairs.place import SOURCE

PACKED = "starter_files"  # the folder of the package that a wheel has them in
EXPERIMENTS = ("test_elbow.py", "test_spectral.py", "test_maps.py", "test_gate.py")
# Names the plugin, so that it is there before pytest reads any path, and makes the folder pytest's root.
SETTINGS = b"[pytest]\naddopts = -p embalign.plugin\n"
# What is no part of an experiment and does not always bring a .gitignore of its own.
IGNORED = b".venv/\n__pycache__/\n"
IMPORT = "embalign import --draft a.npy --teacher b.npy --labels labels.csv --out mypair"
RUN = ("pytest", "benchmark/", "-k", "elbow", "--pair")
MOST_PAIRS = 3  # that are named
PYTESTS_FILES = ("pytest.toml", ".pytest.toml", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@dataclass(frozen=True)
class File:
    """A file of the folder, what it is to hold, and what is said of one that is there and holds something else."""

    name: str
    content: bytes
    otherwise: str


def lay_out(folder: Path) -> Iterator[str]:
    """Write the files that are missing, and yield a line for each and how to go on.

    Nothing that is there is changed. Raises FolderError or LinkError before anything is written, and FolderError for a
    disk or a folder that cannot be written.
    """
    files = _files(folder)
    for file in files:
        _refuse_what_is_no_file(folder, file.name)
    for file in files:
        with writing(folder / file.name, FolderError, "name another folder: embalign init DIR"):
            state = _put(folder / file.name, file)
        yield f"{file.name}: {state}"
    if not any(file.name == "pytest.ini" for file in files):
        yield f"pytest.ini: not written, since {_own_settings(folder)} has settings of pytest"
    there = [] if folder.resolve() == Path.cwd() else [shell(["cd", str(folder)])]
    for number, command in enumerate([*there, *_next(folder)]):
        yield f"{'      ' if number else 'next: '}{command}"


def _next(folder: Path) -> list[str]:
    """What to run in the folder: the experiments on the pairs that are in it or here, or else an import first."""
    of_name = {path.parent.name: path.parent.name for path in sorted((folder / "benchmark").glob("*/pair.toml"))}
    for place in dict.fromkeys((folder.resolve(), Path.cwd())):
        for path in sorted(place.glob("*/pair.toml")):
            name = os.path.relpath(path.parent, folder.resolve())
            of_name[str(path)] = name if name not in of_name and not name.startswith("-") else os.path.join(".", name)
    commands = [shell([*RUN, name]) for name in list(of_name.values())[:MOST_PAIRS]]
    return commands or [IMPORT, shell([*RUN, "mypair"])]


def experiment(name: str) -> bytes:
    """Return the content of a file of benchmark/: that of the wheel, or of the checkout that the package is used from.

    Raises FolderError if neither has it.
    """
    packed = resources.files("embalign") / PACKED / f"{name}.txt"
    if packed.is_file():
        return packed.read_bytes()
    try:
        return (SOURCE / "benchmark" / name).read_bytes()
    except OSError:
        raise FolderError(f"this installation of embalign lacks {name}; install embalign again") from None


def _files(folder: Path) -> list[File]:
    other = "left as it is; that of the embalign installed here differs"
    settings = [] if _own_settings(folder) else [File("pytest.ini", SETTINGS, "left as it is")]
    experiments = [File(f"benchmark/{name}", experiment(name), other) for name in EXPERIMENTS]
    return [*settings, File(".gitignore", IGNORED, "left as it is"), *experiments]


def _own_settings(folder: Path) -> str | None:
    """The file from which pytest takes its settings in a folder that has no pytest.ini; one would hide it."""
    if (folder / "pytest.ini").exists():
        return None
    for name in PYTESTS_FILES:
        try:
            if (folder / name).is_file() and load_config_dict_from_file(folder / name) is not None:
                return name
        except (pytest.UsageError, UnicodeDecodeError) as error:
            raise FolderError(f"{folder / name}: pytest cannot read this file ({error}); fix it first") from None
    return None


def _refuse_what_is_no_file(folder: Path, name: str) -> None:
    path = folder / name
    refuse_links(folder, path, path.parent)
    for step in (path.parent, folder, *folder.parents):
        if os.path.lexists(step) and not step.is_dir():
            raise FolderError(f"{step} is no folder; name another one, or move it away")
    if path.exists() and not path.is_file():
        raise FolderError(f"{path} is no file; move it away")


def _put(path: Path, file: File) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as out:  # never over what has appeared meanwhile
            out.write(file.content)
    except FileExistsError:
        return "there already" if path.read_bytes() == file.content else file.otherwise
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return "written"

"""`embalign init`: a folder where experiments run, and nothing of a user's is changed."""

import os
import shlex
import subprocess
import sys

import pytest
from own_files import snapshot
from pair_folders import ROOT

from embalign import platforms, starter
from embalign.__main__ import main
from embalign.errors import FolderError, PairError
from embalign.pairs.config import find_pair

EXPERIMENTS = ("test_elbow.py", "test_spectral.py", "test_maps.py", "test_gate.py")
FILES = {"pytest.ini", ".gitignore", *(f"benchmark/{name}" for name in EXPERIMENTS)}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, where the command is run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_empty_folder_becomes_one_where_experiments_run(here, capsys):
    assert main(["init"]) == 0
    assert files(here) == FILES
    for name in EXPERIMENTS:
        assert (here / "benchmark" / name).read_bytes() == (ROOT / "benchmark" / name).read_bytes()
    said = capsys.readouterr().out.splitlines()
    assert {line.removesuffix(": written") for line in said[:6]} == FILES
    assert said[6:] == [
        "next: embalign import --draft a.npy --teacher b.npy --labels labels.csv --out mypair",
        "      pytest benchmark/ -k elbow --pair mypair",
    ]


def test_again_it_changes_nothing_and_says_so(here, capsys):
    main(["init"])
    before = snapshot(here)
    capsys.readouterr()
    assert main(["init"]) == 0
    assert snapshot(here) == before
    assert capsys.readouterr().out.count(": there already\n") == 6


def test_another_folder_is_made_and_the_way_there_is_said(here, capsys):
    assert main(["init", "new place/deep"]) == 0
    assert files(here / "new place" / "deep") == FILES
    assert "next: cd 'new place/deep'\n      embalign import " in capsys.readouterr().out


def test_files_that_differ_are_left_and_named_and_missing_ones_are_written(here, capsys):
    (here / "benchmark").mkdir()
    (here / "benchmark" / "test_elbow.py").write_text("mine\n")
    (here / ".gitignore").write_text("*.npy\n")
    before = snapshot(here)
    assert main(["init"]) == 0
    assert before.items() <= snapshot(here).items()
    assert files(here) == FILES
    said = capsys.readouterr().out
    assert "benchmark/test_elbow.py: left as it is; that of the embalign installed here differs\n" in said
    assert ".gitignore: left as it is\n" in said
    assert "benchmark/test_gate.py: written\n" in said


@pytest.mark.parametrize(
    ("name", "content", "written"),
    [
        ("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-q'\n", False),
        ("pyproject.toml", "[project]\nname = 'mine'\n", True),
        ("tox.ini", "[pytest]\n", False),
        ("setup.cfg", "[tool:pytest]\naddopts = -q\n", False),
        ("setup.cfg", "[metadata]\nname = mine\n", True),
    ],
)
def test_settings_that_pytest_has_elsewhere_are_not_hidden(here, name, content, written, capsys):
    (here / name).write_text(content)
    assert main(["init"]) == 0
    assert (here / "pytest.ini").exists() == written
    assert (f"pytest.ini: not written, since {name} has settings of pytest" in capsys.readouterr().out) != written


@pytest.mark.parametrize(("name", "content"), [("pyproject.toml", b"[tool\n"), ("tox.ini", b"\xff"), ("tox.ini", b"x")])
def test_settings_that_pytest_cannot_read_are_named(here, name, content, capsys):
    (here / name).write_bytes(content)
    assert main(["init"]) == 4
    assert capsys.readouterr().err.startswith(f"error: {name}: pytest cannot read this file (")
    assert files(here) == {name}


def dangling(here):
    (here / "pytest.ini").symlink_to(here / "nowhere")
    return "pytest.ini is a symbolic link"


def linked_folder(here):
    (here.parent / "other").mkdir()
    (here / "benchmark").symlink_to(here.parent / "other")
    return "benchmark is a symbolic link"


def a_file(here):
    (here / "benchmark").touch()
    return "benchmark is no folder"


def a_folder(here):
    (here / "benchmark" / "test_gate.py").mkdir(parents=True)
    return "test_gate.py is no file"


@pytest.mark.parametrize("lay", [dangling, linked_folder, a_file, a_folder])
def test_what_is_in_the_way_is_named_before_anything_is_written(here, lay, capsys):
    words = lay(here)
    before = snapshot(here.parent)
    assert main(["init"]) == 4
    assert words in capsys.readouterr().err
    assert snapshot(here.parent) == before


@pytest.mark.parametrize("folder", ["file", "file/deep", "link"])
def test_a_folder_that_cannot_be_one_is_refused(here, folder, capsys):
    (here / "file").touch()
    (here / "link").symlink_to(here / "nowhere")
    assert main(["init", folder]) == 4
    assert f"{folder.split('/')[0]} is no folder; name another one" in capsys.readouterr().err
    assert sorted(path.name for path in here.iterdir()) == ["file", "link"]


def next_lines(capsys):
    return capsys.readouterr().out.split("next: ")[1].strip().split("\n")


def a_pair(folder):
    folder.mkdir(parents=True)
    (folder / "pair.toml").touch()


def test_a_pair_that_is_there_is_run_and_none_is_to_be_imported(here, capsys):
    a_pair(here / "mine")
    assert main(["init"]) == 0
    assert next_lines(capsys) == ["pytest benchmark/ -k elbow --pair mine"]
    a_pair(here / "benchmark" / "mine")
    a_pair(here / "benchmark" / "first")
    assert main(["init"]) == 0
    run = "pytest benchmark/ -k elbow --pair"
    assert [line.strip() for line in next_lines(capsys)] == [f"{run} first", f"{run} mine", f"{run} ./mine"]
    assert main(["init", "elsewhere"]) == 0
    assert [line.strip() for line in next_lines(capsys)] == ["cd elsewhere", f"{run} ../mine"]


def test_a_disk_that_is_full_leaves_no_half_file(here):
    line = f"ulimit -f 0; exec {shlex.quote(sys.executable)} -m embalign init"
    paths = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    environment = os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, shell=True, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: pytest.ini: cannot be written (File too large); free some space there, or ")
    assert files(here) == set()


def test_a_pair_that_is_not_there_is_answered_by_how_to_make_one(here):
    with pytest.raises(PairError, match=r"\(known pairs: none\); .* has no experiments .* first: cd "):
        find_pair("mypair", here)
    main(["init"])
    with pytest.raises(PairError, match=r"\(known pairs: none\); add --pair PATH, .* as embalign import makes one"):
        find_pair("mypair", here)


def test_an_installation_that_lacks_its_experiments_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(starter, "SOURCE", tmp_path)
    monkeypatch.setattr(starter.resources, "files", lambda package: tmp_path)
    with pytest.raises(FolderError, match=r"this installation of embalign lacks test_gate\.py; install embalign again"):
        starter.experiment("test_gate.py")


def test_a_system_that_is_not_meant_is_named_in_one_line(here, monkeypatch, capsys):
    class Windows:
        name = "nt"

    assert platforms.os is os
    monkeypatch.setattr(platforms, "os", Windows)
    assert main(["init"]) == 4
    assert capsys.readouterr().err == (
        "error: embalign runs on Linux and macOS; on Windows use it in WSL (wsl --install)\n"
    )
    assert not list(here.iterdir())

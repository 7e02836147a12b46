"""The state of a checkout: whatever git says or the environment holds, it is this tree's, or the reason why not."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from embalign.runs import checkout
from embalign.runs.checkout import Checkout, commit, id_if_clean, why_not_clean

GIT = shutil.which("git")
IDENTITY = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder, *words):
    done = subprocess.run([GIT, *words], cwd=folder, env=os.environ | IDENTITY, capture_output=True, check=True)
    return done.stdout.decode().strip()


def repository(folder, files=("code.py",)):
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    for name in files:
        (folder / name).write_text("1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "all")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository of one file, and no other around it."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return repository(tmp_path / "root")


def program(folder, text):
    folder.mkdir(exist_ok=True)
    path = folder / "git"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return folder


def no_repository(root, monkeypatch):
    shutil.rmtree(root / ".git")


def no_commit(root, monkeypatch):
    shutil.rmtree(root / ".git")
    git(root, "init", "-q")


def other_owner(root, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def no_git(root, monkeypatch):
    monkeypatch.setenv("PATH", "")


def slow(root, monkeypatch):
    monkeypatch.setattr(checkout, "GIT_SECONDS", 0.2)
    monkeypatch.setenv("PATH", str(program(root.parent / "bin", "import time; time.sleep(60)")))


def silent_failure(root, monkeypatch):
    monkeypatch.setenv("PATH", str(program(root.parent / "bin", "raise SystemExit(3)")))


def killed(root, monkeypatch):
    monkeypatch.setenv("PATH", str(program(root.parent / "bin", "import os; os.kill(os.getpid(), 9)")))


def not_to_be_run(root, monkeypatch):
    program(root.parent / "bin", "").joinpath("git").write_bytes(b"\0\1\2")
    monkeypatch.setenv("PATH", str(root.parent / "bin"))


def broken_head(root, monkeypatch):
    (root / ".git" / "HEAD").write_text("nothing\n")


def broken_config(root, monkeypatch):
    (root / ".git" / "config").write_text("[core\n")


def broken_index(root, monkeypatch):
    (root / ".git" / "index").write_bytes(b"DIRC" + bytes(60))


def lost_objects(root, monkeypatch):
    shutil.rmtree(root / ".git" / "objects")


def newer_format(root, monkeypatch):
    git(root, "config", "core.repositoryformatversion", "99")


UNKNOWN = [
    (no_repository, "not a git repository (or any of the parent directories): .git"),
    (no_commit, "the repository has no commit yet"),
    (other_owner, "git config --global --add safe.directory"),
    (no_git, "git is not installed, or not on PATH"),
    (slow, "git rev-parse took longer than 0.2 s"),
    (silent_failure, "git rev-parse failed with exit code 3"),
    (killed, "git rev-parse failed with exit code -9"),
    (not_to_be_run, "git cannot be run (Exec format error)"),
    (broken_head, "not a git repository"),
    (broken_config, "bad config line 1"),
    (broken_index, "index"),
    (lost_objects, "not a git repository"),
    (newer_format, "found 99"),
]


@pytest.mark.parametrize(("happens", "reason"), UNKNOWN, ids=[found.__name__ for found, _ in UNKNOWN])
def test_a_commit_that_is_not_known_has_gits_reason_in_one_line(root, monkeypatch, happens, reason):
    happens(root, monkeypatch)
    started = time.monotonic()
    found = commit(root)
    assert time.monotonic() - started < 20
    assert (found["id"], found["dirty"]) == (None, None)
    assert reason in found["reason"]
    assert "\n" not in found["reason"]
    assert reason in why_not_clean(found)
    assert id_if_clean(found) is None


def test_another_repository_in_the_environment_is_not_asked(root, tmp_path, monkeypatch):
    """As in a hook of git, which names the repository that it runs for."""
    other, own = repository(tmp_path / "other"), git(root, "rev-parse", "HEAD")
    (other / "code.py").write_text("2\n")
    for name, value in {
        "GIT_DIR": other / ".git",
        "GIT_WORK_TREE": other,
        "GIT_INDEX_FILE": other / ".git" / "index",
        "GIT_OBJECT_DIRECTORY": other / ".git" / "objects",
        "GIT_NAMESPACE": "other",
        "GIT_PREFIX": "other/",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_TRACE": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    assert commit(root, [root / "code.py"]) == {"id": own, "dirty": False}


def test_the_safe_directories_of_the_environment_count(root, monkeypatch):
    other_owner(root, monkeypatch)
    for name, value in {"COUNT": "1", "KEY_0": "safe.directory", "VALUE_0": str(root)}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    assert commit(root)["dirty"] is False


@pytest.mark.parametrize("ignored", [True, False])
def test_a_repository_that_only_lies_around_the_folder_has_no_commit_of_it(root, ignored):
    inside = root / "build" / "copy"
    inside.mkdir(parents=True)
    (inside / "code.py").write_text("1\n")
    if ignored:
        (root / ".git" / "info" / "exclude").write_text("build\n")
    found = commit(inside)
    assert found["id"] is None
    assert "not in 'HEAD'" in found["reason"] or "does not exist in 'HEAD'" in found["reason"]


@pytest.mark.parametrize("quoted", ["true", "false"])
def test_changed_files_are_named_whatever_their_names(root, quoted):
    git(root, "config", "core.quotePath", quoted)
    for name in ("größer.txt", "a\nb", os.fsdecode(b"latin-\xe9")):
        (root / name).write_text("")
    found = commit(root)
    assert found["dirty"] is True
    assert found["reason"] == r"changed: a\nb, größer.txt, latin-\udce9"
    assert why_not_clean(found).startswith("the tree differs from its commit (changed: a")
    (root / "more").touch()
    assert commit(root)["reason"].endswith(" and 1 more")


def test_a_change_that_git_was_told_not_to_see_is_seen_in_the_sources(root):
    git(root, "update-index", "--assume-unchanged", "code.py")
    (root / "code.py").write_text("2\n")
    assert commit(root)["dirty"] is False
    assert commit(root, [root / "code.py"])["reason"] == "changed: code.py"


def test_an_environment_in_the_checkout_is_no_part_of_it(root):
    """As `.venv/`, which git is told to ignore: what is installed there is known by version and digest."""
    (root / ".gitignore").write_text(".venv/\n")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "ignored")
    installed = root / ".venv" / "lib" / "python3.11" / "site-packages" / "embalign" / "cells.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("1\n")
    assert commit(root, [installed, root / "code.py"]) == {"id": git(root, "rev-parse", "HEAD"), "dirty": False}


def test_an_index_that_another_git_has_locked_can_be_read(root):
    (root / ".git" / "index.lock").touch()
    (root / "code.py").touch()
    assert commit(root)["dirty"] is False


def test_nothing_of_a_repositorys_configuration_is_run(root, tmp_path):
    """Neither its monitor nor its hooks, and the index is not written."""
    marker = tmp_path / "was-run"
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\ntouch {marker}\n")
    tool.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(tool))
    hooks = root / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    shutil.copy(tool, hooks / "post-index-change")
    os.utime(root / "code.py", (1, 1))  # git would refresh its index
    before = (root / ".git" / "index").read_bytes()
    assert commit(root, [root / "code.py"])["dirty"] is False
    assert not marker.exists()
    assert (root / ".git" / "index").read_bytes() == before


def test_a_submodule_that_has_changed_makes_the_tree_dirty(root, tmp_path):
    inner = repository(tmp_path / "inner")
    git(root, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "part")
    git(root, "commit", "-q", "-m", "part")
    assert commit(root)["dirty"] is False
    (root / "part" / "code.py").write_text("2\n")
    assert commit(root)["reason"] == "changed: part"


def test_git_speaks_english_and_utf8_in_any_locale(root, monkeypatch):
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("LC_ALL", "de_DE.ISO-8859-1")
    no_commit(root, monkeypatch)
    assert commit(root)["reason"] == "the repository has no commit yet"


def test_a_tree_that_differed_when_the_run_began_says_so(root):
    watched = Checkout(root)
    (root / "code.py").write_text("2\n")
    watched.begin()
    (root / "code.py").write_text("1\n")
    assert watched.state([])["reason"] == "when the run began: changed: code.py"


def test_a_commit_that_changes_during_the_run_is_named(root):
    watched = Checkout(root)
    before = watched.begin()["id"]
    git(root, "commit", "-q", "--allow-empty", "-m", "more")
    found = watched.state([])
    assert found["dirty"] is True
    assert found["reason"] == f"the commit was {before} when the run began"

"""Every command that writes: into a folder without access, below a file, on a full disk, among the data of a pair."""

import os
import platform
import re
import subprocess
import sys

import disk_faults
import numpy as np
import pytest
from own_files import write_csv
from pair_folders import ROOT
from result_tables import everything_in
from test_cutover import planted

from embalign.__main__ import main
from embalign.durable import PartlyMovedError, in_words
from embalign.unforeseen import log_unforeseen

FILES = ("--draft", "a.npy", "--teacher", "b.npy", "--labels", "labels.csv")
# Each command with {} for the folder that it writes into.
COMMANDS = {
    "init": ("init", "{}"),
    "import": ("import", *FILES, "--out", "{}/pair"),
    "judge": ("judge", "curve.csv", "--out", "{}"),
    "compare": ("compare", "a.csv", "b.csv", "--margin", "0.1", "--out", "{}"),
    "cutover": ("cutover", "--pair", "mypair", "--map", "exact.npy", "--out", "{}"),
    "summary": ("cutover", "--pair", "mypair", "--map", "exact.npy", "--summary", "{}/job.md"),
    "export": ("export", "--pair", "mypair", "--family", "ridge", "--out", "{}"),
    "report": ("report", "--pair", "mypair", "--out", "{}/page.html"),
}
RESULTS = ("judge", "compare", "cutover", "export")
needs_capabilities = pytest.mark.skipif(
    platform.system() != "Linux", reason="root obeys modes only without a capability"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with what every command reads, and one that nobody may write into."""
    here = tmp_path_factory.mktemp("made")
    found = planted()
    np.save(here / "a.npy", found.draft.astype(np.float32))
    np.save(here / "b.npy", found.teacher.astype(np.float32))
    np.save(here / "exact.npy", found.exact.astype(np.float32))
    write_csv(here / "labels.csv", [("id", "label"), *found.labels])
    noise = np.random.default_rng(0)
    cells = [(size, seed) for size in (10, 20, 50, 100, 200) for seed in range(3)]
    curve = [(size, seed, 1 - 1 / size + 0.01 * noise.random()) for size, seed in cells]
    write_csv(here / "curve.csv", [("n", "seed", "value"), *curve])
    for name in ("a.csv", "b.csv"):
        write_csv(here / name, [("item", "value"), *((f"q{row}", noise.random()) for row in range(40))])
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(here)
        assert main(["import", *FILES, "--out", "mypair"]) == 0
    report = here / "mypair" / "reports" / "elbow"
    report.mkdir(parents=True)
    (report / "report.md").write_text("# Found\n\n- **An answer.**\n")
    (here / "closed").mkdir(mode=0o555)
    return here


def run(here, words, fault=None):
    """Exit code and what a command says on stderr, from a process under a fault of the disk."""
    paths = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-m", "embalign", *words],
        cwd=here,
        env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=fault,
    )
    return done.returncode, done.stderr


def of(command, folder):
    return [word.format(folder) for word in COMMANDS[command]]


def assert_one_line(code, line, path, cause):
    """One line with the path, the cause in the system's words and a remedy; neither number nor traceback."""
    assert code == 4, line
    assert re.fullmatch(rf"error: [^\n]*{path}[^\n]*{cause}[^\n]*; [^\n]*\b(name|TMPDIR)\b[^\n]*\n", line), line
    assert "Errno" not in line


@needs_capabilities
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "compare"])  # which writes as judge does
def test_a_folder_without_access_is_one_line(made, command):
    code, line = run(made, of(command, "closed"), disk_faults.no_more_than_others)
    assert_one_line(code, line, "closed", "Permission denied")
    assert "give this user access, or name " in line
    assert not list((made / "closed").iterdir())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["a.csv/deep", "/proc/nothing"])
def test_a_place_that_cannot_be_made_is_one_line(made, command, place, monkeypatch, capsys):
    monkeypatch.chdir(made)
    before = everything_in(made)
    code = main(of(command, place))
    assert_one_line(code, capsys.readouterr().err, place.split("/")[0] or "/proc", "")
    assert everything_in(made) == before


@pytest.mark.parametrize("command", ["import", "judge", "cutover", "export", "report"])
def test_a_full_disk_is_one_line_and_leaves_nothing(made, command, tmp_path):
    code, line = run(made, of(command, tmp_path / "out"), lambda: disk_faults.files_stay_small(1))
    assert_one_line(code, line, re.escape(str(tmp_path)), "File too large")
    assert "free some space there, or name another " in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_that_are_asked_name_the_folder_for_temporary_files_where_it_is_full(made):
    words = ["cutover", *FILES, "--map", "exact.npy", "--out", "{}"]
    code, line = run(made, words, lambda: disk_faults.files_stay_small(1))
    assert_one_line(code, line, "", "File too large")
    assert line.endswith("free some space there, or set TMPDIR to a folder with more room\n")


def test_what_takes_long_is_refused_before_it_is_begun(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    monkeypatch.setattr("embalign.deploy.map.load_pair", None)
    monkeypatch.setattr("embalign.judging.cutover_map.load_pair", None)
    for command in ("cutover", "summary", "export"):
        assert main(of(command, "/proc/nothing")) == 4
    assert "unforeseen" not in capsys.readouterr().err


def test_a_map_and_its_card_are_written_together_or_not_at_all(made, tmp_path):
    assert run(made, of("export", tmp_path))[0] == 0
    before = everything_in(tmp_path)
    code, line = run(made, [*of("export", tmp_path), "--seed", "1"], lambda: disk_faults.files_stay_small(8))
    assert_one_line(code, line, re.escape(str(tmp_path)), "File too large")
    assert everything_in(tmp_path) == before


@pytest.mark.parametrize("command", RESULTS)
@pytest.mark.parametrize("place", ["mypair", "mypair/embeddings", "mypair/../mypair/"])
def test_no_result_is_written_among_the_data_of_a_pair(made, command, place, monkeypatch, capsys):
    monkeypatch.chdir(made)
    before = everything_in(made)
    assert main(of(command, place)) == 4
    assert "holds the data of a pair, and no result is written there; name another folder" in capsys.readouterr().err
    assert everything_in(made) == before


def test_the_current_folder_is_a_pairs_too_where_nothing_else_is_named(made, monkeypatch, capsys):
    monkeypatch.chdir(made / "mypair")
    assert main(["export", "--pair", ".", "--family", "ridge"]) == 4
    assert "holds the data of a pair" in capsys.readouterr().err


def test_a_fault_that_nobody_has_foreseen_has_its_path_and_no_number(tmp_path):
    fault = PermissionError(13, "Permission denied", "/etc/x")
    assert in_words(fault) == "/etc/x: Permission denied; give this user access, or name another place"
    assert in_words(OSError("2 requested and 0 written")) == "2 requested and 0 written; name another place"
    assert in_words(PartlyMovedError(28, "No space left; 1 of 2 files are in place in x")).endswith(
        "in place in x; free some space there, or name another place"
    )
    assert log_unforeseen(fault, tmp_path).startswith("unforeseen error: PermissionError: /etc/x: Permission denied;")

"""What nobody foresaw ends in one line, a log and exit code 3, and what was measured is kept."""

import os
import re
import sqlite3
import subprocess
import sys
import time

import light
import pytest
from pair_folders import ROOT, write_pair

from embalign import durable
from embalign.durable import PartlyMovedError, move_all
from embalign.errors import StoreError
from embalign.evaluation.measurement import Measurement
from embalign.runs.store import Store
from embalign.unforeseen import log_unforeseen

CELLS = 4
# Two experiments on one pair, of which the first one's report or measure is a real fault of a real module.
FAULTY_MODULE = """
from light import measure, write_report


def broken_report(results, about, folder):
    return "cells: " + len(results)


def broken_measure(pair, cell):
    return measure(pair, cell) if cell["setting"] else {}["seven"]
"""
SECOND = '\n\nOTHER = Experiment(\n    name="other",\n    report=lazy("light").write_report,\n'
SECOND += '    tables=(Table("light", measure=light.measure, quick=grid(setting=[7])),),\n)\n'
SECOND += '\n\n@pytest.mark.cells(OTHER, "light")\ndef test_other(cell, measure):\n    measure(cell)\n'


@pytest.fixture
def root(tmp_path, smollm2):
    """A root with the light experiment and a small pair."""
    folder = write_pair(tmp_path / "seed" / "small", smollm2, 40)
    light.build_root(tmp_path / "root", folder, cells=CELLS)
    (tmp_path / "root" / "faulty.py").write_text(FAULTY_MODULE)
    return tmp_path / "root"


def run(root, *options, **environment):
    found = light.environment(LIGHT_SECONDS="0", **environment)
    found["PYTHONPATH"] = f"{root}{os.pathsep}{found['PYTHONPATH']}"
    return subprocess.run(
        light.command("-q", *options), cwd=root, env=found, capture_output=True, text=True, check=False, timeout=120
    )


def rewrite(root, *changes):
    path = root / "benchmark" / "test_light.py"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def stored(root):
    with sqlite3.connect(root / ".embalign" / "results.sqlite") as connection:
        return connection.execute("SELECT count(*) FROM measurements").fetchone()[0]


def check_is_one_line(done, root, words):
    """The run ended with code 3, one line that says so, and a log with the traceback."""
    output = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR, output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    assert words in output
    _, *causes = (part.partition("\n")[0].rstrip(" !") for part in output.split("unforeseen error: "))
    assert len(set(causes)) == 1, output  # pytest itself says twice why a session did not start
    (log,) = (root / ".embalign" / "errors").iterdir()
    assert f"traceback in .embalign/errors/{log.name}: please report it" in causes[0]
    text = log.read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in text
    assert re.search(r"^embalign \d", text, re.MULTILINE)
    return text


def test_a_report_that_cannot_be_drawn_leaves_rows_and_other_reports(root):
    rewrite(root, ("report=light.write_report", 'report=lazy("faulty").broken_report'))
    path = root / "benchmark" / "test_light.py"
    path.write_text(path.read_text() + SECOND)
    done = run(root)
    text = check_is_one_line(
        done, root, "light on small: no report written: unforeseen error: TypeError: can only conc"
    )
    assert "in broken_report" in text
    assert stored(root) == CELLS + 2
    reports = root / "benchmark" / "small" / "reports"
    assert (reports / "other" / "report.md").read_text().startswith("2 cells\n")
    assert not list((reports / "light").glob("*"))


def test_a_cell_that_fails_unforeseen_is_a_failed_test_and_the_grid_goes_on(root):
    rewrite(root, ("measure=light.measure", 'measure=lazy("faulty").broken_measure'))
    done = run(root)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "2 failed, 2 passed" in done.stdout
    assert "KeyError: 'seven'" in done.stdout
    assert "INTERNALERROR" not in done.stdout
    assert stored(root) == CELLS - 2


SITES = {
    "session start": "Runner.check = lambda runner: 1 / 0",
    "collection": "Runner.start = lambda runner, cells: 1 / 0",
    "end of a case": "Runner.accept = lambda runner, *outcome: 1 / 0",
    "end of the run": "Runner.stop = lambda runner: 1 / 0",
    "terminal": "Hooks.publish = lambda hooks, session: [1]",
}
PLANT = """
pytest_plugins = ["embalign.plugin"]


def pytest_configure(config):
    from embalign.plugin.hooks import Hooks
    from embalign.runs.runner import Runner

    {fault}
"""


@pytest.mark.parametrize("site", SITES)
def test_a_hook_that_fails_unforeseen_ends_the_run_in_one_line(root, site):
    """The fault is planted in what the hook calls; the hook and pytest around it are the real ones."""
    (root / "conftest.py").write_text(PLANT.format(fault=SITES[site]))
    check_is_one_line(run(root), root, "unforeseen error: ")


def test_the_command_line_ends_in_one_line_too(tmp_path):
    code = (
        "import sys, embalign.commands.export as export, embalign.__main__ as main\n"
        "export.export_map = lambda *words: {}['key ' + 'https://user:hunter2@host/']\n"
        "sys.exit(main.main(['export', '--pair', sys.argv[1]]))"
    )
    pair = ROOT / "benchmark" / "smollm2-mpnet"
    environment = light.environment(MY_API_KEY="hunter2hunter2")
    done = subprocess.run(
        [sys.executable, "-c", code, str(pair)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    text = check_is_one_line(done, tmp_path, "unforeseen error: KeyError: 'key https://...@host/'")
    assert "hunter2" not in text + done.stderr


def test_a_log_that_cannot_be_written_is_said_with_the_place_of_the_fault(tmp_path):
    (tmp_path / ".embalign").write_text("in the way")
    try:
        {}["nothing"]
    except KeyError as error:
        line = log_unforeseen(error, tmp_path)
    assert re.fullmatch(
        r"unforeseen error: KeyError: 'nothing' in test_boundary\.py, line \d+; .*; no log could be written \(.*\)",
        line,
    )


def test_secrets_of_the_environment_are_in_no_log(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdef123456")
    try:
        raise RuntimeError("header was abcdef123456\n\x1b[31m")
    except RuntimeError as error:
        line = log_unforeseen(error, tmp_path)
    assert "RuntimeError: header was ... \\x1b[31m;" in line
    (log,) = (tmp_path / ".embalign" / "errors").iterdir()
    assert "abcdef123456" not in log.read_text() + line


def test_a_locked_store_ends_the_run_before_the_first_cell(root):
    assert run(root).returncode == 0
    path = root / ".embalign" / "results.sqlite"
    (root / "conftest.py").write_text(
        'from embalign import durable\ndurable.BUSY_SECONDS = 1\npytest_plugins = ["embalign.plugin"]\n'
    )
    with sqlite3.connect(path, isolation_level=None) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("CREATE TABLE more (x)")
        done = run(root, "--results", "only-missing")
    connection.close()
    output = done.stdout + done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, output
    assert "no tests ran" in output
    assert "database is locked by another program, for over 1 s: end that one" in output
    assert "Traceback" not in output


def test_a_locked_store_is_waited_for_once_by_one_who_asks_often(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "BUSY_SECONDS", 0.3)
    store, other = (
        Store(tmp_path / "results.sqlite"),
        sqlite3.connect(tmp_path / "results.sqlite", isolation_level=None),
    )
    other.execute("BEGIN EXCLUSIVE")
    waited = []
    for _ in range(20):
        start = time.monotonic()
        with pytest.raises(StoreError, match=r"results\.sqlite: database is locked"):
            store.get("key")
        waited.append(time.monotonic() - start)
    assert sum(waited) < 20 * 0.3
    other.execute("ROLLBACK")
    other.close()
    store.close()
    store.put("key", Measurement({"mrr": 1.0}))
    assert store.get("key").metrics == {"mrr": 1.0}
    store.close()


DAMAGE = {
    "a digest that is no text": "UPDATE measurements SET sha256 = CAST(x'ff61' AS TEXT)",
    "a digest of another row": "UPDATE measurements SET sha256 = 'aa'",
    "a flipped bit": "UPDATE measurements SET content = CAST(content || x'00' AS BLOB)",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_row_is_measured_again(tmp_path, damage):
    store = Store(tmp_path / "results.sqlite")
    store.put("key", Measurement({"mrr": 0.5}))
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute(DAMAGE[damage])
    connection.close()
    assert store.get("key") is None
    store.put("key", Measurement({"mrr": 0.25}))
    assert store.get("key").metrics == {"mrr": 0.25}
    store.close()


def odd_schema(path):
    """A database whose schema is broken at a name that is not UTF-8, which SQLite's own words repeat."""
    connection = sqlite3.connect(path)
    connection.executescript(
        "CREATE TABLE oddly (a); PRAGMA writable_schema = 1; UPDATE sqlite_master SET sql = 'CREATE TABLE broken'"
    )
    connection.close()
    path.write_bytes(path.read_bytes().replace(b"oddly", b"\x80ddly"))


IN_THE_WAY = {
    "odd schema": odd_schema,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "circular link": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "no database": lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096),
    "text": lambda path: path.write_text("<html>" * 100),
    "view": lambda path: sqlite3.connect(path).execute("CREATE VIEW measurements AS SELECT 1 AS key"),
    "other columns": lambda path: sqlite3.connect(path).execute("CREATE TABLE measurements (a, b)"),
}


@pytest.mark.parametrize("thing", IN_THE_WAY)
def test_a_store_that_is_none_is_named_with_its_remedy(tmp_path, thing):
    path = tmp_path / "results.sqlite"
    IN_THE_WAY[thing](path)
    store = Store(path)
    with pytest.raises(
        StoreError, match=r"results\.sqlite(: .*; finished cells| is a symbolic link, .*; remove the link)"
    ):
        store.get("key")
    store.close()


def test_files_that_were_moved_are_never_said_to_be_as_before(tmp_path):
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / "new" / name).write_text("new")
    (tmp_path / "old" / "b").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(PartlyMovedError, match=r"Is a directory; 1 of 2 files are in place in .*old"):
        move_all(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "a").read_text() == "new"


def test_a_report_that_is_in_place_in_part_is_said_to_be_so(root):
    folder = root / "benchmark" / "small" / "reports" / "light" / "report.md"
    folder.mkdir(parents=True)
    done = run(root)
    assert done.returncode == pytest.ExitCode.INTERNAL_ERROR
    assert "2 of 3 files are in place" in done.stdout
    assert "unchanged" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr

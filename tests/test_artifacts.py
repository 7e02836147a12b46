"""What is beside the artifacts of a run: rows so far, what killed runs left behind, and notes on what is unknown."""

import json
import os
import subprocess
import time

import light
import pytest
from pair_folders import write_pair

from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Experiment, Table, grid
from embalign.runs.artifacts import publish
from embalign.runs.checkout import Checkout
from embalign.runs.run import Run

LIGHT = Experiment("light", light.write_report, (Table("light", light.measure, quick=grid(setting=[0, 1])),))


@pytest.fixture
def run_of(tmp_path, smollm2, monkeypatch):
    """A function that gives a run of the light experiment of which the first so many cells were measured."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = write_pair(tmp_path / "benchmark" / "small", smollm2, 60)
    cells = LIGHT.cells("small", "quick", 2, own_queries=False)

    def run(measured):
        outcomes = {cell: Measurement({"value": 1.0}) for cell in list(cells)[:measured]}
        return Run(LIGHT, folder, "quick", cells, outcomes, tmp_path, Checkout(tmp_path), ["benchmark"])

    return run


def leave(folder, age):
    folder.mkdir(parents=True)
    (folder / "light.csv").write_text("half a ro")
    os.utime(folder, (time.time() - age,) * 2)
    return folder


@pytest.mark.parametrize("measured", [3, 4])
def test_what_a_killed_run_was_building_is_swept_and_what_another_builds_is_not(run_of, tmp_path, measured):
    run = run_of(measured)
    place = run.reports_base() / (".partial" if measured < 4 else "")
    old, new = leave(place / ".building-old", 7200), leave(place / ".building-new", 60)
    elsewhere = leave(tmp_path / "elsewhere", 7200)
    (place / ".building-link").symlink_to(elsewhere)
    publish(run)
    assert not old.exists()
    assert new.exists()
    assert (elsewhere / "light.csv").exists()
    assert {path.name for path in place.glob(".building-*")} == {".building-new", ".building-link"}


def test_rows_so_far_are_those_of_this_run_alone(run_of):
    """A table that an earlier part had is gone, and the list of what is missing fits the rows."""
    partial = run_of(1).reports_base() / ".partial" / "light"
    for measured in (3, 1):
        partial.mkdir(parents=True, exist_ok=True)
        (partial / "other.csv").write_text("old\n")
        publish(run_of(measured))
        assert {path.name for path in partial.iterdir()} == {"light.csv", "missing.txt"}
        rows = (partial / "light.csv").read_text(encoding="utf-8").splitlines()[1:]
        missing = (partial / "missing.txt").read_text(encoding="utf-8").splitlines()
        assert (len(rows), len(missing)) == (measured, 4 - measured)
        cells = {f"light setting{row.split(',')[1]}-seed0{row.split(',')[2]}" for row in rows}
        assert len(cells | set(missing)) == 4
    publish(run_of(4))
    assert not partial.exists()


def test_a_report_without_a_commit_says_why_and_gives_no_path_of_the_machine(run_of, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    said = publish(run_of(4))
    folder = run_of(4).reports_base() / "light"
    about = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert about["commit"]["id"] is None
    assert "dubious ownership in repository at '.../" in about["commit"]["reason"]
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "Note: no commit is recorded: detected dubious ownership" in report
    assert str(tmp_path) not in report + json.dumps(about)
    assert any(line.endswith(f"git config --global --add safe.directory {tmp_path}") for line in said)

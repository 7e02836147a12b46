"""The reports of a small run of each experiment, word for word: a change of wording is seen and reviewed here."""

import importlib
import json
import re

import numpy as np
import pytest
import synthetic_runs

from embalign.counts import about, effective
from embalign.evaluation.measurement import Failure
from embalign.evaluation.results import collect

EXPERIMENTS = ("elbow", "spectral", "gate", "maps")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The artifacts of a small run of each experiment, and its answer, by the experiment's name."""
    written = {}
    for name in EXPERIMENTS:
        folder = tmp_path_factory.mktemp(name)
        report = importlib.import_module(f"embalign.experiments.{name}.report")
        answer = report.write_report(getattr(synthetic_runs, name)(), synthetic_runs.about(name), folder)
        written[name] = folder, answer
    return written


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_report_of_a_small_run_reads_as_committed(reports, experiment, file_regression):
    folder, _ = reports[experiment]
    text = (folder / "report.md").read_text(encoding="utf-8")
    file_regression.check(text, basename=experiment, extension=".report.md", encoding="utf-8")


def test_a_count_is_whole_or_about_a_whole_number():
    assert (about(12.0), about(65.6), about(np.float64(3151))) == ("12", "about 66", "3,151")
    assert (effective(12.0), effective(65.62)) == ("12", "65.6")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_counts_are_whole_numbers(reports, experiment):
    folder, _ = reports[experiment]
    text = (folder / "report.md").read_text(encoding="utf-8")
    counted = "(held-out |training |label )?(groups|clusters|queries|items|documents|pairs|seeds|steps|cells|rows)"
    assert not re.search(rf"\d\.\d+ {counted}\b(?! (a|for each) )", text)
    assert "about 12 " not in text  # the effective number of groups of one size is their number


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_report_opens_with_the_answer_of_the_terminal(reports, experiment):
    folder, answer = reports[experiment]
    title, _, *lines = (folder / "report.md").read_text(encoding="utf-8").split("\n")
    assert title.startswith("# ")
    said = [line.removeprefix("- ").split("**")[1] for line in lines[: answer.count("\n") + 1]]
    assert said == answer.split("\n")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_tables_have_as_many_cells_in_each_row_as_in_their_head(reports, experiment):
    folder, _ = reports[experiment]
    blocks = (folder / "report.md").read_text(encoding="utf-8").split("\n\n")
    tables = [block.split("\n") for block in blocks if block.startswith("|")]
    assert len(tables) >= 4
    for lines in tables:
        assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}, lines[0]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_figures_are_palette_images_of_a_readable_width(reports, experiment):
    from PIL import Image

    for path in reports[experiment][0].glob("*.png"):
        with Image.open(path) as picture:
            assert picture.mode == "P"
            assert 1200 <= picture.width <= 1300


def test_values_by_label_are_written_near_what_was_measured(reports):
    written = np.load(reports["elbow"][0] / "data_ratio_vs_metrics_by_label.npz")
    measured = synthetic_runs.elbow()["data_ratio_vs_metrics"].by_label
    assert set(written.files) == set(measured)
    for name, values in measured.items():
        assert np.abs(written[name] - values).max() <= 2.0**-14


@pytest.mark.parametrize(
    ("experiment", "table", "words"),
    [
        ("spectral", "positive_control", "The controls could not be measured, so no verdict is given."),
        ("gate", "gate_deployed", "**No threshold: the exported map could not be measured.**"),
    ],
)
def test_a_report_without_what_it_rests_on_says_so_and_names_failed_cells(tmp_path, experiment, table, words):
    results = getattr(synthetic_runs, experiment)()
    frame, identity = results[table].frame, results[table].identity
    cells = frame[list(identity)].to_dict("records")
    results[table] = collect([(cell, Failure("3 held-out label groups are too few")) for cell in cells])
    report = importlib.import_module(f"embalign.experiments.{experiment}.report")
    answer = report.write_report(results, synthetic_runs.about(experiment), tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert words in text
    assert f"**{answer}**" in text
    assert answer.startswith("No ")
    if experiment == "gate":
        assert "- exported: baseline, ratio 1, none, lambda 0, seed 0: failed: 3 held-out label groups" in text


def written(experiment, results, folder, **data):
    """The answer and the report of a run, free of values that are not numbers."""
    report = importlib.import_module(f"embalign.experiments.{experiment}.report")
    about = synthetic_runs.about(experiment)
    answer = report.write_report(results, about | {"data": about["data"] | data}, folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"\b(nan|None)\b", text)
    return answer, text


@pytest.mark.parametrize(
    ("experiment", "table", "failing", "words"),
    [
        ("elbow", "data_ratio_vs_metrics", {"budget": "steps"}, "## Along training\n\nNot measured."),
        ("elbow", "index_size", {"deployment": "query_adapter"}, "| 300 |  | 0.400 (0.400) |"),
        ("elbow", "references", {"reference": "draft"}, "index of the whole corpus"),
        ("elbow", "references", {}, "no verdict: no reference says what"),
        ("elbow", "data_ratio_vs_metrics", {}, "none of its cells could be measured"),
        ("spectral", "spectrum", {}, "Not every spectrum could be measured"),
        ("spectral", "spectrum", {"curve": "teacher"}, "Not every spectrum could be measured"),
        ("spectral", "spectral_ab", {"arm": "baseline"}, "no comparison of the spectral loss with the baseline"),
        ("spectral", "positive_control", {}, "is known to help, could not be measured"),
        ("gate", "gate_ratio", {}, "## By share of training data"),
        ("gate", "gate_arm", {}, "Nothing is said about styles: spectral loss and baseline were not both measured."),
    ],
)
def test_failed_cells_of_any_table_are_named_in_a_report_that_says_what_is_lacking(
    tmp_path, experiment, table, failing, words
):
    results = getattr(synthetic_runs, experiment)()
    results[table] = synthetic_runs.with_failures(results[table], "out of memory", **failing)
    _, text = written(experiment, results, tmp_path)
    assert words in text
    assert "failed: out of memory" in text.split("## Failed cells")[1]


@pytest.mark.parametrize(
    ("experiment", "tables"),
    [
        ("elbow", ["references", "index_size"]),
        ("spectral", ["positive_control", "spectrum"]),
        ("gate", ["gate_ratio", "gate_arm"]),
    ],
)
def test_a_grid_of_ones_own_may_lack_tables(tmp_path, experiment, tables):
    results = getattr(synthetic_runs, experiment)()
    _, text = written(experiment, {name: found for name, found in results.items() if name not in tables}, tmp_path)
    assert "## Failed cells" not in text


@pytest.mark.parametrize("experiment", ["elbow", "spectral", "gate"])
def test_rows_that_do_not_match_leave_no_verdict_anywhere(tmp_path, experiment):
    results = getattr(synthetic_runs, experiment)()
    rows = {"items": 300, "agreement": 0.001, "z": 0.5, "part_z": -1.0, "shift": 0}
    answer, text = written(experiment, results, tmp_path, rows=rows)
    verdict = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert answer.startswith("Warning: the rows of draft and teacher do not seem to belong")
    assert "better than no map, nDCG" not in text
    assert verdict.get("deployments", {}) == {}
    if experiment == "elbow":
        assert set(verdict["density_first"].values()) == {"not settled"}
        assert "Not judged: see the warning." in text

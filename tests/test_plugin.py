"""The suite as its users meet it: an inner pytest on a small pair of real embeddings."""

import argparse
import contextlib
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import light
import numpy as np
import pandas as pd
import pytest
from pair_folders import ROOT, write_pair

from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.measurement import Measurement
from embalign.experiments.tables import LABEL_STEP
from embalign.pairs.provenance import file_digest
from embalign.plugin.options import OPTIONS

ELBOW_COLUMNS = (
    "pair,policy,budget,ratio,n_train,seed,cosine_mean,cosine_p05,cosine_p50,cosine_p95,skill,spearman,recall_at_1,"
    "recall_at_5,recall_at_10,mrr,gate_augrc,gate_accept_rate"
)
SPECTRAL_COLUMNS = [
    "pair",
    "arm",
    "convention",
    "lambda",
    "seed",
    "spec_cosine",
    "spec_mse",
    "spectral_excess",
    "gradient_ratio",
]


def build_suite(root, source, count=240):
    """Lay out a root with the experiments and one small pair, as a user's checkout has them."""
    (root / "benchmark").mkdir(exist_ok=True)
    for name in ("conftest.py", "pytest.ini", "benchmark/test_elbow.py", "benchmark/test_spectral.py"):
        shutil.copy(ROOT / name, root / name)
    return write_pair(root / "benchmark" / "small", source, count)


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("benchmark/", {"test_elbow.py", "test_gate.py", "test_maps.py", "test_spectral.py"}),
        ("benchmark/test_scale.py", {"test_scale.py"}),
    ],
)
def test_what_is_timed_runs_only_where_it_is_named(named, found):
    command = [sys.executable, "-m", "pytest", named, "--collect-only", "-q", "-p", "no:randomly"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^benchmark/(test_\w+\.py)::", done.stdout, re.MULTILINE)) == found


@pytest.fixture
def suite(pytester, smollm2):
    """An inner pytest in a root of its own; returns a function that runs it on the small pair.

    In a process of its own: an in-process inner pytest forgets the modules that it was the first to import, and torch
    imported twice into one process fails or crashes.
    """
    build_suite(pytester.path, smollm2)

    def run(*arguments):
        return pytester.runpytest_subprocess("benchmark", "--pair", "small", "--seeds", "2", "--no-verdict", *arguments)

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, smollm2):
    """A root in which both experiments have been run once, by a plain command in a process of its own."""
    root = tmp_path_factory.mktemp("finished")
    build_suite(root, smollm2)
    command = [*light.SMALL_RUN, "-p", "no:randomly"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root, done.stdout


def canonical_bytes(root, experiment):
    folder = root / "benchmark" / "small" / "reports" / experiment
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "provenance.json"}


def test_elbow_artifacts_hold_the_published_columns(finished):
    root, output = finished
    folder = root / "benchmark" / "small" / "reports" / "elbow"
    header = (folder / "data_ratio_vs_metrics.csv").read_text().splitlines()[0]
    assert header.startswith(ELBOW_COLUMNS)
    rows = pd.read_csv(folder / "data_ratio_vs_metrics.csv")
    assert len(rows) == (3 + 1) * 6 * 2
    assert rows.groupby("budget")["policy"].unique().map(len).to_dict() == {"tuned": 1, "steps": 1, "closed_form": 2}
    assert {"random", "density"} == set(rows["policy"])
    assert (rows["status"] == "ok").all()
    assert "report: benchmark/small/reports/elbow/report.md" in output
    names = {path.name for path in folder.iterdir()}
    assert {"data_ratio_vs_metrics.png", "report.md", "verdict.json", "provenance.json", "references.csv"} <= names
    assert {"trajectory.csv", "trajectory.png", "index_size.csv"} <= names


def test_every_cell_of_both_experiments_has_every_column_of_every_deployment(finished):
    metrics = ("ndcg_at_10", "recall_at_1", "recall_at_5", "recall_at_10", "mrr", "mate_recall_at_1")
    metrics += ("retention_ndcg_at_10", "never_returned", "largest_hub")
    columns = [f"{use}_{metric}" for use in DEPLOYMENTS for metric in metrics]
    reports = finished[0] / "benchmark" / "small" / "reports"
    for path in ("elbow/data_ratio_vs_metrics.csv", "elbow/references.csv", "spectral/spectral_ab.csv"):
        rows = pd.read_csv(reports / path)
        kind = "arm" if "arm" in rows else "reference"
        searched = rows[rows[kind] != "mean_vector"] if kind in rows else rows
        assert np.isfinite(searched[columns]).all(axis=None), path
    sizes = pd.read_csv(reports / "elbow" / "index_size.csv")
    assert list(sizes.columns[:4]) == ["pair", "deployment", "index_size", "seed"]
    assert set(sizes["deployment"]) == set(DEPLOYMENTS)
    assert sizes.groupby("deployment")["index_size"].max().eq(240).all()


@pytest.mark.parametrize(("experiment", "name"), [("elbow", "data_ratio_vs_metrics"), ("spectral", "spectral_ab")])
def test_values_by_label_stand_beside_their_rows(finished, experiment, name):
    """Row by row their mean is the CSV's metric, and rows without them are NaN."""
    folder = finished[0] / "benchmark" / "small" / "reports" / experiment
    rows = pd.read_csv(folder / f"{name}.csv")
    with np.load(folder / f"{name}_by_label.npz", allow_pickle=False) as by_label:
        in_use = {f"{use}_{kind}ndcg_at_10" for use in DEPLOYMENTS for kind in ("", "retention_")}
        assert set(by_label) == {"cosine_mean", "recall_at_1", "mrr", *in_use}
        for metric, values in by_label.items():
            assert len(values) == len(rows)
            measured = ~np.isnan(values).any(axis=1)
            assert measured.sum() > 0.8 * len(rows)
            np.testing.assert_allclose(values[measured].mean(axis=1), rows.loc[measured, metric], atol=LABEL_STEP / 2)


def test_all_policies_meet_at_the_whole_pool(finished):
    root, _ = finished
    rows = pd.read_csv(root / "benchmark/small/reports/elbow/data_ratio_vs_metrics.csv")
    whole = rows[(rows["ratio"] == 1) & (rows["budget"] == "closed_form")]
    assert (whole.groupby("seed")["policy"].nunique() == 2).all()
    assert (whole.groupby("seed")["cosine_mean"].nunique() == 1).all()


def test_spectral_artifacts_hold_the_published_columns(finished):
    root, _ = finished
    folder = root / "benchmark" / "small" / "reports" / "spectral"
    rows = pd.read_csv(folder / "spectral_ab.csv")
    assert set(SPECTRAL_COLUMNS) <= set(rows.columns)
    assert {"baseline", "spectral", "signed_permutation", "norm_only", "ridge"} <= set(rows["arm"])
    trained = rows[rows["init"] != "none"]
    assert set(trained["init"]) == {"small", "linear"}
    assert (trained.groupby("init")["output_norm"].mean().diff().dropna().abs() > 0.1).all()
    memo = rows[(rows["arm"] == "spectral") & (rows["convention"] == "raw")]
    assert set(memo["lambda"]) == {0.001, 0.01, 0.05}
    names = {path.name for path in folder.iterdir()}
    assert {"spectral_ab.png", "spectrum.png", "report.md", "verdict.json", "provenance.json"} <= names


@pytest.mark.parametrize("experiment", ["elbow", "spectral"])
def test_reports_open_with_the_answer_and_name_no_path_of_the_machine(finished, experiment):
    root, output = finished
    folder = root / "benchmark" / "small" / "reports" / experiment
    report = (folder / "report.md").read_text()
    title, _, rest = report.partition("\n\n")
    assert title.startswith("# ")
    assert rest.startswith(("**", "- **"))
    answer = re.findall(r"^(?:- )?\*\*(.+?)\*\*", rest.partition("\n\n")[0], re.MULTILINE)
    assert answer
    assert all(line in output for line in answer)
    assert not re.search(r"\b(nan|inf)\b", report)
    for path in folder.iterdir():
        assert str(root).encode() not in path.read_bytes()


@pytest.mark.parametrize("experiment", ["elbow", "spectral"])
def test_provenance_holds_the_digest_of_every_artifact(finished, experiment):
    root, _ = finished
    folder = root / "benchmark" / "small" / "reports" / experiment
    about = json.loads((folder / "provenance.json").read_text())
    assert about["artifacts"] == {p.name: file_digest(p) for p in folder.iterdir() if p.name != "provenance.json"}
    assert about["command"].startswith("pytest benchmark --pair small --seeds 2")
    assert about["seeds"] == [0, 1]
    assert about["versions"]["torch"]


def test_parallel_shuffled_recomputation_gives_the_same_bytes(finished):
    """Two workers, another order and nothing reused: every artifact is the same to the byte."""
    root, _ = finished
    command = light.SMALL_RUN
    options = ["--results", "always", "-n", "2", "--reports-dir", "again"]
    done = subprocess.run(command + options, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for experiment in ("elbow", "spectral"):
        for name, content in canonical_bytes(root, experiment).items():
            assert (root / "again" / "small" / experiment / name).read_bytes() == content, name


@pytest.mark.parametrize(
    ("selection", "missing"), [(["-k", "elbow and ratio0.10"], 56), (["-k", "elbow and seed00"], 32)]
)
def test_a_partial_selection_leaves_canonical_artifacts_alone(finished, selection, missing):
    root, _ = finished
    before = canonical_bytes(root, "elbow")
    command = [*light.SMALL_RUN, *selection]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "elbow on small: partial" in done.stdout
    assert "cells have no row in this run" in done.stdout
    assert canonical_bytes(root, "elbow") == before
    assert (root / "benchmark/small/reports/.partial/elbow/missing.txt").read_text().count("\n") == missing


def test_stored_cells_are_reused_and_always_measures_again(finished, tmp_path):
    """A value changed in the store comes back in a run that reuses it, and not in one that measures again."""
    root = tmp_path / "root"
    shutil.copytree(finished[0], root)
    with contextlib.closing(sqlite3.connect(root / ".embalign" / "results.sqlite")) as connection, connection:
        for key, content in connection.execute("SELECT key, content FROM measurements").fetchall():
            changed = (Measurement.from_bytes(content) | Measurement({"cosine_mean": 0.123})).to_bytes()
            digest = hashlib.sha256(changed).hexdigest()
            values = (changed, digest, key)
            connection.execute("UPDATE measurements SET content = ?, sha256 = ? WHERE key = ?", values)
    command = light.SMALL_RUN
    for options, reused in ([], True), (["--results", "always"], False):
        selected = [*command, "-k", "elbow and ratio0.50", *options]
        done = subprocess.run(selected, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "8 passed" in done.stdout
        rows = pd.read_csv(root / "benchmark/small/reports/.partial/elbow/data_ratio_vs_metrics.csv")
        assert len(rows) == 8
        assert (rows["cosine_mean"] == 0.123).all() if reused else (rows["cosine_mean"] != 0.123).all()


def test_both_experiments_are_rebuilt_from_the_store_without_torch(finished, tmp_path):
    """The same bytes come back, and nothing is measured."""
    root = tmp_path / "root"
    shutil.copytree(finished[0], root)
    before = {name: canonical_bytes(root, name) for name in ("elbow", "spectral")}
    shutil.rmtree(root / "benchmark" / "small" / "reports")
    script = (
        "import sys, pytest\n"
        "code = pytest.main(['benchmark', '--pair', 'small', '--seeds', '2', '--results', 'only-cache', '-q'])\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else code)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: canonical_bytes(root, name) for name in ("elbow", "spectral")} == before


def test_cells_that_cannot_be_measured_fail_alone_and_are_reported(pytester, smollm2):
    """A pool too small for 1 % of it: those cells fail with n and ratio, the grid goes on, the report shows them."""
    build_suite(pytester.path, smollm2, count=50)
    result = pytester.runpytest_subprocess(
        "benchmark", "-k", "elbow", "--pair", "small", "--seeds", "2", "--no-verdict"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ratio 0.01 of * items rounds to no samples*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    folder = pytester.path / "benchmark" / "small" / "reports" / "elbow"
    assert "## Failed cells" in (folder / "report.md").read_text()
    rows = pd.read_csv(folder / "data_ratio_vs_metrics.csv")
    assert rows.loc[rows["ratio"] == 0.01, "status"].str.startswith("failed: ratio 0.01").all()
    assert rows.loc[rows["ratio"] > 0.01, "cosine_mean"].notna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pair", "smal"], "*no pair 'smal'*did you mean 'small'*"),
        (["--seeds", "1"], "*'1' is not a whole number from 2 to 1000*"),
        (["--seeds", "1" + "0" * 20], "*'100000000000000000000' is not a whole number from 2 to 1000*"),
        (["--seeds", "many"], "*'many' is not a whole number*"),
        (["--profile", "fast"], "*invalid choice: 'fast'*"),
        (["--results", "never"], "*invalid choice: 'never'*"),
    ],
)
def test_wrong_options_are_usage_errors(suite, pytester, options, message):
    result = pytester.runpytest_subprocess("benchmark", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    result.stderr.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("--seeds", "1001", "'1001' is not a whole number from 2 to 1000"),
        ("--seeds", "9" * 10_000, f"'{'9' * 40}...' is not"),
        ("--seeds", "1e2", "'1e2' is not"),
        ("--seeds", "\u00b3", "'\u00b3' is not"),
        ("--workers", "1001", "'1001' is not a whole number from 1 to 1000"),
        ("--workers", "-1", "'-1' is not"),
        ("--workers", "00", "'00' is not"),
    ],
)
def test_numbers_of_options_have_bounds(option, value, shown):
    with pytest.raises(argparse.ArgumentTypeError, match=re.escape(shown)):
        OPTIONS[option]["type"](value)


def test_numbers_within_their_bounds_are_taken():
    assert [OPTIONS["--seeds"]["type"](text) for text in ("2", "1000", "0" * 50 + "7")] == [2, 1000, 7]


def test_an_unusable_pair_is_refused_before_the_first_case(suite, pytester):
    path = pytester.path / "benchmark" / "small" / "corpus.jsonl"
    path.write_text(path.read_text().replace("a", "b", 1))
    result = suite("-k", "elbow")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*corpus.jsonl: its SHA-256 is *embed the pair again*"])
    result.stdout.no_fnmatch_line("*passed*")


def test_a_pair_of_copies_is_refused_once_and_not_cell_by_cell(suite, pytester):
    folder = pytester.path / "benchmark" / "small"
    items = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    for number, item in enumerate(items):
        item["text"] = (
            f"one long text that all items have, but for two letters: {chr(97 + number % 26)}{chr(97 + number // 26)}"
        )
    (folder / "corpus.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    provenance = json.loads((folder / "embeddings" / "provenance.json").read_text())
    provenance["corpus_sha256"] = file_digest(folder / "corpus.jsonl")
    (folder / "embeddings" / "provenance.json").write_text(json.dumps(provenance))
    result = suite("-k", "elbow")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["!*all * held-out items are near-duplicates of training items*remove copies !"])


def test_an_unwritable_reports_folder_is_reported(suite, pytester):
    (pytester.path / "taken").write_text("a file, not a folder")
    result = suite("-k", "elbow and ratio1.00 and seed00", "--reports-dir", "taken")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*: no report written: *taken*"])
    assert (pytester.path / "taken").read_text() == "a file, not a folder"


def test_two_pairs_run_side_by_side(suite, pytester, smollm2):
    write_pair(pytester.path / "elsewhere" / "other", smollm2, 200)
    result = suite("--pair", "elsewhere/other", "-k", "elbow and ratio1.00 and random-closed_form")
    assert result.parseoutcomes()["passed"] == 4
    result.stdout.fnmatch_lines(["elbow on small: partial*", "elbow on other: partial*"])


def test_collection_imports_nothing_heavy(suite, pytester):
    """Cold `--collect-only` stays quick because torch, pandas and matplotlib wait for the first case."""
    script = (
        "import sys, pytest\n"
        "code = pytest.main(['benchmark', '--pair', 'small', '--collect-only', '-q'])\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'scipy', 'sklearn', 'requests'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=pytester.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "tests collected" in done.stdout
    assert not list(Path(pytester.path).rglob("reports"))


def test_help_lists_the_options_with_their_defaults(suite, pytester):
    result = pytester.runpytest_subprocess("--help")
    text = result.stdout.str()
    for option in (
        "--workers=N|auto",
        "--dask=ADDRESS",
        "--pair=NAME",
        "--profile",
        "--seeds=N",
        "--reports-dir=DIR",
        "--results",
    ):
        assert option in text
    assert "qwen-sentence-align" in text


def test_workers_report_partial_runs_too(suite):
    result = suite("-k", "elbow and ratio1.00 and random-closed_form", "-n", "2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["elbow on small: partial, 62 of 64 cells*"])

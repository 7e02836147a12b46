"""Cells, grids, the store and exported maps."""

import dataclasses
import functools
import io
import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
from pair_folders import ROOT

from embalign.__main__ import main
from embalign.alignment.config import TrainingConfig
from embalign.deploy.map import load_map
from embalign.deploy.recipe import fit_better
from embalign.errors import MapError, PairError
from embalign.evaluation.measurement import Measurement
from embalign.experiments.grid import Cell, Experiment, Table, grid, rerun_command
from embalign.lazy import Reference, lazy
from embalign.pairs.pair import load_pair
from embalign.runs import source
from embalign.runs.artifacts import report_folder
from embalign.runs.checkout import Checkout
from embalign.runs.run import Run
from embalign.runs.source import source_digest, source_files
from embalign.runs.store import Store, cell_key

CELL = Cell("elbow", "data_ratio_vs_metrics", "small", (("policy", "density"), ("ratio", 0.1)), 3)
MEASURE = lazy("embalign.experiments.elbow.cells").measure_ratio
ANY = lazy("m").f  # a function that nothing here calls


def test_case_ids_hold_no_equals_sign():
    assert CELL.id == "ratio0.10-density-seed03"
    assert Cell("s", "t", "p", (("arm", "mse"), ("lambda", 0.01)), 0).id == "lambda0.0100-mse-seed00"


def test_grid_is_every_combination():
    assert grid(a=[1, 2], b=["x"]) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_function_stands_in_the_grid_by_module_and_name_and_in_ids_and_columns_by_its_name():
    settings = grid(arm=["mse", load_map], draw=[0])
    assert [each["arm"] for each in settings] == ["mse", Reference("embalign.deploy.map", "load_map")]
    assert grid(arm=[lazy("embalign.deploy.map").load_map], draw=[0]) == settings[1:]
    assert settings[1]["arm"].resolve() is load_map
    cell = Cell("s", "t", "p", tuple(settings[1].items()), 0)
    assert cell.id == "load_map-0-seed00"
    assert cell.identity() == {"pair": "p", "arm": "load_map", "draw": 0, "seed": 0}


def test_a_table_takes_its_measure_as_a_function_or_by_name_and_travels_to_a_worker_without_importing_it():
    table = Table("t", load_map, quick=[])
    assert table == Table("t", lazy("embalign.deploy.map").load_map, quick=[])
    named = Table("t", ANY, quick=[])
    assert pickle.loads(pickle.dumps(named)) == named
    with pytest.raises(ModuleNotFoundError, match="No module named 'm'"):
        named.run(None, CELL)


@pytest.mark.parametrize("function", [lambda: None, functools.partial(print)])
def test_a_function_that_no_worker_could_import_is_refused(function):
    for declare in (lambda: grid(arm=[function]), lambda: Table("t", function, quick=[])):
        with pytest.raises(ValueError, match="define it with def at the top of a module"):
            declare()


@pytest.mark.parametrize("values", [[], [0.1, 0.1], [1, 1.0], [ANY, ANY], [ANY, lazy("another_module").f]])
def test_empty_or_repeated_sweep_values_and_two_functions_of_one_name_are_refused(values):
    with pytest.raises(ValueError, match="axis 'ratio' needs distinct values"):
        grid(ratio=values)


def test_profiles_and_seeds_make_the_declared_grid():
    shares = {"quick": grid(ratio=[0.5, 1.0]), "full": grid(ratio=[0.2, 0.5, 1.0]), "regression": grid(ratio=[1.0])}
    table = Table("t", ANY, **shares)
    once = Table("once", ANY, quick=grid(reference=["chance"]), seeds=1)
    experiment = Experiment("e", ANY, (table, once), quick_seeds=2, full_seeds=4, regression_seeds=3)
    assert len(experiment.cells("p", "quick")) == 2 * 2 + 1
    assert len(experiment.cells("p", "full")) == 3 * 4 + 1
    assert len(experiment.cells("p", "quick", seeds=5)) == 2 * 5 + 1
    assert len(experiment.cells("p", "regression")) == 1 * 3


def test_a_stored_measurement_comes_back_exactly_and_is_never_overwritten(tmp_path):
    store = Store(tmp_path / "deep" / "results.sqlite")
    assert store.get("k") is None
    table = pd.DataFrame({"score": ["top1", "margin"], "threshold": [0.1 + 0.2, None], "lacking": [None, 15]})
    metrics = {"cosine_mean": 0.1 + 0.2, "spearman": float("nan"), "n_train": 7}
    by_label = np.array([0.1, np.nan, -3], np.float32)
    store.put("k", Measurement(metrics, {"mrr": by_label}, {"certificates": table}))
    store.put("k", Measurement({"cosine_mean": 1.0}))
    found = store.get("k")
    assert found.metrics["cosine_mean"] == 0.1 + 0.2
    assert np.isnan(found.metrics["spearman"])
    assert found.metrics["n_train"] == 7
    assert found.by_label["mrr"].tobytes() == by_label.tobytes()
    pd.testing.assert_frame_equal(found.tables["certificates"], table)
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_measurement_that_has_changed_on_disk_is_measured_again(tmp_path):
    store = Store(tmp_path / "results.sqlite")
    store.put("k", Measurement({"mrr": 0.5}))
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("UPDATE measurements SET content = ?", (Measurement({"mrr": 0.75}).to_bytes(),))
    connection.close()
    assert store.get("k") is None
    store.put("k", Measurement({"mrr": 0.25}))
    assert store.get("k").metrics == {"mrr": 0.25}


def test_a_key_depends_on_settings_seed_and_data():
    keys = {
        cell_key(CELL, MEASURE, "data"),
        cell_key(CELL, MEASURE, "other data"),
        cell_key(CELL, lazy("embalign.experiments.spectral.cells").measure_arm, "data"),
        cell_key(CELL, lazy("embalign.experiments.elbow.cells").measure_reference, "data"),
        cell_key(Cell(CELL.experiment, CELL.table, CELL.pair, CELL.settings, 4), MEASURE, "data"),
        cell_key(
            Cell(CELL.experiment, CELL.table, CELL.pair, (("policy", "random"), ("ratio", 0.1)), 3), MEASURE, "data"
        ),
        cell_key(dataclasses.replace(CELL, training=TrainingConfig(steps=7)), MEASURE, "data"),
    }
    assert len(keys) == 7
    renamed = Cell(CELL.experiment, CELL.table, "another name", CELL.settings, 3)
    assert cell_key(renamed, MEASURE, "data") == cell_key(CELL, MEASURE, "data")


def test_a_number_depends_on_what_its_measure_imports_and_on_nothing_else():
    files = {path.name for path in source_files("embalign.experiments.elbow.cells")}
    assert {"cells.py", "fits.py", "training.py", "retrieval.py", "pair.py", "seeds.py"} <= files
    assert not files & {"terms.py", "hooks.py", "artifacts.py", "control.py", "grid.py", "elbow.py"}


def test_source_digest_follows_imports_of_imports_but_not_those_for_type_checkers(tmp_path, monkeypatch):
    import embalign

    package = tmp_path / "extra"
    package.mkdir()
    monkeypatch.setattr(embalign.__spec__, "submodule_search_locations", [*embalign.__path__, str(tmp_path)])
    (package / "__init__.py").write_text("")
    (package / "top.py").write_text(
        "from typing import TYPE_CHECKING\nfrom embalign.extra import middle\n"
        "if TYPE_CHECKING:\n    from embalign.extra import typed\n"
    )
    (package / "middle.py").write_text("def late():\n    import embalign.extra.bottom\n")
    for name in ("bottom", "typed", "other"):
        (package / f"{name}.py").write_text("")

    def digest_after(name):
        (package / f"{name}.py").write_text(f"# {name} has changed\n")
        source_digest.cache_clear()
        return source_digest("embalign.extra.top")

    before = digest_after("other")
    assert digest_after("typed") == before
    assert digest_after("bottom") != before


def test_source_digest_follows_helpers_beside_a_measure_and_relative_imports_but_nothing_installed(
    tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "own_measures"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("from . import near\nfrom ..far import value\n")
    (package / "inner" / "near.py").write_text("import own_helper\nimport numpy\nimport json\n")
    (package / "far.py").write_text("")
    (tmp_path / "own_helper.py").write_text("")
    (package / "elsewhere.py").write_text("")
    files = {str(path.relative_to(tmp_path)) for path in source_files("own_measures.inner")}
    assert files == {
        "own_measures/__init__.py",
        "own_measures/inner/__init__.py",
        "own_measures/inner/near.py",
        "own_measures/far.py",
        "own_helper.py",
    }


def test_source_digest_follows_helpers_in_a_folder_of_packages_but_not_the_packages(tmp_path, monkeypatch):
    """As after `pip install --target`: what an installer's record names is not followed, a helper beside it is."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_measure.py").write_text("import own_helper\nimport fetched\nimport __main__\n")
    for name in ("own_helper", "fetched"):
        (tmp_path / f"{name}.py").write_text("")
    about = tmp_path / "fetched-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fetched\nVersion: 1.0\n")
    (about / "RECORD").write_text("fetched.py,,\nfetched-1.0.dist-info/METADATA,,\nfetched-1.0.dist-info/RECORD,,\n")
    monkeypatch.setattr(source, "_distributions", metadata.packages_distributions)
    files = {path.name for path in source_files("own_measure")}
    assert files == {"own_measure.py", "own_helper.py"}


def test_source_digest_does_not_look_for_the_script_that_runs(monkeypatch):
    """A script's module has no spec, and asking for it is an error."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert source_files("__main__") == []


def test_no_two_cells_of_a_grid_share_an_id():
    cells = [Cell("e", "t", "p", (("ratio", ratio), ("lambda", 0.00001)), 0) for ratio in (0.1, 0.001, 0.002)]
    assert [cell.id for cell in cells] == [
        "ratio0.10-lambda1e-05-seed00",
        "ratio0.001-lambda1e-05-seed00",
        "ratio0.002-lambda1e-05-seed00",
    ]


def test_an_exported_map_is_what_its_json_says(small_pair, tmp_path, monkeypatch):
    """Also in a terminal that does not have every character of its path."""
    monkeypatch.chdir(tmp_path)
    out = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", out)
    assert main(["export", "--pair", str(small_pair), "--out", str(tmp_path / "größe"), "--family", "matrix"]) == 0
    assert rb"gr\xf6\xdfe/W.npy and W.json written" in out.buffer.getvalue()
    pair = load_pair(small_pair)
    weights = load_map(tmp_path / "größe" / "W.npy", pair)
    about = json.loads((tmp_path / "größe" / "W.json").read_text())
    assert weights.shape == tuple(about["shape"]) == (64, 48)
    assert weights.tobytes() == fit_better(pair, seed=0)[0].tobytes()
    assert about["pair"] == "small"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones((48, 64)), r"transposed: save W\.T"),
        (np.ones((3, 3)), r"shape \(3, 3\) does not fit small"),
        (np.full((64, 48), np.nan), "NaN"),
        (np.array([{"a": 1}], dtype=object), "not a readable"),
        (np.ones((64, 48), dtype=np.int64), "a map is of floats"),
    ],
)
def test_maps_that_do_not_fit_are_refused(small_pair, tmp_path, content, message):
    np.save(tmp_path / "W.npy", content, allow_pickle=True)
    with pytest.raises(MapError, match=message):
        load_map(tmp_path / "W.npy", load_pair(small_pair))


def test_export_errors_are_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--pair", "nowhere"]) == PairError.exit_code
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(r"error: no pair 'nowhere'.*\n", written.err)
    with pytest.raises(SystemExit, match="2"):
        main(["export", "--seed", "-1"])
    assert "argument --seed: '-1' is not a whole number of at least 0" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["embalign", "export"], ["embalign.runs.export"]], ids=["command", "former place"])
def test_the_command_and_its_former_place_do_the_same(command, tmp_path):
    words = [sys.executable, "-m", *command, "--pair", "nowhere"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == PairError.exit_code
    assert re.fullmatch(r"error: no pair 'nowhere'.*\n", done.stderr)


@pytest.mark.parametrize(("folder", "named"), [("benchmark/small", "small"), ("elsewhere/small", "elsewhere/small")])
def test_the_command_to_run_again_finds_the_pair(folder, named):
    about = {"pair": "small", "folder": folder, "profile": "full", "seeds": [0, 1, 2]}
    expected = f"pytest benchmark/ -k elbow --pair {named} --profile full --seeds 3 --results always"
    assert rerun_command("elbow", about) == expected


@pytest.mark.parametrize(
    ("profile", "there", "place"),
    [
        ("quick", "full", "quick/elbow"),
        ("quick", "quick", "elbow"),
        ("quick", None, "elbow"),
        ("full", "full", "elbow"),
        ("full", "quick", "elbow"),
    ],
)
def test_a_quick_run_never_replaces_a_full_report(tmp_path, profile, there, place):
    if there:
        (tmp_path / "small" / "elbow").mkdir(parents=True)
        (tmp_path / "small" / "elbow" / "provenance.json").write_text(json.dumps({"profile": there}))
    run = Run(
        experiment=Experiment("elbow", ANY, ()),
        folder=tmp_path / "pairs" / "small",
        profile=profile,
        cells=[],
        outcomes={},
        root=tmp_path,
        checkout=Checkout(tmp_path),
        reports_dir=tmp_path,
    )
    assert report_folder(run) == tmp_path / "small" / place
    beside_the_pair = dataclasses.replace(run, reports_dir=None)
    assert report_folder(beside_the_pair) == tmp_path / "pairs" / "small" / "reports" / "elbow"

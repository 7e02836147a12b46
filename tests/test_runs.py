"""Cells, grids, the store and exported maps."""

import functools
import json
import sqlite3

import numpy as np
import pytest

from embalign.deploy import map as export
from embalign.errors import MapError
from embalign.experiments.grid import Cell, Experiment, Table, grid
from embalign.experiments.tables import rerun_command
from embalign.pairs.pair import load_pair
from embalign.runs import provenance
from embalign.runs.artifacts import report_folder
from embalign.runs.source import source_digest, source_files
from embalign.runs.store import Store, cell_key

CELL = Cell("elbow", "data_ratio_vs_metrics", "small", (("policy", "density"), ("ratio", 0.1)), 3)
MEASURE = "embalign.experiments.elbow.cells:measure_ratio"


def test_case_ids_hold_no_equals_sign():
    assert CELL.id == "ratio0.10-density-seed03"
    assert Cell("s", "t", "p", (("arm", "mse"), ("lambda", 0.01)), 0).id == "lambda0.0100-mse-seed00"


def test_grid_is_every_combination():
    assert grid(a=[1, 2], b=["x"]) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_a_function_stands_in_the_grid_by_its_name():
    settings = grid(arm=["mse", export.load_map], draw=[0])
    assert [each["arm"] for each in settings] == ["mse", "embalign.deploy.map:load_map"]
    cell = Cell("s", "t", "p", tuple(settings[1].items()), 0)
    assert cell.functions == ["embalign.deploy.map:load_map"]
    assert CELL.functions == []


@pytest.mark.parametrize("function", [lambda: None, functools.partial(print)])
def test_a_function_that_no_worker_could_import_is_refused(function):
    with pytest.raises(ValueError, match="define it with def at the top of a module"):
        grid(arm=[function])


@pytest.mark.parametrize("values", [[], [0.1, 0.1]])
def test_empty_or_repeated_sweep_values_are_refused(values):
    with pytest.raises(ValueError, match="axis 'ratio' needs distinct values"):
        grid(ratio=values)


def test_profiles_and_seeds_make_the_declared_grid():
    table = Table("t", "m:f", quick=grid(ratio=[0.5, 1.0]), full=grid(ratio=[0.2, 0.5, 1.0]))
    once = Table("once", "m:f", quick=grid(reference=["chance"]), seeds=1)
    experiment = Experiment("e", "m:f", (table, once), quick_seeds=2, full_seeds=4)
    assert len(experiment.cells("p", "quick")) == 2 * 2 + 1
    assert len(experiment.cells("p", "full")) == 3 * 4 + 1
    assert len(experiment.cells("p", "quick", seeds=5)) == 2 * 5 + 1


def test_a_stored_row_comes_back_exactly_and_is_never_overwritten(tmp_path):
    store = Store(tmp_path / "deep" / "results.sqlite")
    assert store.get("k") is None
    row = {"cosine_mean": 0.1 + 0.2, "spearman": float("nan"), "status": "ok", "n_train": 7}
    store.put("k", row)
    store.put("k", {"cosine_mean": 1.0})
    found = store.get("k")
    assert found["cosine_mean"] == 0.1 + 0.2
    assert np.isnan(found["spearman"])
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_key_depends_on_settings_seed_and_data():
    keys = {
        cell_key(CELL, MEASURE, "data"),
        cell_key(CELL, MEASURE, "other data"),
        cell_key(CELL, MEASURE.replace("elbow.cells:measure_ratio", "spectral.cells:measure_arm"), "data"),
        cell_key(Cell(CELL.experiment, CELL.table, CELL.pair, CELL.settings, 4), MEASURE, "data"),
        cell_key(
            Cell(CELL.experiment, CELL.table, CELL.pair, (("policy", "random"), ("ratio", 0.1)), 3), MEASURE, "data"
        ),
    }
    assert len(keys) == 5
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
        return source_digest("embalign.extra.top:measure")

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


def test_no_two_cells_of_a_grid_share_an_id():
    cells = [Cell("e", "t", "p", (("ratio", ratio), ("lambda", 0.00001)), 0) for ratio in (0.1, 0.001, 0.002)]
    assert [cell.id for cell in cells] == [
        "ratio0.10-lambda1e-05-seed00",
        "ratio0.001-lambda1e-05-seed00",
        "ratio0.002-lambda1e-05-seed00",
    ]


def test_an_exported_map_is_what_its_json_says(small_pair, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export.main(["--pair", str(small_pair), "--out", str(tmp_path / "maps")])
    assert "W.npy and W.json written" in capsys.readouterr().out
    pair = load_pair(small_pair)
    weights = export.load_map(tmp_path / "maps" / "W.npy", pair)
    about = json.loads((tmp_path / "maps" / "W.json").read_text())
    assert weights.shape == tuple(about["shape"]) == (64, 48)
    assert weights.tobytes() == export.train_pair_map(pair, seed=0).tobytes()
    assert about["pair"] == "small"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.ones((48, 64)), r"transposed: save W\.T"),
        (np.ones((3, 3)), r"shape \(3, 3\) does not fit small"),
        (np.full((64, 48), np.nan), "NaN"),
        (np.array([{"a": 1}], dtype=object), "not a readable"),
        (np.ones((64, 48), dtype=np.int64), "needs floats"),
    ],
)
def test_maps_that_do_not_fit_are_refused(small_pair, tmp_path, content, message):
    np.save(tmp_path / "W.npy", content, allow_pickle=True)
    with pytest.raises(MapError, match=message):
        export.load_map(tmp_path / "W.npy", load_pair(small_pair))


def test_export_errors_are_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="error: no pair 'nowhere'"):
        export.main(["--pair", "nowhere"])
    with pytest.raises(SystemExit):
        export.main(["--seed", "-1"])
    assert "--seed must be at least 0" in capsys.readouterr().err


def test_provenance_without_git_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.commit(tmp_path) == {"id": None, "dirty": None}
    monkeypatch.setenv("PATH", "")
    assert provenance.commit(tmp_path) == {"id": None, "dirty": None}


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
        (tmp_path / "elbow").mkdir()
        (tmp_path / "elbow" / "provenance.json").write_text(json.dumps({"profile": there}))
    assert report_folder(tmp_path, "elbow", profile) == tmp_path / place

"""docs/own-policy-or-map.md: its code runs, its cells are measured and stored by its source, the report shows both."""

import dataclasses

import numpy as np
import pages
import pytest
import synthetic_runs
from pair_folders import ROOT

from embalign.alignment.own_map import fit_own
from embalign.errors import MapError, SelectionError
from embalign.evaluation.results import collect
from embalign.experiments.elbow.cells import measure_ratio
from embalign.experiments.elbow.report import write_report
from embalign.experiments.grid import Cell, Table, grid
from embalign.lazy import lazy
from embalign.pairs.pair import load_pair
from embalign.runs.source import source_digest
from embalign.runs.store import cell_key

PAGE = "own-policy-or-map.md"
BLOCKS = pages.blocks_of(PAGE)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The document's module, importable by its name."""
    with pages.importable(tmp_path, "mine", BLOCKS[0], monkeypatch) as path:
        yield path


def executed(block):
    return pages.executed(block, PAGE)


def cells(policy, ratio, seed=0):
    """The cell of the document's grid with a policy of that name, as a table of one's own has it."""
    chosen = [each for each in executed(BLOCKS[1])["MINE"] if str(each["policy"]) == policy and each["ratio"] == ratio]
    return [Cell("elbow", "data_ratio_vs_metrics", "small", tuple(each.items()), seed) for each in chosen]


def test_the_cells_of_the_documents_grid_are_measured_under_the_functions_names(mine, small_pair):
    pair, table = (
        load_pair(small_pair),
        Table("data_ratio_vs_metrics", measure_ratio, quick=executed(BLOCKS[1])["MINE"]),
    )
    asked = [*cells("outliers", 0.5), *cells("outliers", 1.0), *cells("random", 0.5), *cells("random", 1.0)]
    assert asked[0].id == "ratio0.50-outliers-closed_form-seed00"
    measured = collect([(cell.identity(), table.run(pair, cell)) for cell in asked]).frame
    assert measured["policy"].tolist() == ["outliers"] * 2 + ["random"] * 2
    assert measured["budget"].tolist() == ["closed_form"] * 2 + ["orthogonal"] * 2
    assert np.isfinite(measured["cosine_mean"]).all()
    assert measured["cosine_mean"].nunique() == 4


def test_the_map_of_a_cell_is_what_the_function_returns(mine, small_pair):
    from embalign.experiments.fits import Share, fit_on_share, rows_of

    pair, (cell,) = load_pair(small_pair), cells("random", 0.5)
    share = Share(cell["policy"], cell["ratio"], cell["budget"])
    rows = rows_of(pair, share, 0)
    expected = executed(BLOCKS[0])["orthogonal"](pair.draft[rows], pair.teacher[rows], pair.groups[rows], 0)
    assert np.allclose(fit_on_share(pair, share, 0, cell.training).weights, expected, atol=1e-6)


def test_stored_rows_follow_the_source_of_the_functions(mine):
    measure, own = (
        lazy("embalign.experiments.elbow.cells").measure_ratio,
        [*cells("outliers", 0.5), *cells("random", 0.5)],
    )
    plain = Cell(
        "elbow", "data_ratio_vs_metrics", "small", (("policy", "random"), ("budget", "tuned"), ("ratio", 0.5)), 0
    )
    before = [cell_key(cell, measure, "data") for cell in (*own, plain)]
    mine.write_text(BLOCKS[0].replace("first.", "first of all."), encoding="utf-8")
    source_digest.cache_clear()
    after = [cell_key(cell, measure, "data") for cell in (*own, plain)]
    assert [now == then for now, then in zip(after, before, strict=True)] == [False, False, True]


def test_the_lines_without_the_grid_run(mine, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    executed(BLOCKS[2])
    assert 0 < float(capsys.readouterr().out) < 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda draft, teacher, groups, seed: np.ones((4, 3)), r"returned an array of shape \(4, 3\).*return W.T"),
        (lambda draft, teacher, groups, seed: np.full((3, 4), np.nan), "returned NaN or infinite values"),
        (lambda draft, teacher, groups, seed: None, "returned None, and floats of shape"),
        (lambda draft, teacher: np.ones((3, 4)), "must take four arguments"),
    ],
    ids=["transposed", "NaN", "nothing", "two arguments"],
)
def test_a_map_that_is_none_is_told_in_words(function, message):
    draft, teacher = np.ones((5, 4), np.float32), np.ones((5, 3), np.float32)
    with pytest.raises(MapError, match=message):
        fit_own(function, draft, teacher, np.array(list("abcde")), 0)


def broken(draft, seed):
    return np.zeros(len(draft), dtype=int)


def test_a_policy_that_is_no_order_fails_its_cell_in_words(small_pair):
    table = Table(
        "data_ratio_vs_metrics", measure_ratio, quick=grid(policy=[broken], budget=["closed_form"], ratio=[0.5])
    )
    cell = Cell("elbow", table.name, "small", tuple(table.quick[0].items()), 0)
    with pytest.raises(SelectionError, match=r"policy broken returned .* no order of the"):
        table.run(load_pair(small_pair), cell)


def random(draft, seed):
    return np.arange(len(draft))


def test_a_function_must_not_have_the_name_of_a_policy_beside_it():
    with pytest.raises(ValueError, match="two values of axis 'policy' are named 'random'"):
        Table("curve", measure_ratio, quick=[*grid(policy=["random"]), *grid(policy=[random])])


def test_the_report_compares_a_policy_with_random_and_shows_a_map_beside_the_recipes(tmp_path):
    found = synthetic_runs.elbow()
    curves = found["data_ratio_vs_metrics"].where(budget=["tuned", "epochs"])
    curves = curves.select((curves.frame["policy"] == "random") | (curves.frame["budget"] == "tuned"))
    renamed = curves.frame.replace({"policy": {"density": "outliers"}, "budget": {"epochs": "orthogonal"}})
    found["data_ratio_vs_metrics"] = dataclasses.replace(curves, frame=renamed, tables={})
    write_report(found, synthetic_runs.about("elbow"), tmp_path)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    section = report.split("## outliers against random\n")[1].split("\n## ")[0]
    assert "Mean cosine: **refuted**" in section
    assert section.count("| worse |") >= 5
    assert "| mean cosine | random | orthogonal |" in report
    assert "mean cosine, orthogonal |" in report.split("## By recipe")[1].split("\n## ")[0]
    assert "| 50 % | 1000 | 20.83 | outliers |" in report

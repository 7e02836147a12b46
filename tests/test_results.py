"""Cells side by side: settings and metrics as a frame, values by label and tables beside it, failures among them."""

import numpy as np
import pandas as pd
import pytest

from embalign.evaluation.measurement import Failure, Measurement
from embalign.evaluation.results import collect


def cell(arm, seed):
    return {"pair": "p", "arm": arm, "seed": seed}


def measured(value):
    """A cell with one metric that is a mean over three labels, one that is not, and a table of two rows."""
    of_label = np.array([value - 1, value, value + 1], np.float32)
    steps = pd.DataFrame({"step": [1, 2], "loss": [value, value / 2]})
    return Measurement({"mrr": value, "spearman": -value}, {"mrr": of_label}, {"steps": steps})


@pytest.fixture
def results():
    return collect(
        [
            (cell("a", 0), measured(1.0)),
            (cell("b", 0), Failure("too few items")),
            (cell("c", 0), Measurement({"spearman": 0.5})),
            (cell("b", 1), measured(4.0)),
        ]
    )


def test_each_cell_is_a_row_with_its_metrics_or_the_reason_of_its_failure(results):
    assert list(results.frame.columns) == ["pair", "arm", "seed", "mrr", "spearman", "status"]
    assert list(results.frame["status"]) == ["ok", "failed: too few items", "ok", "ok"]
    assert results.frame["mrr"].to_list() == pytest.approx([1, np.nan, np.nan, 4], nan_ok=True)
    assert list(results.ok().frame["arm"]) == ["a", "c", "b"]


def test_values_by_label_stay_with_their_cell_whatever_is_selected(results):
    assert results.values_by_label("mrr").shape == (4, 3)
    assert np.isnan(results.values_by_label("mrr")[1:3]).all()
    later = results.ok().where(arm=["c", "b"])
    assert later.values_by_label("mrr")[1].tolist() == [3, 4, 5]
    assert later.values_by_label("spearman").shape == (2, 0)


def test_selections_may_name_several_values_and_several_settings(results):
    assert list(results.where(arm=["a", "b"]).frame["seed"]) == [0, 0, 1]
    assert list(results.where(arm="b", seed=1).frame["mrr"]) == [4.0]
    assert results.where(arm="d").frame.empty


def test_a_verdict_takes_one_row_a_cell_and_label_or_one_a_cell(results):
    by_label = results.where(arm=["a", "b"]).ok().long("mrr", "arm")
    assert list(by_label.columns) == ["arm", "seed", "item", "value"]
    assert by_label["value"].to_list() == [0, 1, 2, 3, 4, 5]
    assert by_label["item"].to_list() == [0, 1, 2] * 2
    plain = results.ok().long("spearman", "arm")
    assert plain.to_dict("list") == {"arm": ["a", "c", "b"], "seed": [0, 0, 1], "value": [-1.0, 0.5, -4.0]}


def test_a_table_has_the_rows_of_the_selected_cells_with_what_identifies_them(results):
    found = results.where(arm="b").table("steps")
    assert list(found.columns) == ["pair", "arm", "seed", "step", "loss"]
    assert found[["arm", "seed", "step", "loss"]].to_numpy().tolist() == [["b", 1, 1, 4.0], ["b", 1, 2, 2.0]]


def test_two_measurements_make_one_and_the_later_counts():
    both = measured(1.0) | Measurement({"mrr": 2.0, "extra": 3}, tables={"more": pd.DataFrame({"x": [1]})})
    assert both.metrics == {"mrr": 2.0, "spearman": -1.0, "extra": 3}
    assert (set(both.by_label), set(both.tables)) == ({"mrr"}, {"steps", "more"})


def test_no_cells_are_results_too():
    nothing = collect([])
    assert nothing.frame.empty
    assert (dict(nothing.by_label), dict(nothing.tables), nothing.identity) == ({}, {}, ())

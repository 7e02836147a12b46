"""benchmark/{plain_elbow,speed,speed_table}.py: the plain script measures what the suite does; tables hold timings."""

import dataclasses
import json

import numpy as np
import pytest
from pair_folders import ROOT

from embalign.alignment.closed_form import fit_ridge
from embalign.alignment.config import TrainingConfig


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmark")
    import plain_elbow
    import speed
    import speed_table

    return plain_elbow, speed, speed_table


@pytest.fixture
def problem(scripts, small_pair):
    _, speed, _ = scripts
    return speed.problem_of(speed.fresh(small_pair))


def test_both_sides_measure_the_same_cells_with_the_same_numbers(scripts, small_pair, problem, monkeypatch):
    plain_elbow, speed, _ = scripts
    monkeypatch.setattr(plain_elbow, "STEPS", 120)
    monkeypatch.setattr(speed, "ELBOW", dataclasses.replace(speed.ELBOW, training=TrainingConfig(steps=120)))
    with speed.as_torch_comes():
        theirs = plain_elbow.plain(problem)
    ours = speed.suite(speed.fresh(small_pair))
    table = "data_ratio_vs_metrics"
    columns = [{name for metrics in side[table].values() for name in metrics} for side in (ours, theirs)]
    assert columns[0] == columns[1]
    # Maps of two pairs do as well with any penalty, and those of the nine densest make nearly all vectors one.
    for key in [key for key in ours[table] if key.startswith(("0.01", "0.05"))]:
        del ours[table][key], theirs[table][key]
    apart = speed.differences(theirs, ours)
    assert apart["ridge_cosine_mean"] < 1e-4
    assert apart["ridge_ndcg_at_10"] < 0.005
    assert apart["trained_cosine_mean"] < 0.05  # a few dozen pairs: starts and batches are other draws
    for reference in ("teacher", "draft"):
        for name, value in theirs["references"][reference].items():
            if not name.endswith("_returned"):  # of items that tie, the suite takes the expectation
                assert value == pytest.approx(ours["references"][reference][name], abs=2e-3), (reference, name)


def test_ridge_is_the_suites(scripts, small_pair, problem):
    plain_elbow, speed, _ = scripts
    rows = np.sort(problem.pool)
    for some in (rows, rows[: len(rows) // 4]):
        weights, penalty = plain_elbow.ridge(problem, some)
        ours = fit_ridge(problem.draft[some], problem.teacher[some], speed.fresh(small_pair).labels[some])
        assert penalty == pytest.approx(ours.penalty)
        assert weights == pytest.approx(ours.weights, abs=1e-4)
    assert problem.ridge_rows == [len(rows), len(rows) // 4]


def test_a_cell_of_one_side_alone_is_named(scripts, small_pair):
    _, speed, _ = scripts
    ours = {table: {"a": {"cosine_mean": 0.5}} for table in speed.TABLES}
    theirs = ours | {"references": {"b": {}}}
    with pytest.raises(AssertionError, match="'a', 'b'"):
        speed.differences(theirs, ours)


def test_differences_are_the_largest_of_each_kind(scripts):
    _, speed, _ = scripts

    def of(closed, trained):
        cells = {"1.00-random-closed_form": {"query_adapter_ndcg_at_10": closed}, "1.00-random-steps": trained}
        return {table: {} for table in speed.TABLES} | {"data_ratio_vs_metrics": cells}

    names = ("cosine_mean", "query_adapter_ndcg_at_10", "draft_only_ndcg_at_10", "query_adapter_retention_ndcg_at_10")
    ours, theirs = (dict(zip(names, values, strict=True)) for values in ((0.5, 0.2, 0.4, 0.9), (0.6, 0.25, 0.1, 0.1)))
    apart = speed.differences(of(0.5, theirs), of(0.52, ours))
    expected = {
        "ridge_cosine_mean": 0.0,
        "ridge_ndcg_at_10": 0.02,
        "trained_cosine_mean": 0.1,
        "trained_ndcg_at_10": 0.3,
    }
    assert apart == pytest.approx(expected)


def test_a_step_and_its_kernels_are_timed(scripts, monkeypatch):
    _, speed, _ = scripts
    monkeypatch.setattr(speed, "ROUNDS", 2)
    found = speed.measure_step(48, 64, 32)
    assert found.keys() == {"suite", "in_turn", "alone"}
    assert found["in_turn"] > 0
    assert found["alone"] > 0


def test_the_floor_grows_with_steps(scripts, problem, monkeypatch):
    _, speed, _ = scripts
    monkeypatch.setattr(speed, "ROUNDS", 1)
    none = speed.grid_floor(problem)
    problem.trained += [(100, 2000, False)]
    trained = speed.grid_floor(problem)
    assert 0 < none < trained
    problem.trained += [(100, 2000, False)] * 9  # the same map
    assert speed.grid_floor(problem) < trained + 5 * (trained - none)


MEASURED = [
    {"table": "grid", "row": "pair", "plain": 40.0, "suite": 10.0, "floor": 5.0}
    | {"ridge_cosine_mean": 1e-5, "trained_cosine_mean": 0.004, "ridge_ndcg_at_10": 0.0, "trained_ndcg_at_10": 0.01},
    {"table": "step", "row": "384 to 768, batch 32", "suite": 1.0, "in_turn": 0.8, "alone": 0.7},
    {"table": "search", "row": "some", "side": "suite", "seconds": 0.5},
    {"table": "search", "row": "some", "side": "faiss", "seconds": 0.75},
    {"table": "search", "row": "other", "side": "suite", "seconds": 0.25},
    {"table": "search", "row": "without the suite", "side": "faiss", "seconds": 0.25},
]


def test_tables_have_the_ratios_first(scripts):
    _, _, speed_table = scripts
    rows = [line.strip("| ").split(" | ") for line in speed_table.tables(MEASURED) if line.startswith("|")]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["`pair`"][:5] == ["4.00", "40.0", "10.0", "5.0", "0.50"]
    assert by_name["384 to 768, batch 32"] == ["0.80", "0.70", "1.00", "0.80", "0.70"]
    assert by_name["some"] == ["1.5", "500.0"]
    assert by_name["other"] == ["", "250.0"]
    assert "without the suite" not in by_name
    assert "training" not in by_name


def test_the_page_keeps_what_is_around_the_tables(scripts, tmp_path, monkeypatch, capsys):
    _, _, speed_table = scripts
    page, timings = tmp_path / "performance.md", tmp_path / "speed.json"
    page.write_text(f"# Before\n\n{speed_table.START}\nold\n{speed_table.END}\n\nafter\n")
    benchmarks = [{"extra_info": each, "stats": {"min": each.get("seconds", 1.0)}} for each in MEASURED]
    about = {"cpu": {"count": 2, "brand_raw": "Kind"}}
    timings.write_text(json.dumps({"benchmarks": benchmarks, "machine_info": about}))
    monkeypatch.setattr(speed_table, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["speed_table.py", str(timings)])
    for _ in range(2):
        assert speed_table.main() == 0
    text = page.read_text()
    assert text.startswith("# Before\n\n")
    assert text.endswith("\n\nafter\n")
    assert "old" not in text
    assert text.count("| 384 to 768, batch 32 | 0.80 |") == 1
    assert "2 cores of Kind" in capsys.readouterr().out
    page.write_text("nothing to hold them")
    with pytest.raises(ValueError, match="once, found 0"):
        speed_table.main()


def test_the_shipped_page_has_a_place_for_the_tables(scripts):
    _, _, speed_table = scripts
    page = speed_table.PAGE.read_text(encoding="utf-8")
    assert speed_table.written(page, ["| a table |"]).count("| a table |") == 1

"""Experiment `maps`: cells on real vectors, what is judged and picked, and what a report says where things lack."""

import dataclasses
import json

import numpy as np
import pages
import pandas as pd
import pytest
import synthetic_runs
from pair_folders import write_queries_pair

from embalign.evaluation.results import collect
from embalign.experiments.grid import Cell, grid
from embalign.experiments.maps import protocol
from embalign.experiments.maps.cells import measure_family, measure_reference
from embalign.experiments.maps.protocol import System, judge
from embalign.experiments.maps.report import write_report
from embalign.maps.families import FAMILIES
from embalign.pairs.pair import load_pair
from embalign.pairs.queries import Judgements

PAGE = "maps.md"
USES = ("query_adapter", "index_migration")


def cell(family, ratio=1.0, seed=0):
    (settings,) = grid(ratio=[ratio], family=[family])
    return Cell("maps", "map_bakeoff", "small", tuple(settings.items()), seed)


def judged(found):
    return judge(found["map_bakeoff"].ok(), found["references"].ok())


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_measured_in_both_deployments_by_both_searches(small_pair, family):
    found = measure_family(load_pair(small_pair), cell(family))
    for use in USES:
        for prefix in (use, f"{use}_csls"):
            assert 0 <= found.metrics[f"{prefix}_ndcg_at_10"] <= 1
            assert np.isfinite(found.metrics[f"{prefix}_inner"])
            of_label = found.by_label[f"{prefix}_ndcg_at_10"]
            assert of_label.mean() == pytest.approx(found.metrics[f"{prefix}_ndcg_at_10"], abs=1e-6)
        assert found.metrics[f"{use}_bytes"] > 0
    tries = found.tables["tries"]
    assert tries.groupby("deployment")["taken"].sum().to_dict() == dict.fromkeys(USES, 1)
    assert (tries.groupby("deployment").size() == 6).all()
    for use, of_use in tries.groupby("deployment"):
        best = of_use.loc[of_use["taken"], "ndcg_at_10"].item()
        assert best == of_use["ndcg_at_10"].max() == found.metrics[f"{use}_inner"]


def test_a_pair_with_queries_is_fitted_on_the_side_that_is_mapped(debian, tmp_path):
    pair = load_pair(write_queries_pair(tmp_path / "small", debian, 400))
    found = measure_family(pair, cell("ridge"))
    assert found.metrics["n_train"] == len(pair.holdout.train) * 9 // 10
    assert {f"{use}_csls_trec_recall_at_10" for use in USES} <= found.metrics.keys()


def test_a_migration_counts_the_documents_that_it_is_fitted_on(debian, tmp_path):
    pair = load_pair(write_queries_pair(tmp_path / "small", debian, 400))
    queries = np.arange(400)
    vars(pair)["judgements"] = Judgements(queries, queries // 2, np.ones(400))
    found, split = measure_family(pair, cell("ridge")).metrics, pair.holdout
    assert found["query_adapter_pairs"] == round(0.9 * len(split.train)) == found["n_train"]
    assert found["index_migration_pairs"] == round(0.9 * len(split.train_documents)) > found["n_train"]


def test_a_report_says_of_each_deployment_how_many_pairs_it_takes(tmp_path):
    found = synthetic_runs.maps()
    rows = found["map_bakeoff"]
    halves = rows.frame.assign(index_migration_pairs=rows.frame["n_train"] / 2)
    found["map_bakeoff"] = dataclasses.replace(rows, frame=halves)
    write_report(found, synthetic_runs.about("maps"), tmp_path)
    table = pd.read_csv(tmp_path / "map_bakeoff.csv")
    count, over = (table.groupby("deployment")[name].max() for name in ("n_train", "n_over_d"))
    assert count["query_adapter"] == 2 * count["index_migration"] == rows.frame["n_train"].max()
    assert over["query_adapter"] == 2 * over["index_migration"]
    text = (tmp_path / "report.md").read_text()
    words = f"{count['query_adapter']:,.0f} pairs as query adapter and {count['index_migration']:,.0f} pairs as index"
    assert words in " ".join(text.split())
    systems = json.loads((tmp_path / "verdict.json").read_text())["deployments"]["index_migration"]["systems"]
    assert {system["pairs"] for system in systems} == {count["index_migration"]}


def test_the_raw_draft_is_searched_by_both(small_pair):
    (settings,) = grid(reference=["draft"])
    found = measure_reference(load_pair(small_pair), Cell("maps", "references", "small", tuple(settings.items()), 0))
    assert found.metrics["query_adapter_csls_ndcg_at_10"] == found.metrics["index_migration_csls_ndcg_at_10"]
    assert found.metrics["query_adapter_csls_ndcg_at_10"] != found.metrics["query_adapter_ndcg_at_10"]


def test_a_family_of_ones_own_is_measured_under_its_name(small_pair, tmp_path, monkeypatch):
    own = pages.blocks_of("own-policy-or-map.md")[0]
    with pages.importable(tmp_path, "mine", own, monkeypatch):
        (block,) = pages.blocks_of(PAGE)
        settings = next(each for each in pages.executed(block, PAGE)["MINE"] if str(each["family"]) == "orthogonal")
        asked = Cell("maps", "map_bakeoff", "small", tuple(settings.items()), 0)
        assert asked.id == "ratio0.10-orthogonal-seed00"
        found = measure_family(load_pair(small_pair), asked)
        assert len(found.tables["tries"]) == len(USES)
        assert collect([(asked.identity(), found)]).frame["family"].tolist() == ["orthogonal"]


def test_an_unknown_family_is_named_with_those_that_there_are(small_pair):
    with pytest.raises(
        ValueError, match=r"family 'rigde' is unknown: choose one of ridge, affine, .* function of your"
    ):
        measure_family(load_pair(small_pair), cell("rigde"))


def test_the_set_holds_the_families_that_are_best_in_truth():
    for bakeoff in judged(synthetic_runs.maps()).bakeoffs.values():
        assert {row.system for row in bakeoff.members} == {System("deshrunk", "csls"), System("contrastive", "csls")}
        answers = {row.system: row.answer for row in bakeoff.rows}
        assert answers[System("ridge", "plain")] == "better"
        assert answers[System("my_map", "csls")] == "worse"


def test_what_is_picked_depends_on_inner_groups_alone():
    found = synthetic_runs.maps()
    rows = found["map_bakeoff"]
    worst = rows.frame["family"] == "my_map"
    praised = rows.frame.assign(query_adapter_inner=rows.frame["query_adapter_inner"].mask(worst, 0.99))
    changed = found | {"map_bakeoff": dataclasses.replace(rows, frame=praised)}
    picked = judged(changed).bakeoffs["query_adapter"].picked
    assert set(picked.systems) == {System("my_map", "plain")}
    mean = rows.frame.loc[worst & (rows.frame["ratio"] == 1), "query_adapter_ndcg_at_10"].mean()
    assert picked.value == pytest.approx(mean, abs=1e-6)
    assert protocol.answer_of(picked.memo) == "worse"


def test_where_nothing_could_be_held_out_nothing_is_picked():
    found = synthetic_runs.maps()
    rows = found["map_bakeoff"]
    inner = [name for name in rows.frame if name.endswith("_inner")]
    blind = dataclasses.replace(rows, frame=rows.frame.assign(**dict.fromkeys(inner, np.nan)))
    assert all(bakeoff.picked is None for bakeoff in judged(found | {"map_bakeoff": blind}).bakeoffs.values())


@pytest.mark.parametrize("gone", [{"family": "contrastive"}, {"family": "cosine"}, {"family": "ridge"}, {"ratio": 0.1}])
def test_a_report_is_written_where_cells_fail(tmp_path, gone):
    found = synthetic_runs.maps()
    found["map_bakeoff"] = synthetic_runs.with_failures(found["map_bakeoff"], "told to", **gone)
    answer = write_report(found, synthetic_runs.about("maps"), tmp_path)
    assert "the best" in answer
    assert "told to" in (tmp_path / "report.md").read_text(encoding="utf-8")
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    systems = {each["family"] for each in verdict["deployments"]["query_adapter"]["systems"]}
    assert systems == synthetic_runs.FAMILIES.keys() - {gone.get("family")}


def test_one_failed_seed_is_said_and_no_verdict_is_made_of_the_rest(tmp_path):
    found = synthetic_runs.maps()
    found["map_bakeoff"] = synthetic_runs.with_failures(found["map_bakeoff"], "told to", family="ridge", seed=0)
    answer = write_report(found, synthetic_runs.about("maps"), tmp_path)
    assert "no verdict" in answer
    assert "Traceback" not in answer


def test_nothing_that_was_measured_is_no_verdict(tmp_path):
    found = synthetic_runs.maps()
    found["map_bakeoff"] = synthetic_runs.with_failures(found["map_bakeoff"], "told to")
    assert "no map was measured" in write_report(found, synthetic_runs.about("maps"), tmp_path)

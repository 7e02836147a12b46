"""The gate from end to end: the documented example, its documented error rates, and a run's report."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pair_folders import ROOT
from scipy import stats

from embalign.deploy import MapWarning
from embalign.deploy.card import Card
from embalign.deploy.map import Wanted, export_map
from embalign.deploy.recipe import fit_better
from embalign.evaluation.deployment import DEPLOYMENTS
from embalign.evaluation.results import collect
from embalign.experiments.gate import cells as measure_gate
from embalign.experiments.gate.protocol import INDEXES, WHOLE, prefix
from embalign.experiments.gate.report import write_report
from embalign.experiments.grid import Cell
from embalign.pairs.config import find_pair
from embalign.pairs.pair import load_pair

EXAMPLES = [("README.md", "matrix", None), ("docs/deploying.md", "reversed", "csls"), ("README.md", "affine", "csls")]


@pytest.mark.parametrize(("page", "family", "search"), EXAMPLES)
def test_the_documented_example_sends_every_query_to_the_teacher_where_nothing_is_certified(
    smollm2, tmp_path, monkeypatch, page, family, search
):
    """On the shipped pair, with one matrix and with what an index must be prepared for.

    Warnings say that the map does not beat no map, that the sample is small, and that no threshold is certified.
    """
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    wanted = Wanted(family, search, ["query_adapter"])
    path = export_map(find_pair("smollm2-mpnet", ROOT), tmp_path / "maps", wanted=wanted)
    is_better = Card.from_disk(path.with_suffix(".json")).deployments["query_adapter"].beats_no_map
    monkeypatch.chdir(tmp_path)
    test = smollm2.holdout.test[:50]
    names = {"queries": smollm2.draft[test], "index": smollm2.teacher}
    with pytest.warns(MapWarning) as said:
        exec(example, names)
    words = [re.search("no map|sample|no threshold", str(each.message)).group() for each in said]
    assert words == ["no map"] * (not is_better) + ["sample"] * (search == "csls") + ["no threshold"]
    assert names["ask_teacher"] == list(range(50))
    adapter = names["adapter"]
    index = adapter.of_index(smollm2.teacher)
    index /= np.linalg.norm(index, axis=1, keepdims=True)
    similarity = adapter.map(smollm2.draft[test]) @ index.T
    if search == "csls":
        similarity -= np.sort(similarity, axis=0)[-10:].mean(axis=0) / 2
    assert names["answers"].nearest.tolist() == similarity.argmax(axis=1).tolist()


def test_over_many_draws_of_real_outputs_the_promise_breaks_as_rarely_as_promised(tmp_path):
    """A reduced form of the committed calibration: the documented command with fewer draws."""
    script = ROOT / "benchmark" / "calibration" / "gate.py"
    command = [sys.executable, str(script), "--draws", "15", "--workers", "2", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    table = pd.read_csv(tmp_path / "gate.csv")
    assert (tmp_path / "gate.md").read_text(encoding="utf-8") == done.stdout.removesuffix("\n")
    assert (table["certified"] > 0.5).any()
    for _, row in table[table["calibration"] != "topics, blind"].iterrows():
        broken = round(row["broken"] * row["draws"])
        assert stats.binomtest(broken, int(row["draws"]), 0.05, alternative="greater").pvalue > 0.001, row


def test_a_run_ends_in_a_report_that_opens_with_the_answer(smollm2, tmp_path):
    """Real cells of every table, few of each, from pair to figure, curve and verdict."""

    def results(measure, settings, seeds=(0, 1)):
        cells = [Cell("gate", "t", smollm2.name, tuple(s.items()), seed) for s in settings for seed in seeds]
        return collect([(cell.identity(), measure(smollm2, cell)) for cell in cells])

    terms = [{"term": "none", "convention": "none", "lambda": 0.0}]
    terms += [
        {"term": t, "convention": "raw_gradient_ratio", "lambda": 1.0} for t in ("amplitude", "scrambled", "norm")
    ]
    measured = {
        "gate_ratio": results(measure_gate.measure_ratio_gate, [{"ratio": 0.05}, {"ratio": 1.0}]),
        "gate_arm": results(measure_gate.measure_arm_gate, terms),
        "gate_deployed": results(measure_gate.measure_deployed_gate, [{"map": "exported"}], seeds=(0,)),
    }
    words = write_report(measured, {"pair": smollm2.name, "profile": "quick", "seeds": [0, 1], "data": {}}, tmp_path)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert all(f"- **{line}**" in report for line in words.split("\n"))
    assert words.startswith("As a query adapter (mapped queries search the teacher's vectors of all 3,151 items)")
    assert "upper" in report
    curve = pd.read_csv(tmp_path / "gate_curve.csv")
    assert {"threshold", "coverage", "risk", "precision", "deployment", "index_size"} <= set(curve.columns)
    assert (curve["precision"] + curve["risk"]).to_numpy() == pytest.approx(1, abs=1e-5)
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    sizes = {(use["deployment"], use["index"]): use["index_size"] for use in verdict["uses"]}
    assert sizes == {
        (name, index): size for name in DEPLOYMENTS for index, size in (("whole corpus", 3151), ("held-out items", 632))
    }
    assert (tmp_path / "gate_curve.png").stat().st_size > 10_000


def nearest_is_right(queries, index, asked, held, own):
    """Whether each query's nearest row has its label, by plain sorting."""
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (queries, index)]
    similarity = unit[0].astype(np.float64) @ unit[1].astype(np.float64).T
    similarity[np.arange(len(queries)), own] = -np.inf
    return held[similarity.argmax(axis=1)] == asked


def test_every_use_of_the_exported_map_is_counted_as_plain_sorting_does(small_pair):
    pair = load_pair(small_pair)
    measured = measure_gate.measure_deployed_gate(pair, Cell("gate", "t", pair.name, (("map", "exported"),), 0))
    weights, test = fit_better(pair)[0], pair.holdout.test
    mapped, labels = pair.draft @ weights.T, pair.labels
    sides = {"query_adapter": (mapped, pair.teacher), "index_migration": (pair.teacher, mapped)}
    sides |= {"draft_only": (mapped, mapped)}
    outputs = measured.tables["outputs"]
    for (deployment, index), before in (((d, i), prefix(d, i)) for d in sides for i in INDEXES):
        queries, held = sides[deployment]
        rows = np.arange(len(labels)) if index == WHOLE else test
        own = test if index == WHOLE else np.arange(len(test))
        right = nearest_is_right(queries[test], held[rows], labels[test], labels[rows], own)
        assert measured.metrics[before + "accuracy"] == pytest.approx(right.mean())
        assert outputs[before + "correct"].to_numpy() == pytest.approx(right.astype(float))
    right = {"": outputs["query_adapter_correct"], "teacher_": outputs["teacher_correct"]}
    curve = measured.tables["cascade"].set_index(["score", "sent"])["recall_at_1"]
    has_relevant = np.array([(labels == labels[row]).sum() > 1 for row in test])
    for score in ("top1", "margin", "random", "oracle"):
        assert curve[score, 0.0] == pytest.approx(right[""][has_relevant].mean())
        assert curve[score, 1.0] == pytest.approx(right["teacher_"][has_relevant].mean())
    assert set(measured.tables["accept_curve"]["index_size"]) == {len(labels), len(test)}

"""The gate from end to end: the documented example, its documented error rates, and a run's report."""

import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from pair_folders import ROOT
from scipy import stats

from embalign.deploy.map import export_map
from embalign.evaluation.results import collect
from embalign.experiments.gate import cells as measure_gate
from embalign.experiments.gate.report import write_report
from embalign.experiments.grid import Cell
from embalign.pairs.config import find_pair


def test_the_documented_example_accepts_what_the_exported_threshold_accepts(smollm2, tmp_path, monkeypatch):
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8"), re.DOTALL
    )
    export_map(find_pair("smollm2-mpnet", ROOT), tmp_path / "maps")
    monkeypatch.chdir(tmp_path)
    test = smollm2.holdout.test
    accepted = 0
    for own in test[::4]:
        others = test[test != own]
        names = {"drafts": smollm2.draft[others], "query": smollm2.draft[own]}
        exec(example, names)
        accepted += names["accept"]
        assert (names["answer"] is None) == (not names["accept"])
    coverage = names["gate"]["coverage"]
    assert names["gate"]["threshold"] is not None
    assert accepted / len(test[::4]) == pytest.approx(coverage, abs=0.08)


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
    words = write_report(measured, {"pair": smollm2.name, "profile": "quick", "seeds": [0, 1]}, tmp_path)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert f"**{words}**" in report
    assert "upper" in report
    curve = pd.read_csv(tmp_path / "gate_curve.csv")
    assert {"threshold", "coverage", "risk", "precision"} <= set(curve.columns)
    assert (curve["precision"] + curve["risk"]).to_numpy() == pytest.approx(1, abs=1e-5)
    assert json.loads((tmp_path / "verdict.json").read_text())["score"] == "top1"
    assert (tmp_path / "gate_curve.png").stat().st_size > 10_000

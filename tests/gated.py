"""An experiment whose cells have the gated metrics and cost nothing; GATED_SHIFT changes them as a fault would."""

import json
import os

import numpy as np

from embalign.verdicts.regression import MIN_EFFECTS

EXPERIMENT_FILE = """
import pytest

from embalign.experiments.grid import Experiment, Table, grid

GATED = Experiment(
    name="gated",
    report="gated:write_report",
    conclusion="gated:conclude",
    gate_seeds=5,
    tables=(Table("gated", measure="gated:measure", quick=grid(setting=[0]), gate=grid(setting=[0, 1, 2])),),
)


@pytest.mark.cells(GATED, "gated")
def test_gated(cell, measure):
    assert measure(cell)["mrr"] >= 0
"""


def measure(pair, cell):
    """Metrics that depend on setting and seed, shifted by what GATED_SHIFT says: {"metric": amount}."""
    generator = np.random.default_rng([cell["setting"], cell.seed])
    shifts = json.loads(os.environ.get("GATED_SHIFT", "{}"))
    return {metric: 0.5 + 0.1 * float(generator.random()) + shifts.get(metric, 0.0) for metric in MIN_EFFECTS}


def measure_one(pair, cell):
    """A row with one of the gated metrics."""
    return {"mrr": measure(pair, cell)["mrr"]}


def write_report(frames, about, folder):
    """A table, a figure and a line."""
    from matplotlib import pyplot

    from embalign.experiments.style import figure_style, save
    from embalign.experiments.tables import write_csv

    write_csv(frames["gated"], folder / "gated.csv", ("pair", "setting", "seed"))
    with figure_style():
        figure, axis = pyplot.subplots(figsize=(2, 2))
        axis.plot(frames["gated"]["mrr"])
        save(figure, folder / "gated.png")
    (folder / "report.md").write_text("gated\n")
    return "gated"


def conclude(folder, about, bind):
    """A conclusion of one number."""
    number = bind(file="gated.csv", where="setting:0", col="mrr", fn="mean", format=".4f")
    return "What was measured", f"It is {number}.\n\n![The curve](gated.png)", []

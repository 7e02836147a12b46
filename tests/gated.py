"""An experiment whose cells have the gated metrics and cost nothing; GATED_SHIFT changes them as a fault would."""

import json
import os

import numpy as np

from embalign.evaluation.measurement import Measurement
from embalign.verdicts.metrics import CHECKED

EXPERIMENT_FILE = """
import pytest

from embalign.experiments.grid import Experiment, Table, grid
from embalign.lazy import lazy

gated = lazy("gated")
GATED = Experiment(
    name="gated",
    report=gated.write_report,
    conclusion=gated.conclude,
    regression_seeds=5,
    tables=(Table("gated", measure=gated.measure, quick=grid(setting=[0]), regression=grid(setting=[0, 1, 2])),),
)


@pytest.mark.cells(GATED, "gated")
def test_gated(cell, embeddings, seed, measure):
    assert measure(cell, embeddings, seed).metrics["mrr"] >= 0
"""


def measure(pair, cell):
    """Metrics that depend on setting and seed, shifted by what GATED_SHIFT says: {"metric": amount}."""
    generator = np.random.default_rng([cell["setting"], cell.seed])
    shifts = json.loads(os.environ.get("GATED_SHIFT", "{}"))
    metrics = {name: 0.5 + 0.1 * float(generator.random()) + shifts.get(name, 0.0) for name in CHECKED}
    return Measurement(metrics)


def measure_one(pair, cell):
    """A row with one of the gated metrics."""
    return Measurement({"mrr": measure(pair, cell).metrics["mrr"]})


def write_report(results, about, folder):
    """A table, a figure and a line."""
    from matplotlib import pyplot

    from embalign.experiments.style import figure_style, save
    from embalign.experiments.tables import write_csv

    write_csv(results["gated"].frame, folder / "gated.csv", ("pair", "setting", "seed"))
    with figure_style():
        figure, axis = pyplot.subplots(figsize=(2, 2))
        axis.plot(results["gated"].frame["mrr"])
        save(figure, folder / "gated.png")
    (folder / "report.md").write_text("gated\n")
    return "gated"


def conclude(folder, about, bind):
    """A conclusion of one number."""
    number = bind(file="gated.csv", where="setting:0", col="mrr", fn="mean", format=".4f")
    return "What was measured", f"It is {number}.\n\n![The curve](gated.png)", []

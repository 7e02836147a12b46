"""The output-level gate: when may the mapped draft be trusted, and does the loss steady it over surface styles?

pytest benchmark/ -k gate
"""

import math

import pytest

from embalign.experiments import gate
from embalign.experiments.grid import Experiment, Table, grid

QUICK_RATIOS = [0.01, 0.05, 0.10, 0.20, 0.50, 1.00]
FULL_RATIOS = [0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 0.70, 1.00]


def terms(lambdas, gradient_ratios):
    """The loss terms of experiment 2's main contrasts: `amplitude` is the memo's, the others its controls."""
    return [
        *grid(term=["none"], convention=["none"], **{"lambda": [0.0]}),
        *grid(term=["amplitude", "scrambled"], convention=["raw", "unit"], **{"lambda": lambdas}),
        *grid(
            term=["amplitude", "scrambled"],
            convention=["raw_gradient_ratio", "unit_gradient_ratio"],
            **{"lambda": gradient_ratios},
        ),
        *grid(term=["norm"], convention=["raw"], **{"lambda": lambdas}),
        *grid(term=["norm"], convention=["raw_gradient_ratio"], **{"lambda": gradient_ratios}),
    ]


GATE = Experiment(
    name="gate",
    report=gate.report.write_report,
    tables=(
        Table(
            name="gate_ratio",
            measure=gate.cells.measure_ratio_gate,
            quick=grid(ratio=QUICK_RATIOS),
            full=grid(ratio=FULL_RATIOS),
        ),
        Table(
            name="gate_arm",
            measure=gate.cells.measure_arm_gate,
            quick=terms([0.05], [1.0]),
            full=terms([0.001, 0.01, 0.05], [0.01, 0.1, 1.0]),
        ),
        Table(name="gate_deployed", measure=gate.cells.measure_deployed_gate, seeds=1, quick=grid(map=["exported"])),
    ),
)


@pytest.mark.cells(GATE, "gate_ratio")
def test_gate_ratio(cell, embeddings, seed, measure):
    """The outputs of a map fitted on a share of the pool can be accepted or refused."""
    assert math.isfinite(measure(cell, embeddings, seed).metrics["accuracy"])


@pytest.mark.cells(GATE, "gate_arm")
def test_gate_arm(cell, embeddings, seed, measure):
    """The outputs of a map trained with a loss term can be accepted or refused, style by style."""
    assert math.isfinite(measure(cell, embeddings, seed).metrics["accuracy"])


@pytest.mark.cells(GATE, "gate_deployed")
def test_gate_deployed(cell, embeddings, seed, measure):
    """The map that is exported has a score for each deployment, and a threshold or what it lacks."""
    assert set(measure(cell, embeddings, seed).tables["choice"]["score"]) <= {"margin", "top1"}

"""Experiment 2: does L_cos + lambda * MSE(|RFFT(z_s)|, |RFFT(z_t)|) align better, and is the effect spectral?

pytest benchmark/ -k spectral
"""

import math

import pytest

from embalign.runs.experiment import Experiment, Table, grid

LAMBDAS = [0.001, 0.01, 0.05]
REFERENCES = ["mean_vector", "ridge", "procrustes"]


SPECTRAL = Experiment(
    name="spectral",
    report="embalign.reporting.spectral:write_report",
    tables=(
        Table(
            name="spectral_ab",
            measure="embalign.runs.measure_arm:measure_arm",
            quick=[
                *grid(arm=["baseline"], convention=["none"], **{"lambda": [0.0]}),
                *grid(arm=["spectral", "signed_permutation"], convention=["raw", "unit"], **{"lambda": LAMBDAS}),
                *grid(arm=["norm_only", "mse"], convention=["raw"], **{"lambda": LAMBDAS}),
                *grid(arm=REFERENCES, convention=["none"], **{"lambda": [0.0]}),
            ],
        ),
        Table(
            name="spectrum",
            measure="embalign.runs.measure_arm:measure_spectrum",
            seeds=1,
            quick=[
                *grid(
                    curve=["teacher", "permuted_low", "permuted_high", "baseline"],
                    convention=["none"],
                    **{"lambda": [0.0]},
                ),
                *grid(curve=["spectral"], convention=["raw"], **{"lambda": [0.05]}),
            ],
        ),
    ),
)


@pytest.mark.cells(SPECTRAL, "spectral_ab")
def test_spectral(cell, measure):
    """A map trained with the arm's loss can be scored on the held-out label groups."""
    assert math.isfinite(measure(cell)["cosine_mean"])


@pytest.mark.cells(SPECTRAL, "spectrum")
def test_spectral_spectrum(cell, measure):
    """The spectra that the report draws can be measured."""
    assert math.isfinite(measure(cell)["band_00"])

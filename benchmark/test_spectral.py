"""Experiment 2: does L_cos + lambda * MSE(|RFFT(z_s)|, |RFFT(z_t)|) align better, and is the effect spectral?

pytest benchmark/ -k spectral
"""

import math

import pytest

from embalign.experiments import spectral
from embalign.experiments.grid import Experiment, Table, grid
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY

LAMBDAS = [0.001, 0.01, 0.05]  # as the memo writes them
RATIOS = [0.01, 0.1, 1.0]  # gradient of the added term over that of the cosine loss
FITTED = ["ridge", "procrustes"]  # maps without training, judged against the baseline as the arms are
REFERENCES = ["mean_vector", "untrained", "chance", "draft", "teacher"]


def arms(names, conventions, strengths, draws=1):
    """Arms under each convention and strength, with that many random draws."""
    return grid(arm=names, convention=conventions, **{"lambda": strengths}, draw=list(range(draws)))


def compared(memo_draws, ratio_draws):
    """The arms of the main contrasts, scrambled ones with that many draws."""
    return [
        *arms(["baseline"], ["none"], [0.0]),
        *arms(["spectral"], ["raw", "unit"], LAMBDAS),
        *arms(["spectral"], ["raw_gradient_ratio", "unit_gradient_ratio"], RATIOS),
        *arms(["signed_permutation"], ["raw", "unit"], LAMBDAS, memo_draws),
        *arms(["signed_permutation"], ["raw_gradient_ratio", "unit_gradient_ratio"], RATIOS, ratio_draws),
        *arms(["norm_only", "mse"], ["raw"], LAMBDAS),
        *arms(["norm_only", "mse"], ["raw_gradient_ratio"], RATIOS),
        *arms([*FITTED, *REFERENCES], ["none"], [0.0]),
    ]


QUICK = compared(memo_draws=1, ratio_draws=1)
FULL = [*compared(memo_draws=1, ratio_draws=3), *arms(["rotation", "phase"], ["raw_gradient_ratio"], RATIOS)]

SPECTRAL = Experiment(
    name="spectral",
    report=spectral.report.write_report,
    conclusion=spectral.conclusion.conclude,
    tables=(
        Table(
            name="spectral_ab",
            measure=spectral.cells.measure_arm,
            quick=QUICK,
            full=FULL,
            regression=[
                *arms(["baseline"], ["none"], [0.0]),
                *arms(["spectral"], ["raw_gradient_ratio"], [0.1]),
                *arms(["signed_permutation", "norm_only"], ["raw"], [0.05]),
            ],
        ),
        Table(
            name="positive_control",
            measure=spectral.control.measure_control,
            quick=[*grid(arm=["baseline", "spectral"], draw=[0]), *grid(arm=["signed_permutation"], draw=[0, 1])],
        ),
        Table(
            name="spectrum",
            measure=spectral.cells.measure_spectrum,
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
def test_spectral(cell, embeddings, seed, measure):
    """A map trained with the arm's loss can be scored on the held-out label groups, and so can the references.

    A constant vector finds nothing; the raw draft and chance have no cosine to the teacher.
    """
    metrics = measure(cell, embeddings, seed).metrics
    judged = [metrics[name] for name in (PRIMARY, ALIGNMENT) if name in metrics]
    assert judged
    assert all(map(math.isfinite, judged))


@pytest.mark.cells(SPECTRAL, "positive_control")
def test_spectral_positive_control(cell, embeddings, seed, measure):
    """The arm can be trained on the synthetic task where the order of dimensions matters."""
    assert math.isfinite(measure(cell, embeddings, seed).metrics["cosine_mean"])


@pytest.mark.cells(SPECTRAL, "spectrum")
def test_spectral_spectrum(cell, embeddings, seed, measure):
    """The spectra that the report draws can be measured."""
    assert measure(cell, embeddings, seed).tables["bands"]["amplitude"].notna().all()

"""Experiment 2: does L_cos + lambda * MSE(|RFFT(z_s)|, |RFFT(z_t)|) align better, and is the effect spectral?

pytest benchmark/ -k spectral
"""

import math

import pytest

from embalign.experiments import spectral
from embalign.experiments.grid import Experiment, Table, grid
from embalign.verdicts.metrics import ALIGNMENT, PRIMARY

LAMBDAS = [0.001, 0.01, 0.05]  # as the memo writes them
CONTROLLED = [0.01, 0.05]  # the least of them hardly pulls at the map: where it changes nothing, it needs no control
RATIOS = [0.01, 0.1, 1.0]  # gradient of the added term over that of the cosine loss
FITTED = ["ridge", "procrustes"]  # maps without training, judged against the baseline as the arms are
REFERENCES = ["mean_vector", "untrained", "chance", "draft", "teacher"]


def arms(names, conventions, strengths, init="none", draws=1):
    """Arms under each convention and strength, with that many random draws, trained from one start of the map."""
    return grid(arm=names, convention=conventions, **{"lambda": strengths}, init=[init], draw=list(range(draws)))


def memo(init):
    """The memo's loss at its own lambdas, and its two controls."""
    return [
        *arms(["baseline"], ["none"], [0.0], init),
        *arms(["spectral"], ["raw"], LAMBDAS, init),
        *arms(["signed_permutation", "norm_only"], ["raw"], CONTROLLED, init),
    ]


def by_ratio(init):
    """Stronger terms, and the phase with its controls, each by the ratio of its gradient to the cosine loss's."""
    return [
        *arms(["spectral", "norm_only"], ["raw_gradient_ratio"], [0.1, 1.0], init),
        *arms(["signed_permutation"], ["raw_gradient_ratio"], [0.1, 1.0], init, draws=2),
        *arms(["phase", "scrambled_phase", "shrink"], ["raw_gradient_ratio"], [0.1, 1.0], init),
    ]


UNTRAINED = arms([*FITTED, *REFERENCES], ["none"], [0.0])
QUICK = [*memo("small"), *memo("linear"), *UNTRAINED]
FULL = [
    *memo("small"),
    *by_ratio("small"),
    *arms(["spectral", "signed_permutation", "norm_only"], ["raw_gradient_ratio"], [0.01], "small"),
    *arms(["spectral"], ["unit"], LAMBDAS, "small"),  # all but inert there
    *arms(["spectral", "signed_permutation"], ["unit_gradient_ratio"], RATIOS, "small"),
    *arms(["mse"], ["raw"], LAMBDAS, "small"),
    *arms(["mse", "rotation"], ["raw_gradient_ratio"], RATIOS, "small"),
    *memo("linear"),
    *by_ratio("linear"),
    *UNTRAINED,
]

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
                *arms(["baseline"], ["none"], [0.0], "small"),
                *arms(["spectral"], ["raw_gradient_ratio"], [0.1], "small"),
                *arms(["signed_permutation", "norm_only"], ["raw"], [0.05], "small"),
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
                    curve=["teacher", "permuted_low", "permuted_high"],
                    convention=["none"],
                    **{"lambda": [0.0]},
                    init=["none"],
                ),
                *grid(curve=["baseline"], convention=["none"], **{"lambda": [0.0]}, init=["small"]),
                *grid(curve=["spectral"], convention=["raw"], **{"lambda": [0.05]}, init=["small"]),
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
    """The arm can be trained on the synthetic task where the order of dimensions matters, and its map searched with."""
    assert math.isfinite(measure(cell, embeddings, seed).metrics[PRIMARY])


@pytest.mark.cells(SPECTRAL, "spectrum")
def test_spectral_spectrum(cell, embeddings, seed, measure):
    """The spectra that the report draws can be measured."""
    assert measure(cell, embeddings, seed).tables["bands"]["amplitude"].notna().all()

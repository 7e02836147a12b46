"""The cells of experiment 2, from pair to numbers: train with an arm's loss, map, score; and the spectra drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from embalign.alignment.closed_form import fit_procrustes, fit_ridge
from embalign.alignment.lengths import unit_rows
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.setting import Setting
from embalign.alignment.training import apply_map
from embalign.evaluation import spectrum
from embalign.evaluation.measurement import Measurement
from embalign.evaluation.similarity import cosines
from embalign.experiments.arms import Arm, train_arm
from embalign.experiments.fits import constant_of, fitted_on, map_task, pool_of, score_mapped, search_task_of
from embalign.experiments.references import score_reference, untrained_map
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair
from embalign.pairs.picked import pick

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell

BANDS, GROUPS, PERMUTATIONS = 48, 10, 40


def measure_arm(pair: Pair, cell: Cell) -> Measurement:
    """Return the metrics of a map trained on the whole pool with an arm's loss, or of a reference.

    ``weight`` is what the added term was multiplied with: lambda itself, or, where the strength is a gradient ratio,
    the factor that gives its gradient that share of the cosine loss's. Spectral metrics are those of the mapped
    held-out queries: the raw draft and chance, which lie in another space than the teacher, have none. Nor have they an
    ``output_norm``, the mean length of the mapped queries, where the teacher's have 1.
    """
    name, seed = cell["arm"], cell.seed
    teacher = search_task_of(pair).teacher.queries
    fitted, pool = fitted_on(pair), pool_of(pair, seed)
    details = {"gradient_ratio": 0.0, "weight": 0.0}
    match name:
        case "draft" | "chance" | "teacher":
            return score_reference(pair, name, seed)
        case "mean_vector":
            constant = np.broadcast_to(constant_of(pair, seed), teacher.shape)
            return score_reference(pair, name, seed) | Measurement(spectrum.score(constant, teacher))
        case "untrained":
            weights = untrained_map(pair, seed)
        case "ridge":
            weights = fit_ridge(pick(fitted.draft, pool), pick(fitted.teacher, pool), fitted.groups[pool]).weights
        case "procrustes":
            weights = fit_procrustes(pick(fitted.draft, pool), pick(fitted.teacher, pool))
        case _:
            arm = Arm(name, Setting.named(cell["convention"], cell["lambda"]), cell["draw"])
            trained, weight = train_arm(pair, arm, seed, cell.training.started(cell["init"]))
            weights = trained.weights
            details = {"gradient_ratio": trained.gradient_ratio, "weight": weight}
    mapped = map_task(pair, weights)
    details["output_norm"] = float(np.linalg.norm(mapped.queries.astype(np.float64), axis=1).mean())
    return score_mapped(pair, mapped, seed) | Measurement(spectrum.score(mapped.queries, teacher) | details)


def measure_spectrum(pair: Pair, cell: Cell) -> Measurement:
    """Return a mean amplitude spectrum as the table `bands` and, for maps, spectral cosine over cosine as `groups`.

    `amplitude` is the mean |RFFT| (backward norm) of unit vectors over a band of bins; white noise has sqrt(pi)/2.
    `cosine` and `spec_cosine` are means over tenths of the test items in order of their cosine.
    """
    task = search_task_of(pair)
    teacher = task.teacher.queries
    curve = cell["curve"]
    if curve in QUANTILES:
        rng = generator(cell.seed, Stream.PERMUTED_TEACHERS)
        draws = [_bands(_signed_permutation(teacher, rng)) for _ in range(PERMUTATIONS)]
        return _curve(np.quantile(draws, QUANTILES[curve], axis=0))
    if curve == "teacher":
        return _curve(_bands(teacher))
    arm = Arm(curve, Setting.named(cell["convention"], cell["lambda"]))
    trained, _ = train_arm(pair, arm, cell.seed, cell.training.started(cell["init"]))
    mapped = apply_map(trained.weights, task.draft.queries)
    by_item = {"cosine": cosines(mapped, teacher), "spec_cosine": spectrum.spec_cosines(mapped, teacher)}
    groups = np.array_split(np.argsort(by_item["cosine"], kind="stable"), GROUPS)
    means = {name: [float(values[group].mean()) for group in groups] for name, values in by_item.items()}
    return _curve(_bands(mapped)) | Measurement({}, tables={"groups": _numbered("group", means)})


# The curves that bound 95 % of the teachers with permuted and sign-flipped dimensions.
QUANTILES = {"permuted_low": 0.025, "permuted_high": 0.975}


def _bands(vectors: Vectors) -> NDArray[np.float64]:
    amplitude = np.abs(np.fft.rfft(unit_rows(vectors.astype(np.float64)), axis=1)).mean(axis=0)
    return spectrum.in_bands(amplitude, BANDS)


def _signed_permutation(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    d = vectors.shape[1]
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), d)
    return np.asarray(vectors[:, rng.permutation(d)] * signs)


def _curve(amplitude: NDArray[np.float64]) -> Measurement:
    return Measurement({}, tables={"bands": _numbered("band", {"amplitude": amplitude})})


def _numbered(name: str, columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=np.float64).rename_axis(name).reset_index()

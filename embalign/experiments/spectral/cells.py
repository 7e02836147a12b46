"""One cell of experiment 2, from pair to row: train with an arm's loss, map, score."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from embalign.alignment.closed_form import fit_procrustes, fit_ridge, mean_vector
from embalign.alignment.config import DEFAULT
from embalign.alignment.losses import Scale
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.terms import Setting, make_term
from embalign.alignment.training import TrainedMap, apply_map, train_map
from embalign.evaluation import spectrum
from embalign.evaluation.similarity import cosines
from embalign.experiments.fits import pool_of, score_mapped
from embalign.pairs import Vectors
from embalign.pairs.pair import Pair

if TYPE_CHECKING:
    from embalign.experiments.grid import Cell, Row

BANDS, GROUPS, PERMUTATIONS = 48, 10, 40
NO_WEIGHT = 1e-6  # of a term that is measured but must not steer
NO_RATIO = 1e-10  # rounding alone gives no larger gradient


def measure_arm(pair: Pair, cell: Cell) -> Row:
    """Return the metrics of a map trained on the whole pool with an arm's loss (experiment 2).

    ``weight`` is what the added term was multiplied with: lambda itself, or, under ``raw_gradient_ratio`` and
    ``unit_gradient_ratio``, the factor that gives its gradient that share of the cosine loss's.
    """
    pool = pool_of(pair, cell.seed)
    details: Row = {"weight": 0.0, "gradient_ratio": 0.0}
    match cell["arm"]:
        case "mean_vector":
            constant = mean_vector(pair.teacher[pool])
            mapped = np.broadcast_to(constant, pair.teacher[pair.holdout.test].shape)
            return _alignment_of_constant(mapped, pair.teacher[pair.holdout.test])
        case "ridge":
            weights = fit_ridge(pair.draft[pool], pair.teacher[pool]).weights
        case "procrustes":
            weights = fit_procrustes(pair.draft[pool], pair.teacher[pool])
        case arm:
            setting = Setting.named(cell["convention"], cell["lambda"])
            trained, weight = train_arm(pair, arm, setting, cell["draw"], cell.seed)
            weights = trained.weights
            details = {"weight": weight, "gradient_ratio": trained.gradient_ratio}
    mapped = apply_map(weights, pair.draft[pair.holdout.test])
    return score_mapped(pair, mapped, cell.seed) | spectrum.score(mapped, pair.teacher[pair.holdout.test]) | details


def measure_spectrum(pair: Pair, cell: Cell) -> Row:
    """Return a mean amplitude spectrum in bands and, for maps, spectral cosine in groups of like cosine.

    ``band_NN`` is the mean |RFFT| (backward norm) of unit vectors over a band of bins; white noise has sqrt(pi)/2.
    ``cosine_N`` and ``spec_cosine_N`` are means over tenths of the test items in order of their cosine.
    """
    test = pair.holdout.test
    teacher = pair.teacher[test]
    curve = cell["curve"]
    if curve.startswith("permuted"):
        rng = generator(cell.seed, Stream.PERMUTED_TEACHERS)
        draws = [_bands(_signed_permutation(teacher, rng)) for _ in range(PERMUTATIONS)]
        quantile = 0.025 if curve.endswith("low") else 0.975
        return _numbered("band", np.quantile(draws, quantile, axis=0))
    if curve == "teacher":
        return _numbered("band", _bands(teacher))
    trained, _ = train_arm(pair, curve, Setting.named(cell["convention"], cell["lambda"]), 0, cell.seed)
    mapped = apply_map(trained.weights, pair.draft[test])
    cosine = cosines(mapped, teacher)
    groups = np.array_split(np.argsort(cosine, kind="stable"), GROUPS)
    spectral = spectrum.spec_cosines(mapped, teacher)
    return (
        _numbered("band", _bands(mapped))
        | _numbered("cosine", np.array([cosine[group].mean() for group in groups]))
        | _numbered("spec_cosine", np.array([spectral[group].mean() for group in groups]))
    )


@functools.lru_cache(maxsize=4)
def train_arm(pair: Pair, arm: str, setting: Setting, draw: int, seed: int) -> tuple[TrainedMap, float]:
    """Return the map of an arm, trained on a seed's whole pool, and the weight of its term."""
    pool = pool_of(pair, seed)
    draft, teacher = pair.draft[pool], pair.teacher[pool]
    weight = setting.strength
    if arm != "baseline" and setting.by == "gradient_ratio":
        weight /= _ratio_of_one(pair, arm, setting.scale, draw, seed)
    term = make_term(arm, weight, dimension=teacher.shape[1], scale=setting.scale, seed=seed, draw=draw)
    return train_map(draft, teacher, seed=seed, term=term), term.weight if term else 0.0


@functools.lru_cache(maxsize=16)
def _ratio_of_one(pair: Pair, arm: str, scale: Scale, draw: int, seed: int) -> float:
    """Gradient ratio of an arm's term for each unit of weight, where the cosine loss alone has led after warm-up.

    Raises ValueError for a term without a gradient there, to which no weight gives a share.
    """
    pool = pool_of(pair, seed)
    warmup = round(DEFAULT.warmup_share * DEFAULT.steps)
    config = dataclasses.replace(DEFAULT, steps=warmup + 1, warmup_share=warmup / (warmup + 1))  # and no step further
    term = make_term(arm, NO_WEIGHT, dimension=pair.teacher.shape[1], scale=scale, seed=seed, draw=draw)
    trained = train_map(pair.draft[pool], pair.teacher[pool], seed=seed, config=config, term=term)
    ratio = trained.gradient_ratio / NO_WEIGHT
    if ratio < NO_RATIO:
        raise ValueError(f"arm {arm!r} has no gradient on {scale} vectors: give its strength as lambda, or drop it")
    return ratio


def _alignment_of_constant(mapped: Vectors, teacher: Vectors) -> Row:
    cosine = cosines(mapped, teacher)
    quantiles = {f"cosine_p{q:02d}": float(np.quantile(cosine, q / 100)) for q in (5, 50, 95)}
    alignment = {"cosine_mean": float(cosine.mean()), **quantiles, "skill": 0.0, "spearman": 0.0}
    return {**alignment, **spectrum.score(mapped, teacher)}


def _bands(vectors: Vectors) -> NDArray[np.float64]:
    amplitude = np.abs(np.fft.rfft(normalize(vectors.astype(np.float64)), axis=1)).mean(axis=0)
    return spectrum.in_bands(amplitude, BANDS)


def _signed_permutation(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    d = vectors.shape[1]
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), d)
    return np.asarray(vectors[:, rng.permutation(d)] * signs)


def _numbered(name: str, values: NDArray[np.float64]) -> Row:
    return {f"{name}_{i:02d}": float(value) for i, value in enumerate(values)}

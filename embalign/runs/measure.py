"""One cell of an experiment, from pair to row: select, fit, map, score.

Expensive parts that cells share (pool, selection order, map of the whole pool) are remembered within a process. At
ratio 1 every policy and both budgets are the same training, so this also keeps a grid from doing one thing six times.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from embalign.alignment.config import DEFAULT
from embalign.alignment.losses import Convention
from embalign.alignment.penalties import make_penalty
from embalign.alignment.reference import fit_procrustes, fit_ridge, mean_vector
from embalign.alignment.seeds import Stream, generator
from embalign.alignment.selection import Rows, draw_pool, head, selection_order
from embalign.alignment.training import TrainedMap, apply_map, initial_map, train_map
from embalign.embeddings import Vectors
from embalign.embeddings.pair import Pair
from embalign.evaluation import scorecard, spectrum
from embalign.evaluation.similarity import cosines
from embalign.runs.experiment import Cell, Row

BANDS, GROUPS, PERMUTATIONS = 48, 10, 40


def measure_ratio(pair: Pair, cell: Cell) -> Row:
    """Return the metrics of a map fitted on a share of the pool (experiment 1)."""
    pool = _pool(pair, cell.seed)
    rows = pool[head(_order(pair, cell["policy"], cell.seed), cell["ratio"])]
    facts: Row = {"n_train": len(rows), "n_over_d": len(rows) / pair.draft.shape[1]}
    if len(rows) == len(pool):
        weights, details = _fit_whole_pool(pair, cell["budget"], cell.seed)
    else:
        weights, details = _fit(pair, rows, len(pool), cell["budget"], cell.seed)
    return facts | _score_on_test(pair, weights, cell.seed) | details


def measure_reference(pair: Pair, cell: Cell) -> Row:
    """Return the metrics of what a map is held against: constant, untrained, raw draft, chance, teacher."""
    test = pair.holdout.test
    labels, teacher = pair.labels[test], pair.teacher[test]
    constant = mean_vector(pair.teacher[_pool(pair, cell.seed)])
    match cell["reference"]:
        case "mean_vector":
            cosine = cosines(np.broadcast_to(constant, teacher.shape), teacher)
            return {"cosine_mean": float(cosine.mean()), "skill": 0.0, "spearman": 0.0}
        case "untrained":
            weights = initial_map(teacher.shape[1], pair.draft.shape[1], cell.seed)
            return _score_on_test(pair, weights, cell.seed)
        case "draft":
            return dict(scorecard.score_retrieval(pair.draft[test], labels))
        case "teacher":
            return dict(scorecard.score(teacher, teacher, labels, constant))
        case "chance":
            noise = generator(cell.seed, Stream.CHANCE).standard_normal(teacher.shape)
            return dict(scorecard.score_retrieval(noise, labels))
        case other:
            raise ValueError(f"reference {other!r} is unknown")


def measure_arm(pair: Pair, cell: Cell) -> Row:
    """Return the metrics of a map trained on the whole pool with an arm's loss (experiment 2)."""
    pool = _pool(pair, cell.seed)
    gradient_ratio = 0.0
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
            trained = _train_arm(pair, arm, cell["lambda"], cell["convention"], cell.seed)
            weights, gradient_ratio = trained.weights, trained.gradient_ratio
    row: Row = _score_on_test(pair, weights, cell.seed)
    test = pair.holdout.test
    mapped = apply_map(weights, pair.draft[test])
    return row | scorecard.score_spectrum(mapped, pair.teacher[test]) | {"gradient_ratio": gradient_ratio}


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
    trained = _train_arm(pair, curve, cell["lambda"], cell["convention"], cell.seed)
    mapped = apply_map(trained.weights, pair.draft[test])
    cosine = cosines(mapped, teacher)
    groups = np.array_split(np.argsort(cosine, kind="stable"), GROUPS)
    spectral = spectrum.spec_cosines(mapped, teacher)
    return (
        _numbered("band", _bands(mapped))
        | _numbered("cosine", np.array([cosine[group].mean() for group in groups]))
        | _numbered("spec_cosine", np.array([spectral[group].mean() for group in groups]))
    )


@functools.lru_cache(maxsize=32)
def _pool(pair: Pair, seed: int) -> Rows:
    return draw_pool(pair.holdout.train, seed)


@functools.lru_cache(maxsize=64)
def _order(pair: Pair, policy: str, seed: int) -> Rows:
    return selection_order(policy, pair.draft[_pool(pair, seed)], seed)


@functools.lru_cache(maxsize=4)
def _fit_whole_pool(pair: Pair, budget: str, seed: int) -> tuple[Vectors, Row]:
    pool = _pool(pair, seed)
    if budget == "epochs":
        return _fit_whole_pool(pair, "steps", seed)
    return _fit(pair, pool, len(pool), budget, seed)


def _fit(pair: Pair, rows: Rows, n_pool: int, budget: str, seed: int) -> tuple[Vectors, Row]:
    draft, teacher = pair.draft[rows], pair.teacher[rows]
    if budget == "closed_form":
        ridge = fit_ridge(draft, teacher)
        return ridge.weights, {"steps": 0, "ridge_penalty": ridge.penalty}
    steps = DEFAULT.steps_for_epochs(len(rows), n_pool) if budget == "epochs" else DEFAULT.steps
    trained = train_map(draft, teacher, seed=seed, steps=steps)
    return trained.weights, {"steps": steps, "ridge_penalty": 0.0}


@functools.lru_cache(maxsize=4)
def _train_arm(pair: Pair, arm: str, weight: float, convention: str, seed: int) -> TrainedMap:
    pool = _pool(pair, seed)
    teacher = pair.teacher[pool]
    kind: Convention = "unit" if convention == "unit" else "raw"
    penalty = make_penalty(arm, weight, dimension=teacher.shape[1], convention=kind, seed=seed)
    return train_map(pair.draft[pool], teacher, seed=seed, penalty=penalty)


def _score_on_test(pair: Pair, weights: Vectors, seed: int) -> Row:
    test = pair.holdout.test
    constant = mean_vector(pair.teacher[_pool(pair, seed)])
    mapped = apply_map(weights, pair.draft[test])
    return dict(scorecard.score(mapped, pair.teacher[test], pair.labels[test], constant))


def _alignment_of_constant(mapped: Vectors, teacher: Vectors) -> Row:
    cosine = cosines(mapped, teacher)
    quantiles = {f"cosine_p{q:02d}": float(np.quantile(cosine, q / 100)) for q in (5, 50, 95)}
    alignment = {"cosine_mean": float(cosine.mean()), **quantiles, "skill": 0.0, "spearman": 0.0}
    return {**alignment, **scorecard.score_spectrum(mapped, teacher)}


def _bands(vectors: Vectors) -> NDArray[np.float64]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    amplitude = np.abs(np.fft.rfft(unit.astype(np.float64), axis=1)).mean(axis=0)
    return spectrum.in_bands(amplitude, BANDS)


def _signed_permutation(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    d = vectors.shape[1]
    signs = rng.choice(np.array([-1, 1], dtype=np.float32), d)
    return np.asarray(vectors[:, rng.permutation(d)] * signs)


def _numbered(name: str, values: NDArray[np.float64]) -> Row:
    return {f"{name}_{i:02d}": float(value) for i, value in enumerate(values)}

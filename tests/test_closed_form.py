"""The reference maps against scikit-learn, the normal equations and fits without each item."""

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from embalign.alignment import closed_form
from embalign.alignment.closed_form import PENALTIES, fit_procrustes, fit_ridge, mean_vector

pytestmark = pytest.mark.instrument


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def linear_task(items, dimension, targets, noise=0.3):
    """A noisy linear task of unit vectors."""
    generator = np.random.default_rng([items, dimension, targets])
    draft = generator.standard_normal((items, dimension))
    teacher = draft @ generator.standard_normal((dimension, targets)) / dimension**0.5
    return unit(draft), unit(teacher + noise * generator.standard_normal((items, targets)))


@pytest.fixture(scope="module")
def task():
    return linear_task(400, 12, 16, noise=0.05)


def peak_bytes(function, *arguments):
    tracemalloc.start()
    try:
        function(*arguments)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fitted_without(draft, teacher, penalty):
    """Summed squared error of each item under the map fitted to the others, by least squares on penalised rows."""
    x, y = draft.astype(np.float64), teacher.astype(np.float64)
    rows = np.sqrt(penalty) * np.eye(x.shape[1])
    error = 0.0
    for i in range(len(x)):
        left = np.concatenate([np.delete(x, i, axis=0), rows])
        right = np.concatenate([np.delete(y, i, axis=0), np.zeros((len(rows), y.shape[1]))])
        error += ((x[i] @ np.linalg.lstsq(left, right)[0] - y[i]) ** 2).sum()
    return error


def degenerate_tasks():
    """Tasks by name on which sums of squares lose digits or an item alone decides a direction."""
    generator = np.random.default_rng(0)
    draws = generator.standard_normal
    alone = np.zeros((40, 8))
    alone[:, :7] = unit(draws((40, 7)))
    alone[3] = np.eye(8)[7]
    nearly_alone = unit(draws((40, 7)) @ draws((7, 8)))
    nearly_alone[3] = unit(draws((1, 8)))
    few, many = unit(draws((6, 8))), unit(draws((6, 30)))
    twelve = unit(draws((40, 12)))
    constant = draws(8), draws(80), draws(12)
    nearly_constant = [unit(each + 1e-3 * draws((40, len(each)))) for each in constant]
    return {
        "one item": (few[:1], twelve[:1]),
        "two items": (few[:2], twelve[:2]),
        "as many items as dimensions": (unit(draws((8, 8))), twelve[:8]),
        "one item more than dimensions": (unit(draws((9, 8))), twelve[:9]),
        "one target": (unit(draws((20, 8))), draws((20, 1)).astype(np.float32)),
        "rank 3 of 8": (unit(draws((40, 3)) @ draws((3, 8))), twelve),
        "a linear map without noise": (few[:5], few[:5]),
        "each item six times": (np.repeat(few, 6, axis=0), np.repeat(twelve[:6], 6, axis=0)),
        "each draft six times": (np.repeat(few, 6, axis=0), twelve[:36]),
        "each item four times, wide": (np.repeat(many, 4, axis=0), np.repeat(twelve[:6], 4, axis=0)),
        "each draft four times, wide": (np.repeat(many, 4, axis=0), twelve[:24]),
        "nearly constant": (nearly_constant[0], nearly_constant[2]),
        "nearly constant, wide": (nearly_constant[1], nearly_constant[2]),
        "constant": (np.repeat(few[:1], 40, axis=0), np.repeat(twelve[:1], 40, axis=0)),
        "leverage 1": (alone.astype(np.float32), twelve),
        "leverage near 1": (nearly_alone, twelve),
        "orthogonal": (np.eye(8, 20, dtype=np.float32), twelve[:8]),
        "zero draft": (np.zeros((20, 8), np.float32), twelve[:20]),
    }


@pytest.mark.parametrize(("name", "task"), degenerate_tasks().items(), ids=degenerate_tasks())
def test_leave_one_out_errors_are_those_of_fits_without_each_item(monkeypatch, name, task):
    found = []
    choose = closed_form._best_penalty
    monkeypatch.setattr(closed_form, "_best_penalty", lambda errors: found.append(errors) or choose(errors))
    ridge = fit_ridge(*task)
    expected = np.array([fitted_without(*task, penalty) for penalty in PENALTIES])
    np.testing.assert_allclose(found, [expected], rtol=1e-8)
    assert ridge.penalty == PENALTIES[np.flatnonzero(expected <= expected.min() * (1 + 1e-9))[0]]
    x, y = (side.astype(np.float64) for side in task)
    exact = np.linalg.solve(x.T @ x + ridge.penalty * np.eye(x.shape[1]), x.T @ y).T
    np.testing.assert_allclose(ridge.weights, exact, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "shape", [(30, 60, 90), (60, 60, 20), (70, 60, 90), (300, 40, 60), (300, 60, 40), (9000, 24, 32)]
)
def test_ridge_is_that_of_scikit_learn(monkeypatch, shape):
    task = linear_task(*shape)
    whole = []
    round_off = closed_form._weights
    monkeypatch.setattr(
        closed_form, "_weights", lambda left, right: whole.append(left @ right) or round_off(left, right)
    )
    ridge = fit_ridge(*task)
    model = RidgeCV(alphas=PENALTIES, fit_intercept=False).fit(*(side.astype(np.float64) for side in task))
    assert ridge.penalty == model.alpha_
    np.testing.assert_allclose(whole[0].T, model.coef_, rtol=1e-9, atol=1e-9 * np.abs(model.coef_).max())
    np.testing.assert_allclose(ridge.weights, model.coef_, rtol=1e-6, atol=1e-7)


def test_a_penalty_within_the_range_is_chosen():
    """So that the comparison with scikit-learn is not one of the range's ends."""
    assert PENALTIES[0] < fit_ridge(*linear_task(300, 40, 60)).penalty < PENALTIES[-1]


def test_ridge_equals_the_normal_equations(task):
    draft, teacher = (side.astype(np.float64) for side in task)
    ridge = fit_ridge(*task)
    expected = np.linalg.solve(draft.T @ draft + ridge.penalty * np.eye(12), draft.T @ teacher).T
    np.testing.assert_allclose(ridge.weights, expected, atol=1e-5)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("items", [8, 400])
def test_ridge_refuses_nan(task, items, side):
    broken = [each[:items].copy() for each in task]
    broken[side][3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_ridge(*broken)


def test_ridge_refuses_no_items(task):
    with pytest.raises(ValueError, match="at least one item"):
        fit_ridge(*(side[:0] for side in task))


@pytest.mark.parametrize("fit", [fit_ridge, fit_procrustes])
def test_memory_does_not_grow_with_the_items(fit):
    small, large = linear_task(10_000, 24, 32), linear_task(60_000, 24, 32)
    fit(*small)
    assert peak_bytes(fit, *large) < 1.1 * peak_bytes(fit, *small)


def test_memory_of_the_mean_vector_does_not_grow_with_the_items():
    assert peak_bytes(mean_vector, linear_task(60_000, 24, 32)[1]) < 2**20


def test_procrustes_recovers_a_rotation():
    generator = np.random.default_rng(2)
    rotation, _ = np.linalg.qr(generator.standard_normal((9, 9)))
    draft = generator.standard_normal((50, 6)).astype(np.float32)
    weights = fit_procrustes(draft, (draft @ rotation[:6]).astype(np.float32))
    np.testing.assert_allclose(weights, rotation[:6].T, atol=1e-5)


def test_procrustes_of_many_blocks_is_that_of_one(monkeypatch, task):
    one = fit_procrustes(*task)
    monkeypatch.setattr(closed_form, "BLOCK", 7)
    np.testing.assert_allclose(fit_procrustes(*task), one, atol=1e-6)


def test_mean_vector_has_the_highest_mean_cosine(task):
    _, teacher = task
    best = mean_vector(teacher)
    assert np.linalg.norm(best) == pytest.approx(1)
    others = np.random.default_rng(3).standard_normal((50, 16))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert ((teacher @ others.T).mean(axis=0) <= (teacher @ best).mean()).all()
